"""A read-out of one's own."""

from typing import Annotated

from jaxtyping import Float
from msgspec import Meta
from torch import Tensor

from fedspike.parts.read_outs import ReadOut


class LastSteps(ReadOut, tag="last-steps"):
    """The spikes of the last steps alone, when the network has settled."""

    steps: Annotated[int, Meta(ge=1, lt=2**31)] = 5

    def scores(
        self, flow: Float[Tensor, "time client batch class"]
    ) -> Float[Tensor, "client batch class"]:
        """Their number."""
        return flow[-self.steps :].sum(0)
