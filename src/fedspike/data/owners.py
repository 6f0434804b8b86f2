"""Whose sample each one is: of data that belong to people, voices or places."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64


@dataclass(frozen=True, eq=False, repr=False)
class Owners:
    """The owners of training samples: `of` [train] are positions in `names`, each of which owns a sample."""

    names: tuple[str, ...]
    of: Int64[np.ndarray, " train"]

    @classmethod
    def called(cls, names: Iterable[str]) -> "Owners":
        """The owners whose names stand beside the samples.

        >>> owners = Owners.called(["w10", "w2", "w10"])
        >>> owners, owners.of.tolist()
        (Owners(2: w10, w2), [0, 1, 0])
        """
        own, of = np.unique([*names], return_inverse=True)
        return cls(tuple(own.tolist()), of.astype(np.int64))

    def at(self, positions: Int64[np.ndarray, " some"]) -> "Owners":
        """Those of some of the samples."""
        own, of = np.unique(self.of[positions], return_inverse=True)
        return Owners(tuple(self.names[owner] for owner in own), of.astype(np.int64))

    def __repr__(self) -> str:
        some = ", ".join(self.names[:3])
        return f"Owners({len(self.names)}: {some}{', ...' if len(self.names) > 3 else ''})"


def five_numbers(sizes: Sequence[int] | Int64[np.ndarray, " owner"]) -> tuple[int, ...]:
    """The least of these numbers, the three that quarter them, and the greatest; each is one of them.

    >>> five_numbers([1, 2, 2, 3, 40])
    (1, 2, 2, 3, 40)
    """
    ends = np.quantile(np.asarray(sizes), [0, 0.25, 0.5, 0.75, 1], method="inverted_cdf")
    return tuple(int(one) for one in ends)


def five_numbers_in_words(numbers: Sequence[int]) -> str:
    """The same to be read.

    >>> five_numbers_in_words([1, 2, 3, 5, 2870])
    '1 to 2,870, median 3, the middle half 2 to 5'
    """
    low, first, median, third, high = (f"{one:,}" for one in numbers)
    return (
        low
        if low == high
        else f"{low} to {high}, median {median}, the middle half {first} to {third}"
    )
