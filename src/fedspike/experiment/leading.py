"""An experiment in several processes: rank 0 leads and stores, and the others do as it does.

What it is about to do, rank 0 tells the others: to begin a run from a state, to do a round, to test. They
need no folder of theirs, and none that all share.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

import msgspec
from msgspec import Struct

from fedspike.errors import InputError
from fedspike.federation.final_tests import final_tests
from fedspike.federation.places.ranks.place import Ranks
from fedspike.federation.places.ranks.process_group import ProcessGroup, SharedError
from fedspike.federation.plan import Plan
from fedspike.federation.rounds import Round, rounds
from fedspike.federation.state import State
from fedspike.federation.tensor_bytes import pack, unpack
from fedspike.reading import digested

LONGEST_SHOWN = 40


class Begin(Struct, frozen=True, tag="begin"):
    """Begin a run, or go on after so many rounds with the state that follows."""

    run: str
    round: int


class NextRound(Struct, frozen=True, tag="next round"):
    """Do the next round of the run."""


class Test(Struct, frozen=True, tag="test"):
    """Test the model of the run's last round."""


class End(Struct, frozen=True, tag="end"):
    """There is no more to do."""


Message = Begin | NextRound | Test | End


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


def led(group: ProcessGroup, trained: Iterator[Round]) -> Iterator[Round]:
    """The rounds, of each of which the others are told before it begins."""
    while True:
        tell(group, NextRound())
        if (round := next(trained, None)) is None:
            return
        yield round


def follow(plans: Mapping[str, Plan], ranks: Ranks, device: str) -> None:
    """Do what rank 0 says until there is no more to do; `plans` are by the names of runs.

    Raises SharedError where rank 0 found something wrong, and InputError where it has gone.
    """
    trained, state, plan = iter(list[Round]()), State(0, {}), next(iter(plans.values()))
    while True:
        line, _, tensors = ranks.group.together(bytes)[0].partition(b"\n")
        match msgspec.json.decode(line, type=Message):
            case Begin(run=run, round=number):
                plan = plans[run]
                stored = None
                if tensors:
                    stored = State.from_tensors(number, unpack(tensors, "rank 0", "start it again"))
                    state = stored
                trained = rounds(plan, ranks, stored, device=device)
            case NextRound():
                round = next(trained, None)
                state = state if round is None else round.state
            case Test():
                final_tests(plan, plan.site(), state, device, ranks)
            case End():
                return


def _raising(error: InputError) -> Callable[[], bytes]:
    def say() -> bytes:
        raise error

    return say
