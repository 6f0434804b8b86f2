"""Scores and labels to one loss per client; each is a mean over the client's own samples."""

from typing import ClassVar, NamedTuple

from jaxtyping import Float
from torch import Tensor

from fedspike.part import Part, abstractmethod
from fedspike.parts.read_outs import ReadOut
from fedspike.parts.sums import total
from fedspike.parts.tensors import Held, Labels, PerClient, Present, Scores


class Calibration(NamedTuple):
    """What a client's scores of each class are multiplied by, and what is then added to them."""

    scale: Float[Tensor, "client class"]
    shift: Float[Tensor, "client class"]

    def of(self, scores: Scores) -> Scores:
        """scale * scores + shift."""
        return scores * self.scale.unsqueeze(1) + self.shift.unsqueeze(1)


class Loss(Part):
    """What local training makes small; `needs_spikes` says that it is of spike counts.

    It is called with calibrated scores, where a kind calibrates them by the classes that a client has.
    """

    needs_spikes: ClassVar[bool] = False

    @abstractmethod
    def __call__(
        self, scores: Scores, labels: Labels, present: Present, time_steps: int
    ) -> PerClient:
        """The mean loss of each client over its samples present, [client]; `time_steps` is 1 without time."""

    def calibration(self, held: Held) -> Calibration | None:
        """What becomes of the scores of a client that has so many samples of each class; None: nothing."""
        del held
        return None

    @property
    def penalises(self) -> bool:
        """Whether it has a penalty, for which the received model scores each minibatch, too."""
        return type(self).penalty is not Loss.penalty

    def penalty(
        self, scores: Scores, received: Scores, labels: Labels, present: Present, held: Held
    ) -> PerClient:
        """What is added to it, of scores as they are and those of the model that the client received."""
        del received, labels, held
        return total(scores[..., 0] * 0 * present, 1)

    def demand_scores(self, read_out: ReadOut | None, time_steps: int) -> None:
        """Raise InputError where it is not meant for these scores; without a read-out, a network's values."""


def mean(per_sample: Float[Tensor, "client batch"], present: Present) -> PerClient:
    """Of every client, over its samples present; 0 if there are none."""
    return total(per_sample * present, 1) / present.sum(1).clamp(min=1)
