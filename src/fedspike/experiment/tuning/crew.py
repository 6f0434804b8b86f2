"""Who trains: this process, or several processes that are told a training and answer round by round.

A process of a crew reads lines of JSON: first what all trainings share, then a job each. It ends when its
input does, and after the round it is in when whoever started it has gone.
"""

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, Protocol, runtime_checkable

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
from fedspike.experiment.tuning.objective import Job, Outcome, Working, train

PROGRAM = "import sys; from fedspike.experiment.tuning.crew import work; sys.exit(work())"
WITHIN_S = 5.0  # in which a process ends that has no more to do


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


class Processes:
    """Several processes, each of which trains one job after another."""

    def __init__(self, shared: Shared, size: int, stack: ExitStack) -> None:
        self.size = size
        self._idle: list[subprocess.Popen[bytes]] = []
        self._told: queue.Queue[Working | Outcome | int] = queue.Queue()
        for _ in range(size):
            program = stack.enter_context(_started())
            _write(program, shared)
            self._idle.append(program)
            listener = threading.Thread(target=self._listen, args=(program,), daemon=True)
            listener.start()

    def start(self, job: Job) -> None:
        """Give a job to a process that has none."""
        _write(self._idle.pop(), job)

    def next(self) -> Working | Outcome:
        """The next round of any job, or an outcome."""
        event = self._told.get()
        if isinstance(event, int):
            raise InputError(
                f"a process of the search ended with code {event}",
                expected="processes that train until they are told to end",
                fix="use fewer with --processes, if memory was short, and give the command again: it goes on",
            )
        return event

    def _listen(self, program: subprocess.Popen[bytes]) -> None:
        assert program.stdout is not None
        with program.stdout as lines:
            for line in lines:
                event = msgspec.json.decode(line, type=Working | Outcome)
                if isinstance(event, Outcome):
                    self._idle.append(program)
                self._told.put(event)
        self._told.put(program.wait())


def work() -> int:
    """What a process of a crew does: read jobs from its input and answer on its output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started us says when to end
    boss, told, answers = os.getppid(), sys.stdin.buffer, sys.stdout.buffer
    try:
        shared = msgspec.json.decode(told.readline(), type=Shared)
        source = Document(shared.file, shared.text, shared.values)
        train_with = _prepared(shared, source)
        for line in told:
            for event in train(msgspec.json.decode(line, type=Job), source, *train_with):
                if os.getppid() != boss:
                    return 1
                answers.write(msgspec.json.encode(event) + b"\n")
                answers.flush()
    except InputError as error:
        sys.stderr.write(f"fedspike: {error}\n")
        return 2
    return 0


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


@contextmanager
def _started() -> Iterator[subprocess.Popen[bytes]]:
    """A process of a crew, which ends when we are done with it."""
    try:
        program = subprocess.Popen(
            [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
    except OSError as error:
        raise InputError(
            f"{sys.executable}: {error.strerror}",
            expected="a Python that can be started, and memory for one more process",
            fix="use fewer with --processes",
        ) from error
    try:
        yield program
    finally:
        _pipe(program).close()
        try:
            program.wait(WITHIN_S)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()


def _write(program: subprocess.Popen[bytes], message: Struct) -> None:
    """Tell a process something; of one that ended, its listener hears."""
    try:
        _pipe(program).write(msgspec.json.encode(message) + b"\n")
        _pipe(program).flush()
    except BrokenPipeError:
        return


def _pipe(program: subprocess.Popen[bytes]) -> IO[bytes]:
    assert program.stdin is not None
    return program.stdin
