"""An experiment in several processes: rank 0 leads and stores, and the others do as it does.

What it is about to do, rank 0 tells the others: to begin a run from a state, to do a round, to test. They
need no folder of theirs, and none that all share.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from msgspec import Struct

from fedspike.algorithms import Tree
from fedspike.errors import InputError
from fedspike.federation.final_tests import final_tests
from fedspike.federation.memories import Memories
from fedspike.federation.places.ranks.place import Ranks
from fedspike.federation.places.ranks.process_group import ProcessGroup, SharedError
from fedspike.federation.plan import Plan
from fedspike.federation.rounds import Round, rounds
from fedspike.federation.state import State
from fedspike.federation.tensor_bytes import pack, unpack
from fedspike.reading import digested
from fedspike.records import checkpoint
from fedspike.records.memory_files import MemoryFiles

LONGEST_SHOWN = 40
TOLD_AT_ONCE = 2**26  # bytes of what clients remember
AGAIN = "start it again"


class Begin(Struct, frozen=True, tag="begin"):
    """Begin a run, or go on after so many rounds with the state that follows."""

    run: str
    round: int


class Remembered(Struct, frozen=True, tag="remembered"):
    """What some clients of the run remember follows."""


class NextRound(Struct, frozen=True, tag="next round"):
    """Do the next round of the run."""


class Test(Struct, frozen=True, tag="test"):
    """Test the model of the run's last round."""


class End(Struct, frozen=True, tag="end"):
    """There is no more to do."""


Message = Begin | Remembered | NextRound | Test | End


def agreed(group: ProcessGroup, facts: Callable[[], Mapping[str, str]]) -> None:
    """See that all processes are to do the same.

    Raises SharedError in all of them where one has other facts than rank 0, or cannot tell its own.
    """
    told = group.together(lambda: msgspec.json.encode(facts()))
    first, *others = [msgspec.json.decode(content, type=dict[str, str]) for content in told]
    for rank, own in enumerate(others, 1):
        for name in [*first, *own]:
            if own.get(name) != first.get(name):
                here, there = (
                    digested(str(each.get(name)), LONGEST_SHOWN) for each in (own, first)
                )
                raise SharedError(
                    f"rank {rank} has {name} {here}, and rank 0 has {there}",
                    expected="the same experiment, data and versions in all ranks",
                    fix="give all ranks the same files and options, and the same fedspike and torch",
                )


@contextmanager
def leading(group: ProcessGroup) -> Iterator[None]:
    """Lead the others meanwhile; in the end they are told that it is, or what went wrong."""
    try:
        yield
    except SharedError:
        raise
    except InputError as error:
        with suppress(InputError):  # they have gone, or know of it
            group.together(_raising(error))
        raise
    tell(group, End())


def tell(group: ProcessGroup, message: Message, state: State | None = None) -> None:
    """Tell the others what is next."""
    if group.size > 1:
        tensors = b"" if state is None else pack(state.tensors())
        group.together(lambda: msgspec.json.encode(message) + b"\n" + tensors)


def tell_beginning(group: ProcessGroup, run: str, state: State | None) -> None:
    """Tell the others that a run begins, or goes on from a state; what clients remember in parts."""
    clients = {} if state is None or group.size == 1 else state.clients
    if state is None:
        tell(group, Begin(run, 0))
    else:
        tell(group, Begin(run, state.round), replace(state, clients={}))
    for part in _parts(clients):
        tell(group, Remembered(), State(0, {}, part))


def _parts(clients: Mapping[int, Tree]) -> Iterator[dict[int, Tree]]:
    """All of them, a part at a time."""
    part, size = dict[int, Tree](), 0
    for client in clients:
        part[client] = clients[client]
        size += sum(tensor.nbytes for own in part[client].values() for tensor in own.values())
        if size > TOLD_AT_ONCE:
            yield part
            part, size = {}, 0
    if part:
        yield part


def led(group: ProcessGroup, trained: Iterator[Round]) -> Iterator[Round]:
    """The rounds, of each of which the others are told before it begins."""
    while True:
        tell(group, NextRound())
        if (round := next(trained, None)) is None:
            return
        yield round


def follow(plans: Mapping[str, Plan], ranks: Ranks, device: str) -> None:
    """Do what rank 0 says until there is no more to do; `plans` are by the names of runs.

    What clients remember lies in a folder of its own meanwhile, where the system puts such (TMPDIR).
    Raises SharedError where rank 0 found something wrong, and InputError where it has gone.
    """
    with TemporaryDirectory(prefix="fedspike-") as folder:
        follower = Follower(plans, ranks, device, Path(folder))
        while follower.goes_on(ranks.group.together(bytes)[0]):
            pass


class Follower:
    """What a rank but the first knows of the run that all are at."""

    def __init__(self, plans: Mapping[str, Plan], ranks: Ranks, device: str, folder: Path) -> None:
        self.plans, self.ranks, self.device, self.folder = plans, ranks, device, folder
        self.plan = next(iter(plans.values()))
        self.state: State | None = None
        self.trained: Iterator[Round] | None = None
        self.memories = MemoryFiles(folder, folder, checkpoint.KEPT, AGAIN)

    def goes_on(self, told: bytes) -> bool:
        """Do what rank 0 says; False where there is no more to do."""
        message, _, tensors = told.partition(b"\n")
        match msgspec.json.decode(message, type=Message):
            case Begin(run=run, round=number):
                self.plan, self.trained = self.plans[run], None
                self.memories = MemoryFiles(self.folder / run, self.folder, checkpoint.KEPT, AGAIN)
                self.memories.restore(0, None)
                self.state = _told(number, tensors) if tensors else None
            case Remembered():
                assert self.state is not None  # of whose round they are
                clients = _told(0, tensors).clients
                memories = Memories.of(self.state.clients).changed(clients)
                self.memories.store(self.state.round, memories, clients)
                self.state = replace(self.state, clients=memories)
            case NextRound():
                self._next_round()
            case Test():
                assert self.state is not None  # there was a round
                final_tests(self.plan, self.plan.site(), self.state, self.device, self.ranks)
            case End():
                return False
        return True

    def _next_round(self) -> None:
        if self.trained is None:
            self.trained = rounds(self.plan, self.ranks, self.state, device=self.device)
        if round := next(self.trained, None):
            self.state = round.state
            self.memories.store(round.number, Memories.of(self.state.clients), round.clients)


def _told(round: int, tensors: bytes) -> State:
    return State.from_tensors(round, unpack(tensors, "rank 0", AGAIN))


def _raising(error: InputError) -> Callable[[], bytes]:
    def say() -> bytes:
        raise error

    return say
