"""What an optimiser is: gradients to new parameters, in place."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from msgspec import Meta
from torch import Tensor

from fedspike.layers.operations import Table
from fedspike.part import Part, abstractmethod

Parameters = dict[str, Tensor]
LearningRate = Annotated[float, Meta(gt=0)]


@dataclass(frozen=True)
class Step:
    """A step of an optimiser: `parameters` and `memory` are changed in place; `number` counts from 1."""

    parameters: Parameters
    gradients: Parameters
    memory: dict[str, Parameters]
    number: int


class Optimiser(Part):
    """A device forgets what its optimiser remembers between rounds.

    `plain` says whether a step is the gradient times the learning rate, which some algorithms need.
    """

    learning_rate: LearningRate

    plain: ClassVar[bool] = False

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
