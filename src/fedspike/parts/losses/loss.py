"""Scores and labels to one loss per client; each is a mean over the client's own samples."""

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from fedspike.part import Part, abstractmethod
from fedspike.parts.read_outs import ReadOut
from fedspike.parts.sums import total
from fedspike.parts.tensors import Labels, PerClient, Present, Scores


class Loss(Part):
    """What local training makes small; `needs_spikes` says that it is of spike counts."""

    needs_spikes: ClassVar[bool] = False

    @abstractmethod
    def __call__(
        self, scores: Scores, labels: Labels, present: Present, time_steps: int
    ) -> PerClient:
        """The mean loss of each client over its samples present, [client]; `time_steps` is 1 without time."""

    def demand_scores(self, read_out: ReadOut | None, time_steps: int) -> None:
        """Raise InputError where it is not meant for these scores; without a read-out, a network's values."""


def mean(per_sample: Float[Tensor, "client batch"], present: Present) -> PerClient:
    """Of every client, over its samples present; 0 if there are none."""
    return total(per_sample * present, 1) / present.sum(1).clamp(min=1)
