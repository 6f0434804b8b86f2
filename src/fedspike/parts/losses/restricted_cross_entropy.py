"""Cross-entropy with a restricted softmax.

    L = CE(z', y),   z'_c = z_c for each class c that the client has, and alpha z_c for all others

so that a client with few classes unlearns the others more slowly. alpha = 1 is the cross-entropy; 0 is the
masked cross-entropy of HeteroFL, of the client's classes in place of its minibatch's.

Source: Li, Zhan, "FedRS: Federated Learning with Restricted Softmax for Label Distribution Non-IID Data", KDD
2021. A client's classes are here those that it is shown in the round.
"""

from typing import Annotated

import torch
from msgspec import Meta

from fedspike.parts.losses.cross_entropy import CrossEntropy
from fedspike.parts.losses.loss import Calibration
from fedspike.parts.tensors import Held


class RestrictedCrossEntropy(CrossEntropy, tag="restricted-cross-entropy"):
    """Softmax cross-entropy in which the scores of classes that the client lacks are made smaller.

    >>> RestrictedCrossEntropy(0.5).calibration(torch.tensor([[3.0, 0.0, 1.0]])).scale
    tensor([[1.0000, 0.5000, 1.0000]])
    """

    alpha: Annotated[float, Meta(ge=0, le=1, description="what their scores are multiplied by")] = (
        0.5
    )

    def calibration(self, held: Held) -> Calibration:
        """The factors; nothing is added."""
        return Calibration(
            torch.ones_like(held).where(held > 0, self.alpha), torch.zeros_like(held)
        )
