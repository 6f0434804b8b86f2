"""What a remedy is: an algorithm to an algorithm."""

from collections.abc import Sequence

from fedspike.algorithms import Algorithm
from fedspike.part import Part, abstractmethod


class Remedy(Part):
    """What an algorithm lacks, for any algorithm; several are applied in their order.

    Where devices have little memory, a remedy may have several `options` for a client, and is `chosen` with
    one for each.
    """

    @property
    def options(self) -> "tuple[Remedy, ...]":
        """What it may do for one client."""
        return (self,)

    def chosen(self, options: "Sequence[Remedy]") -> "Remedy":
        """The remedy that does for each client what one of the options does."""
        del options
        return self

    @abstractmethod
    def over(self, algorithm: Algorithm) -> Algorithm:
        """The algorithm with the remedy; usually `algorithms.Changed` with some members written anew."""
