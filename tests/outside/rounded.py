"""A remedy of one's own."""

from typing import Annotated

from msgspec import Meta
from torch import Tensor

from fedspike.algorithms import Algorithm, Changed, Client, LocalModel
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

    def answer(self, client: Client, trained: LocalModel) -> tuple[Tree, Tree]:
        reply, memory = self.algorithm.answer(client, trained)
        update = {name: (u / self.step).round() * self.step for name, u in reply["update"].items()}
        return reply | {"update": update}, memory
