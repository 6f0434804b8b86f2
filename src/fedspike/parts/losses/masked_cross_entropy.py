"""Cross-entropy that leaves alone the classes that a client does not have.

    CE(z', y),   z'_c = z_c for each class c that is in the client's minibatch, and 0 for all others

so that a client with few classes does not unlearn the others. Source: Diao, Ding, Tarokh, "HeteroFL:
Computation and Communication Efficient Federated Learning for Heterogeneous Clients", ICLR 2021, masked
cross-entropy. There the classes are those of the client, here those of its minibatch: nearly always the same
where it is larger than the number of classes several times over.
"""

import torch
import torch.nn.functional

from fedspike.parts.losses.loss import Loss, mean
from fedspike.parts.tensors import Labels, PerClient, Present, Scores


class MaskedCrossEntropy(Loss, tag="masked-cross-entropy"):
    """Softmax cross-entropy in which the scores of classes that no sample of the minibatch has are 0.

    >>> scores = torch.tensor([[[0.0, 9.0, 0.0, 9.0], [0.0, 0.0, 0.0, 9.0]]])
    >>> labels, present = torch.tensor([[0, 2]]), torch.tensor([[True, True]])
    >>> MaskedCrossEntropy()(scores, labels, present, time_steps=1).exp()
    tensor([4.])
    """

    def __call__(
        self, scores: Scores, labels: Labels, present: Present, time_steps: int
    ) -> PerClient:
        """Mean over the samples present: -log softmax(masked scores)[label]."""
        del time_steps
        of_class = torch.nn.functional.one_hot(labels, scores.shape[2]).bool()
        held = (of_class & present.unsqueeze(2)).any(1, keepdim=True)
        masked = torch.where(held, scores, torch.zeros_like(scores))
        per_sample = torch.nn.functional.cross_entropy(
            masked.movedim(2, 1), labels, reduction="none"
        )
        return mean(per_sample, present)
