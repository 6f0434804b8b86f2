"""A learning rate that decays round by round, or in steps.

eta_r = eta factor^floor((r - 1) / every)
"""

from typing import Annotated

from msgspec import Meta

from fedspike.parts.schedules.schedule import Schedule


class Exponential(Schedule, tag="exponential"):
    """Multiplied by a factor every so many rounds.

    >>> [Exponential(0.5, every=2).share(round) for round in range(1, 6)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """

    factor: Annotated[float, Meta(gt=0, le=1)] = 0.99
    every: Annotated[int, Meta(ge=1, lt=2**31, description="rounds between two steps")] = 1

    def share(self, round: int) -> float:
        """The equation."""
        return self.factor ** ((round - 1) // self.every)
