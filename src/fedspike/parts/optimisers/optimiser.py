"""What an optimiser is: gradients to new parameters, in place."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta
from msgspec.structs import replace
from torch import Tensor

from fedspike.layers.operations import Table
from fedspike.part import Part, abstractmethod
from fedspike.parts.schedules import Constant, Schedule

Parameters = dict[str, Tensor]
WeightDecay = Annotated[float, Meta(ge=0, le=1)]
LearningRate = Annotated[float, Meta(gt=0)]


@dataclass(frozen=True)
class Step:
    """A step of an optimiser: `parameters` and `memory` are changed in place; `number` counts from 1."""

    parameters: Parameters
    gradients: Parameters
    memory: dict[str, Parameters]
    number: int


SMALLEST_RATE = 1e-15
"""What a schedule leaves of a learning rate at the least: 0 is none."""


class Optimiser(Part, kw_only=True):
    """A device forgets what its optimiser remembers between rounds, unless its learner keeps it."""

    learning_rate: LearningRate
    schedule: Schedule = Constant()

    def in_round(self, round: int) -> "Optimiser":
        """With the learning rate of a round; the schedule of what is returned is done with."""
        if (share := self.schedule.share(round)) == 1:
            return self
        rate = max(self.learning_rate * share, SMALLEST_RATE)
        return replace(self, learning_rate=rate, schedule=Constant())

    @property
    def plain(self) -> bool:
        """Whether a step is the gradient times the learning rate, which some algorithms need."""
        return False

    def start(self, parameters: Parameters) -> dict[str, Parameters]:
        """What is remembered before the first step: groups of tensors like the parameters."""
        del parameters
        return {}

    @abstractmethod
    def step(self, step: Step) -> None:
        """Change its `parameters` and `memory` in place."""

    def operations(self) -> Table | None:
        """What a step does to each parameter, phase `optimiser`; None where nobody has counted it."""
        return None


def at_each_step(**operations: int) -> Table:
    """Of each parameter in each step."""
    return {"optimiser": {"parameter and batch": operations}}
