"""A read-out of one's own."""

from typing import Annotated

from msgspec import Meta

from fedspike.parts.read_outs import ReadOut
from fedspike.parts.tensors import Output, Scores


class LastSteps(ReadOut, tag="last-steps"):
    """The spikes of the last steps alone, when the network has settled."""

    steps: Annotated[int, Meta(ge=1, lt=2**31)] = 5

    def scores(self, flow: Output) -> Scores:
        """Their number."""
        return flow[-self.steps :].sum(0)
