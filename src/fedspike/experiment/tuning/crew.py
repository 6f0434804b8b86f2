"""Who trains: this process, or several processes that are told a training and answer round by round.

A process of a crew is told first what all trainings share, then a job each.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Protocol, runtime_checkable

import msgspec

from fedspike.data import Dataset
from fedspike.data.dataset import ignore
from fedspike.data.validation import held_out
from fedspike.experiment.document import Document
from fedspike.experiment.kinds import Kinds
from fedspike.experiment.plans import plan_of
from fedspike.experiment.processes import Processes, serve
from fedspike.experiment.shared import Shared
from fedspike.experiment.tuning.objective import Job, Outcome, Working, train

PROGRAM = "import sys; from fedspike.experiment.tuning.crew import work; sys.exit(work())"


class ForTrials(Shared, frozen=True):
    """What all trainings of a search share, and the share of the images that is held out."""

    what = "search"

    validation: float


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


def crew(shared: ForTrials, size: int, stack: ExitStack) -> Processes[Working | Outcome]:
    """Several processes, each of which trains one job after another."""
    return Processes(PROGRAM, [shared] * size, Working | Outcome, Outcome, stack)


def work() -> int:
    """What a process of a crew does."""

    def prepare(line: bytes) -> Callable[[bytes], Iterator[Working | Outcome]]:
        shared = msgspec.json.decode(line, type=ForTrials)
        source, kinds = shared.begin()
        data = plan_of(source, source.with_values({}), kinds).data.load(ignore)
        shared.demand_same(data)
        train_with = (kinds, held_out(data, shared.validation), shared.device)
        return lambda job: train(msgspec.json.decode(job, type=Job), source, *train_with)

    return serve(prepare)
