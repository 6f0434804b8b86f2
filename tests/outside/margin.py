"""A loss of one's own."""

from typing import Annotated

import torch
from msgspec import Meta

from fedspike.parts.losses import Loss
from fedspike.parts.tensors import Labels, PerClient, Present, Scores


class Margin(Loss, tag="margin"):
    """The right class is to score more than all others, by a margin.

    L = mean over samples of sum over the wrong classes of max(0, margin + score - score of the right one)
    """

    margin: Annotated[float, Meta(gt=0)] = 1.0

    def __call__(
        self, scores: Scores, labels: Labels, present: Present, time_steps: int
    ) -> PerClient:
        """The equation."""
        del time_steps
        right = scores.gather(2, labels.unsqueeze(2))
        others = torch.ones_like(scores).scatter_(2, labels.unsqueeze(2), 0.0)
        lost = ((self.margin + scores - right).clamp(min=0) * others).sum(2)
        # A running sum adds in order, so that padding at the end of a batch changes no bit.
        return (lost * present).cumsum(1)[:, -1] / present.sum(1).clamp(min=1)
