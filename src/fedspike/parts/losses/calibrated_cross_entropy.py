"""Cross-entropy that takes into account how many samples of each class a client has.

    L = CE(z + shift, y)

    prior     shift_c = tau log p_c,      p_c = n_c / sum of all n
    margin    shift_c = -tau n_c^(-1/4)

of n_c samples of class c. A model learns what tells the classes apart, and not which of them its device has
more of. A prior of 0 is taken to be 1e-9. A class without samples has an infinite margin, which leaves it out
of the softmax; as a number, 10,000.

Sources: of the prior, Menon et al., "Long-Tail Learning via Logit Adjustment", ICLR 2021, equation 10; of the
margin, Zhang et al., "Federated Learning with Label Distribution Skew via Logits Calibration" (FedLC), ICML
2022. Its softmax is here, as in its implementations, over all classes. There n_c are a client's samples; here
those that it is shown in an epoch of the round: the same, unless only some of them are drawn.
"""

from typing import Annotated, Literal

import torch
from msgspec import Meta

from fedspike.parts.losses.cross_entropy import CrossEntropy
from fedspike.parts.losses.loss import Calibration
from fedspike.parts.tensors import Held

RAREST, LEFT_OUT = 1e-9, 1e4


class CalibratedCrossEntropy(CrossEntropy, tag="calibrated-cross-entropy"):
    """Softmax cross-entropy whose scores are shifted by how many samples of each class the client has.

    >>> held = torch.tensor([[81.0, 16.0, 1.0, 0.0]])
    >>> CalibratedCrossEntropy().calibration(held).shift.exp()
    tensor([[8.2653e-01, 1.6327e-01, 1.0204e-02, 1.0000e-09]])
    >>> CalibratedCrossEntropy("margin").calibration(held).shift
    tensor([[-3.3333e-01, -5.0000e-01, -1.0000e+00, -1.0000e+04]])
    """

    by: Annotated[
        Literal["prior", "margin"],
        Meta(description="the logarithm of a class's share, or FedLC's margin"),
    ] = "prior"
    tau: Annotated[float, Meta(gt=0, description="how strong it is")] = 1.0

    def calibration(self, held: Held) -> Calibration:
        """The shifts; scores are multiplied by 1."""
        if self.by == "prior":
            shift = self.tau * log_prior(held)
        else:
            margin = (
                self.tau / held.clamp(min=1).sqrt().sqrt()
            )  # in any company the same, unlike a power
            shift = torch.where(held > 0, -margin, -LEFT_OUT)
        return Calibration(torch.ones_like(held), shift)


def log_prior(held: Held) -> Held:
    """log p of each client's classes, of absent ones log 1e-9."""
    total = held.sum(1, keepdim=True).clamp(min=1)
    return (held / total).clamp(min=RAREST).log()
