"""What a remedy is: an algorithm to an algorithm."""

from fedspike.algorithms import Algorithm
from fedspike.part import Part, abstractmethod


class Remedy(Part):
    """What an algorithm lacks, for any algorithm; several are applied in their order."""

    @abstractmethod
    def over(self, algorithm: Algorithm) -> Algorithm:
        """The algorithm with the remedy; usually `algorithms.Changed` with some members written anew."""
