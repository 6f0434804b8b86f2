"""What a schedule is: the number of a round to what its learning rate is multiplied by."""

from fedspike.part import Part, abstractmethod


class Schedule(Part):
    """How a learning rate changes over the rounds; within a round it stays."""

    @abstractmethod
    def share(self, round: int) -> float:
        """Of the optimiser's learning rate in a round, which counts from 1; greater than 0."""
