"""Which samples each client of a fleet holds, in as little memory as it takes, of a million clients too."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Int64

Positions = Int64[np.ndarray, " _sample"]
AT_ONCE = 2**20  # positions, or counts, that are in memory together where all are gone through


class Holdings(Sequence[Positions], ABC):
    """A client's positions in the training set under its number; `sizes` says how many each has."""

    sizes: Int64[np.ndarray, " client"]

    @abstractmethod
    def some(self, first: int, last: int) -> Positions:
        """The positions of the clients from `first` to before `last`, one client's after the other's."""

    @property
    @abstractmethod
    def highest(self) -> int:
        """A position that none is above; -1 where there is none."""

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, client: int | slice) -> Any:
        """A client's, or a list of several clients'."""
        number = range(len(self))[client]
        if isinstance(number, range):
            return [self.some(k, k + 1) for k in number]
        return self.some(number, number + 1)

    def __iter__(self) -> Iterator[Positions]:
        return (self.some(client, client + 1) for client in range(len(self)))

    def class_counts(
        self, labels: np.ndarray, classes: int, most: int | None = None
    ) -> Int64[np.ndarray, "client class"]:
        """How many samples of each class every client holds, or each of the first ones."""
        all_sizes = self.sizes[:most]
        counts = np.zeros((len(all_sizes), classes), np.int64)
        each = max(classes, int(all_sizes.sum()) // max(1, len(counts)))
        at_once = max(1, AT_ONCE // each)
        for first in range(0, len(counts), at_once):
            sizes = all_sizes[first : first + at_once]
            last = first + len(sizes)
            own = np.repeat(np.arange(len(sizes)) * classes, sizes)
            own += labels[self.some(first, last)].astype(np.int64)
            counts[first:last] = np.bincount(own, minlength=len(sizes) * classes).reshape(
                -1, classes
            )
        return counts


class Listed(Holdings):
    """Those that somebody lists, one client's after the other's in one array.

    >>> holdings = Listed.of([np.array([3, 5]), np.array([1])])
    >>> holdings.sizes, holdings[1], holdings.highest
    (array([2, 1]), array([1]), 5)
    """

    def __init__(self, positions: Positions, sizes: Int64[np.ndarray, " client"]) -> None:
        self.sizes, self._positions = sizes, positions
        self._ends = np.cumsum(sizes)

    @classmethod
    def of(cls, shards: Sequence[Positions]) -> "Listed":
        """Of an array for each client."""
        sizes = np.array([len(shard) for shard in shards], np.int64)
        return cls(np.concatenate([np.zeros(0, np.int64), *shards]), sizes)

    def some(self, first: int, last: int) -> Positions:
        """A view of the array."""
        begin = int(self._ends[first] - self.sizes[first]) if first < len(self) else 0
        return (
            self._positions[begin : int(self._ends[last - 1])]
            if last > first
            else self._positions[:0]
        )

    @cached_property
    def highest(self) -> int:
        """The highest."""
        return int(self._positions.max(initial=-1))


class Unknown(Holdings):
    """As many samples as each client says that it has; which, nobody else knows: all are at position 0."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes = np.array(sizes, np.int64)

    def some(self, first: int, last: int) -> Positions:
        """Zeros that take no memory."""
        return np.broadcast_to(np.int64(0), int(self.sizes[first:last].sum()))

    @property
    def highest(self) -> int:
        """0, if there is any."""
        return 0 if self.sizes.any() else -1
