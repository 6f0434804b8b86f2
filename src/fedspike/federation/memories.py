"""What clients remember from round to round, of which a round needs that of its cohort alone."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from fedspike.algorithms import Tree
from fedspike.federation.kept import Kept

Read = Callable[[], Tree]
"""What reads a client's memory again where it was stored."""


class _Held:
    """One client's memory: itself, or what reads it."""

    __slots__ = ("now",)

    def __init__(self, tree: Tree) -> None:
        self.now: Tree | Read = tree


class Memories(Mapping[int, Tree]):
    """A mapping from clients to what they remember, that never changes: a new one is `changed`.

    All of it is in this process's memory, until somebody stores some. What was stored is read whenever it is
    asked for, also by the mappings that were made of this one before and since.

    >>> memories = Memories.of({0: {"own": {}}}).changed({3: {"own": {}}})
    >>> memories.store([3], lambda trees: {k: lambda: {"read": {}} for k in trees})
    >>> dict(memories), [*memories.loose()]
    ({0: {'own': {}}, 3: {'read': {}}}, [0])
    """

    def __init__(self, held: Kept[_Held]) -> None:
        self._held = held

    @classmethod
    def of(cls, trees: Mapping[int, Tree]) -> "Memories":
        """The same, of any mapping."""
        return trees if isinstance(trees, cls) else cls(Kept({})).changed(trees)

    @classmethod
    def stored(cls, reads: Mapping[int, Read]) -> "Memories":
        """Of clients whose memories lie somewhere, with what reads each."""
        held = {}
        for client, read in reads.items():
            held[client] = _Held({})
            held[client].now = read
        return cls(Kept(held))

    def changed(self, changes: Mapping[int, Tree]) -> "Memories":
        """With these in the place of what was there, or beside it."""
        return Memories(self._held.changed({k: _Held(tree) for k, tree in changes.items()}))

    def store(
        self, clients: Iterable[int], write: Callable[[Mapping[int, Tree]], Mapping[int, Read]]
    ) -> None:
        """Let go of what these clients remember, once `write` has stored it and says what reads it."""
        held = {k: self._held[k] for k in clients if k in self._held}
        trees = {k: own.now for k, own in held.items() if isinstance(own.now, dict)}
        for client, read in write(trees).items():
            held[client].now = read

    def loose(self) -> Iterator[int]:
        """The clients whose memories are stored nowhere."""
        return (client for client, own in self._held.items() if isinstance(own.now, dict))

    def __getitem__(self, client: int) -> Tree:
        now = self._held[client].now
        return now if isinstance(now, dict) else now()

    def __contains__(self, client: object) -> bool:
        return client in self._held

    def __iter__(self) -> Iterator[int]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)

    def __repr__(self) -> str:
        return f"<what {len(self)} clients remember>"
