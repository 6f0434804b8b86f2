"""What is kept of each client from round to round, of which a round changes only a little."""

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

V = TypeVar("V")
SHARE = 32  # a copy of all is made when 1 in so many has changed


class Kept(Mapping[int, V], Generic[V]):
    """A mapping that never changes: a new one is `changed`, and shares with this one what is the same.

    So a round costs what its own clients cost, however many were there before. A dictionary would be copied
    whole; here a small one lies over a large one, and both become one when the small one has grown.

    >>> before = Kept({1: "a", 2: "b"})
    >>> after = before.changed({2: "c", 7: "d"})
    >>> dict(before), dict(after), len(after)
    ({1: 'a', 2: 'b'}, {1: 'a', 2: 'c', 7: 'd'}, 3)
    """

    def __init__(
        self, all: Mapping[int, V], changes: dict[int, V] | None = None, new: int = 0
    ) -> None:
        self._all = all if changes is not None else dict(all)
        self._changes, self._new = changes or {}, new

    @classmethod
    def of(cls, mapping: Mapping[int, V]) -> "Kept[V]":
        """The same, of any mapping."""
        return mapping if isinstance(mapping, Kept) else cls(mapping)

    def changed(self, changes: Mapping[int, V]) -> "Kept[V]":
        """With these in the place of what was there, or beside it."""
        if not changes:
            return self
        if SHARE * (len(self._changes) + len(changes)) > len(self._all):
            return Kept({**self._all, **self._changes, **changes}, {})
        new = sum(client not in self for client in changes)
        return Kept(self._all, {**self._changes, **changes}, self._new + new)

    def __getitem__(self, client: int) -> V:
        return self._changes[client] if client in self._changes else self._all[client]

    def __contains__(self, client: object) -> bool:
        return client in self._changes or client in self._all

    def __iter__(self) -> Iterator[int]:
        yield from self._all
        yield from (client for client in self._changes if client not in self._all)

    def __len__(self) -> int:
        return len(self._all) + self._new

    def __repr__(self) -> str:
        return repr(dict(self))
