"""A group of processes over torch's gloo, on one machine or on several.

What they tell each other lies in the memory of processors, on whatever device they train: the server's half
computes there.
"""

import os
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import timedelta
from typing import Annotated, Any

import torch
import torch.distributed as dist
from msgspec import Meta
from torch.distributed.rendezvous import rendezvous

from fedspike.errors import InputError
from fedspike.federation.places.ranks.launched import (
    ADDRESS,
    LONGEST_WAIT_S,
    PORT,
    Launched,
    launched,
)
from fedspike.federation.places.ranks.place import Ranks
from fedspike.federation.places.ranks.process_group import OneProcess, ProcessGroup
from fedspike.part import within

__all__ = ["all_ranks"]  # what `import fedspike` gives

TO_MEET_S = 120.0  # in which all processes must be there
LOST_AFTER_S = 1800.0  # in which the slowest must be done with its part of a round
GRACE_S = 5.0  # more, in which torch says itself why they did not meet
LONGEST_SLEEP_S = 0.002

Patience = Annotated[float, Meta(gt=0, le=LONGEST_WAIT_S)]
"""Seconds for which others are waited for; who says nothing for so long has gone."""


class Gloo(ProcessGroup):
    """The processes of torch's default group."""

    def __init__(self) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()

    def gather(self, content: bytes) -> list[bytes]:
        """Lengths first, then each process sends what it has to all."""
        try:
            lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
            own = torch.tensor([len(content)])
            _wait(dist.all_gather(lengths, own, async_op=True))
            pieces = [torch.empty(int(length), dtype=torch.uint8) for length in lengths]
            if content:
                pieces[self.rank] = torch.frombuffer(bytearray(content), dtype=torch.uint8)
            on_the_way = [
                dist.broadcast(piece, rank, async_op=True)
                for rank, piece in enumerate(pieces)
                if len(piece)
            ]
            for work in on_the_way:
                _wait(work)
        except RuntimeError as error:
            raise InputError(
                f"rank {self.rank} lost another of the {self.size} ranks ({_first_line(error)})",
                expected="all ranks, until the run ends",
                fix="start all of them again with the same command: the run goes on after its last round",
            ) from error
        return [piece.numpy().tobytes() for piece in pieces]


@contextmanager
def all_ranks(lost_after_s: float = LOST_AFTER_S) -> Iterator[Ranks]:
    """The place of all processes that torchrun, or something like it, started for this program.

    Each must do the same rounds there, and has the same states. Without torchrun it is a place of one.

        with all_ranks() as place:
            for round in rounds(plan, place): ...

    A process that is done with its part of a round later than `lost_after_s` after the others counts as lost.

    Raises InputError where the environment says what cannot be, and where they do not meet.
    """
    lost_after_s = within("all_ranks: lost_after_s", lost_after_s, Patience, "leave it out")
    with joined(launched(os.environ), lost_after_s) as group:
        yield Ranks(group)


@contextmanager
def joined(
    launched: Launched, lost_after_s: float = LOST_AFTER_S, to_meet_s: float = TO_MEET_S
) -> Iterator[ProcessGroup]:
    """The group of all processes that were launched, when all are there.

    One for which the others wait longer than `lost_after_s` counts as lost.

    Raises InputError where they do not meet.
    """
    if launched.size == 1:
        yield OneProcess()
        return
    met = Future[None]()
    # In a thread, for torch waits without end for a server that takes calls and is none of its own.
    waits = (lost_after_s, to_meet_s)
    threading.Thread(target=_meet, args=(launched, *waits, met), daemon=True).start()
    try:
        met.result(to_meet_s + GRACE_S)
    except (RuntimeError, ValueError, OSError) as error:  # a TimeoutError is an OSError
        raise InputError(
            f"rank {launched.rank} did not meet the other {launched.size - 1} at {ADDRESS} = "
            f"{launched.address}, {PORT} = {launched.port} ({_first_line(error) or 'no answer'})",
            expected=f"all {launched.size} ranks, started within {to_meet_s:g} s of each other",
            fix="name the machine of rank 0 and a free port there, or see docs/many-machines.md",
        ) from error
    try:
        yield Gloo()
    finally:
        dist.destroy_process_group()


def _meet(launched: Launched, lost_after_s: float, to_meet_s: float, met: "Future[None]") -> None:
    """Make torch's default group; `met` hears of it, or why there is none."""
    try:
        store, *_ = next(rendezvous("env://", timeout=timedelta(seconds=to_meet_s)))
        dist.init_process_group(
            "gloo",
            store=store,
            rank=launched.rank,
            world_size=launched.size,
            timeout=timedelta(seconds=lost_after_s),
        )
        met.set_result(None)
    except Exception as error:
        met.set_exception(error)


def _wait(work: Any) -> None:
    """Until it is over; in small sleeps, so that Ctrl-C and SIGTERM are heard meanwhile."""
    began = time.monotonic()
    while not work.is_completed():
        time.sleep(min(LONGEST_SLEEP_S, (time.monotonic() - began) / 8))
    work.wait()


def _first_line(error: Exception) -> str:
    """What torch says, without the place in its source and its advice."""
    line = re.sub(r"^\[\S*\] ", "", str(error).partition("\n")[0])
    return line.partition(". ")[0].rstrip(".")
