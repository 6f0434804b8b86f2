"""A schedule of one's own."""

from typing import Annotated

from msgspec import Meta

from fedspike.parts.schedules import Schedule


class WarmUp(Schedule, tag="warm-up"):
    """The rate grows over the first rounds."""

    rounds: Annotated[int, Meta(ge=1, lt=2**31)] = 5

    def share(self, round: int) -> float:
        """A straight line up to 1."""
        return min(1.0, round / self.rounds)
