"""Who trains: this process, or several processes that are told a training and answer round by round.

A process of a crew is told first what all trainings share, then a job each.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import msgspec
from msgspec import Struct

from fedspike import own_files
from fedspike.data import Dataset
from fedspike.data.dataset import ignore
from fedspike.data.validation import held_out
from fedspike.errors import InputError
from fedspike.experiment.describing import data_sha256
from fedspike.experiment.document import Document
from fedspike.experiment.kinds import Kinds
from fedspike.experiment.plans import plan_of
from fedspike.experiment.processes import Processes, serve
from fedspike.experiment.tuning.objective import Job, Outcome, Working, train

PROGRAM = "import sys; from fedspike.experiment.tuning.crew import work; sys.exit(work())"


class Shared(Struct, frozen=True):
    """What all trainings of a search share; `use` are files with parts of the user's own."""

    file: str
    text: str
    values: dict[str, Any]
    use: list[str]
    validation: float
    data_sha256: str
    device: str
    threads: int


@runtime_checkable
class Crew(Protocol):
    """Takes jobs, so many at once, and tells what becomes of them."""

    size: int

    def start(self, job: Job) -> None:
        """Begin with a job; not more at once than the crew's size."""

    def next(self) -> Working | Outcome:
        """What happens next; waits for it."""


class Alone:
    """This process, which trains one job after another."""

    size = 1

    def __init__(self, source: Document, kinds: Kinds, dataset: Dataset, device: str) -> None:
        self._all = (source, kinds, dataset, device)
        self._events: Iterator[Working | Outcome] = iter(())

    def start(self, job: Job) -> None:
        """Begin with a job."""
        self._events = train(job, *self._all)

    def next(self) -> Working | Outcome:
        """The next round, or the outcome."""
        return next(self._events)


def crew(shared: Shared, size: int, stack: ExitStack) -> Processes[Working | Outcome]:
    """Several processes, each of which trains one job after another."""
    return Processes(PROGRAM, [shared] * size, Working | Outcome, Outcome, "--processes", stack)


def work() -> int:
    """What a process of a crew does."""

    def prepare(line: bytes) -> Callable[[bytes], Iterator[Working | Outcome]]:
        shared = msgspec.json.decode(line, type=Shared)
        source = Document(shared.file, shared.text, shared.values)
        train_with = _prepared(shared, source)
        return lambda job: train(msgspec.json.decode(job, type=Job), source, *train_with)

    return serve(prepare)


def _prepared(shared: Shared, source: Document) -> tuple[Kinds, Dataset, str]:
    """The user's own kinds, the data with what is held out, and the device."""
    import torch

    torch.set_num_threads(shared.threads)
    kinds = Kinds(own_files.load(map(Path, shared.use)))
    data = plan_of(source, source.with_values({}), kinds).data.load(ignore)
    if data_sha256(data) != shared.data_sha256:
        raise InputError(
            f"{data.source} changed since the search began",
            expected="the same data in all processes",
            fix="give the command again",
        )
    return kinds, held_out(data, shared.validation), shared.device
