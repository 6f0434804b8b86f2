"""The same learning rate in every round."""

from fedspike.parts.schedules.schedule import Schedule


class Constant(Schedule, tag="constant"):
    """The same in every round."""

    def share(self, round: int) -> float:
        """All of it."""
        del round
        return 1.0
