"""The ranks of one run as threads of this process: what they tell each other takes no network."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from fedspike.federation.places.ranks.process_group import ProcessGroup

Result = TypeVar("Result")


class InThreads(ProcessGroup):
    """One of several threads, which meet at a table."""

    def __init__(self, rank: int, table: list[bytes], meeting: threading.Barrier) -> None:
        self.rank, self.size = rank, len(table)
        self.table, self.meeting = table, meeting

    def gather(self, content: bytes) -> list[bytes]:
        self.table[self.rank] = content
        self.meeting.wait(300)
        told = list(self.table)
        self.meeting.wait(300)
        return told


def in_ranks(size: int, work: Callable[[ProcessGroup], Result]) -> list[Result]:
    """What the work comes to in each rank of so many; the first error of any ends all."""
    table, meeting = [b""] * size, threading.Barrier(size)

    def one(rank: int) -> Result:
        try:
            return work(InThreads(rank, table, meeting))
        except BaseException:
            meeting.abort()
            raise

    with ThreadPoolExecutor(size) as pool:
        futures = [pool.submit(one, rank) for rank in range(size)]
        errors = [error for future in futures if (error := future.exception())]
        for error in errors:
            if not isinstance(error, threading.BrokenBarrierError):
                raise error
        return [future.result() for future in futures]
