"""What a remedy is: an algorithm to an algorithm."""

from collections.abc import Sequence

from fedspike.algorithms import Algorithm, FedAvg
from fedspike.errors import InputError
from fedspike.part import Part, abstractmethod, tag

UPDATE = "update"  # group of a reply


def demand_update(algorithm: Algorithm, kind: str) -> None:
    """Raise InputError where clients answer with no group "update", which a kind of remedy is for."""
    if UPDATE not in algorithm.joining():
        raise InputError(
            f"{algorithm.kind} with {kind}: its clients send no update, but {', '.join(algorithm.joining())}",
            expected=f"an algorithm whose clients send an update, such as {tag(FedAvg)}",
            fix="leave the remedy out, or take another algorithm",
        )


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
