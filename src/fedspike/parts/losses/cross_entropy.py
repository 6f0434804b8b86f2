"""Softmax cross-entropy."""

import torch.nn.functional

from fedspike.parts.losses.loss import Loss, mean
from fedspike.parts.tensors import Labels, PerClient, Present, Scores


class CrossEntropy(Loss, tag="cross-entropy"):
    """Softmax cross-entropy: of an ANN's values, the founding study's loss for it, or of any read-out.

    Of counts: CE(sum_t S[t], y); of membranes: CE(mean_t U[t], y); of first spikes: CE(-time, y).

    >>> import torch
    >>> scores, labels = torch.tensor([[[0.0, 0.0, 0.0, 0.0]]]), torch.tensor([[1]])
    >>> CrossEntropy()(scores, labels, torch.tensor([[True]]), time_steps=1).exp()
    tensor([4.])
    """

    def __call__(
        self, scores: Scores, labels: Labels, present: Present, time_steps: int
    ) -> PerClient:
        """Mean over the samples present: -log softmax(scores)[label]."""
        del time_steps
        per_sample = torch.nn.functional.cross_entropy(
            scores.movedim(2, 1), labels, reduction="none"
        )
        return mean(per_sample, present)
