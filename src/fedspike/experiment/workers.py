"""The runs of an experiment in several processes of this machine, each of which trains one after another."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from fedspike.data.dataset import ignore
from fedspike.engine.choice import device_of_rank
from fedspike.errors import InputError
from fedspike.experiment.processes import Processes, serve
from fedspike.experiment.shared import Shared
from fedspike.experiment.sweep import Experiment, Run, expand
from fedspike.experiment.training import Training, first_rounds, one_of_each, train
from fedspike.records import reader
from fedspike.records.events import Event, Finished, Started, Trained
from fedspike.records.schema import RoundRecord

PROGRAM = "import sys; from fedspike.experiment.workers import work; sys.exit(work())"


class ForRuns(Shared, frozen=True):
    """What all runs share, and the folder of theirs."""

    what = "command"

    folder: str


class Job(Struct, frozen=True):
    """A run, or only its first rounds."""

    run: str
    first_rounds: bool = False


class Began(Struct, frozen=True, tag="began"):
    """It begins, or goes on after so many rounds."""

    run: str
    rounds_done: int


class Went(Struct, frozen=True, tag="went"):
    """A round of it is over and stored."""

    run: str
    record: RoundRecord


class Ended(Struct, frozen=True, tag="ended"):
    """It is over and stored; or why it cannot be: what was passed, what was expected, and the fix."""

    run: str
    fault: tuple[str, str, str] | None = None


Told = Began | Went | Ended


def trained(
    experiment: Experiment,
    runs: Sequence[Run],
    homes: Mapping[str, Path],
    data_sha256: str,
    training: Training,
) -> Iterator[Event]:
    """What happens while these runs are trained in so many processes as `training` says.

    Raises InputError where one cannot be trained or stored, or a process ends before it was told to.
    """
    workers, source = training.workers, experiment.source
    assert workers is not None  # who asks for them says how many
    size = min(workers.size, len(runs))
    firsts = [
        ForRuns(
            source.file,
            source.text,
            source.values,
            workers.use,
            data_sha256,
            device_of_rank(training.device, number),
            workers.threads,
            str(homes[runs[0].name].parent),
        )
        for number in range(size)
    ]
    with ExitStack() as stack:
        crew = Processes[Told](PROGRAM, firsts, Told, Ended, stack)
        jobs = [Job(run.name, first_rounds=True) for run in one_of_each(runs, training)]
        jobs += [Job(run.name) for run in runs]
        running: dict[str, Job] = {}
        while jobs or running:
            while len(running) < size and (job := _next(jobs, running)):
                crew.start(job)
                running[job.run] = job
            match crew.next():
                case Began(run=run, rounds_done=number):
                    yield Started(run, number)
                case Went(run=run, record=record):
                    yield Trained(run, record)
                case Ended(run=run, fault=fault):
                    if fault is not None:
                        passed, expected, fix = fault
                        raise InputError(passed, expected=expected, fix=fix)
                    if not running.pop(run).first_rounds:
                        summary = reader.run(homes[run])
                        assert summary is not None  # it was stored before it was told
                        yield Finished(run, summary)


def _next(jobs: list[Job], running: Mapping[str, Job]) -> Job | None:
    """The first job whose run nobody is at; it is taken off the list."""
    for job in jobs:
        if job.run not in running:
            jobs.remove(job)
            return job
    return None


def work() -> int:
    """What a process does that trains runs."""
    return serve(_prepared)


def _prepared(line: bytes) -> Callable[[bytes], Iterator[Told]]:
    """What trains a run; with the user's own kinds, and the data."""
    shared = msgspec.json.decode(line, type=ForRuns)
    experiment = expand(*shared.begin())
    runs = {run.name: run for run in experiment.runs}
    data, training = experiment.runs[0].plan.data.load(ignore), Training(device=shared.device)
    shared.demand_same(data)

    def told(order: bytes) -> Iterator[Told]:
        job = msgspec.json.decode(order, type=Job)
        run, some = runs[job.run], first_rounds if job.first_rounds else train
        try:
            plan = replace(run.plan, data=data)
            for event in some(run, plan, Path(shared.folder) / run.name, training):
                match event:
                    case Started():
                        yield Began(event.run, event.rounds_done)
                    case Trained():
                        yield Went(event.run, event.record)
            yield Ended(run.name)
        except InputError as error:
            yield Ended(run.name, (error.passed, error.expected, error.fix))

    return told
