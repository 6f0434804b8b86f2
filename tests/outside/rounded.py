"""A remedy of one's own."""

from typing import Annotated

from jaxtyping import Int64
from msgspec import Meta
from torch import Tensor

from fedspike.algorithms import Algorithm, Changed
from fedspike.remedies import Remedy

Tree = dict[str, dict[str, Tensor]]


class Rounded(Remedy, tag="rounded"):
    """Clients send their updates in multiples of a step, as a device with few bits would."""

    step: Annotated[float, Meta(gt=0)] = 2.0**-10

    def over(self, algorithm: Algorithm) -> Algorithm:
        """The algorithm, with another answer."""
        return _Rounded(algorithm, self.step)


class _Rounded(Changed):
    step: float

    def answer(
        self,
        received: Tree,
        trained: dict[str, Tensor],
        memory: Tree,
        steps: Int64[Tensor, " client"],
        learning_rate: float,
    ) -> tuple[Tree, Tree]:
        reply, memory = self.algorithm.answer(received, trained, memory, steps, learning_rate)
        update = {name: (u / self.step).round() * self.step for name, u in reply["update"].items()}
        return reply | {"update": update}, memory
