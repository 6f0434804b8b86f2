"""Processes that are told jobs, line by line of JSON, and tell what becomes of them in the same way.

Each does one job after another. It ends when its input does: at once, whatever it is in, for then whoever
started it is done, or has gone.
"""

import logging
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import IO, Any, Generic, TypeVar

import msgspec
from msgspec import Struct

from fedspike.errors import InputError

WITHIN_S = 5.0  # in which a process ends that has no more to do
FEWER = "--workers"  # the option of a command that says how many there are
LOST = 1  # the exit code of one that was in the middle of a job then

Told = TypeVar("Told", bound=Struct)


class Processes(Generic[Told]):
    """Several processes of a `program`, which is Python code that calls `serve`.

    Each is told its own of the `first` messages, then jobs. What comes back is of one of the types of `told`;
    those of `last` end a job.
    """

    def __init__(
        self,
        program: str,
        first: Sequence[Struct],
        told: Any,
        last: type[Struct],
        stack: ExitStack,
    ) -> None:
        self.size = len(first)
        self._types, self._last = told, last
        self._idle: list[subprocess.Popen[bytes]] = []
        self._told: queue.Queue[Told | int] = queue.Queue()
        for message in first:
            one = stack.enter_context(_started(program))
            _write(one, message)
            self._idle.append(one)
            threading.Thread(target=self._listen, args=(one,), daemon=True).start()

    def start(self, job: Struct) -> None:
        """Give a job to a process that has none."""
        _write(self._idle.pop(), job)

    def next(self) -> Told:
        """What happens next, with any job; waits for it."""
        event = self._told.get()
        if isinstance(event, int):
            raise InputError(
                f"a process that trained ended with code {event}",
                expected="processes that train until they are told to end",
                fix=f"use fewer with {FEWER}, if memory was short, and give the command again: it"
                " goes on",
            )
        return event

    def _listen(self, one: subprocess.Popen[bytes]) -> None:
        assert one.stdout is not None
        with one.stdout as lines:
            for line in lines:
                event = msgspec.json.decode(line, type=self._types)
                if isinstance(event, self._last):
                    self._idle.append(one)
                self._told.put(event)
        self._told.put(one.wait())


def serve(prepare: Callable[[bytes], Callable[[bytes], Iterator[Struct]]]) -> int:
    """What a process does: `prepare` makes of the first line what makes answers of each line after it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started us says when to end
    lines: queue.Queue[bytes] = queue.Queue()

    def listen() -> None:
        for line in sys.stdin.buffer:
            lines.put(line)
        if lines.unfinished_tasks:
            os._exit(LOST)  # all that is stored is whole at any moment
        lines.put(b"")

    threading.Thread(target=listen, daemon=True).start()
    answers = sys.stdout.buffer
    try:
        answer = prepare(lines.get())
        lines.task_done()
        while line := lines.get():
            for event in answer(line):
                answers.write(msgspec.json.encode(event) + b"\n")
                answers.flush()
            lines.task_done()
    except InputError as error:
        sys.stderr.write(f"fedspike: {error}\n")
        return 2
    except BrokenPipeError:
        return LOST
    return 0


@contextmanager
def _started(program: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process, which ends when we are done with it, and warns of nothing where this one does not."""
    if not logging.getLogger("fedspike").isEnabledFor(logging.WARNING):
        program = f"import logging; logging.disable(); {program}"
    try:
        one = subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
    except OSError as error:
        raise InputError(
            f"{sys.executable}: {error.strerror}",
            expected="a Python that can be started, and memory for one more process",
            fix=f"use fewer with {FEWER}",
        ) from error
    try:
        yield one
    finally:
        _pipe(one).close()
        try:
            one.wait(WITHIN_S)
        except subprocess.TimeoutExpired:
            one.kill()
            one.wait()


def _write(one: subprocess.Popen[bytes], message: Struct) -> None:
    """Tell a process something; of one that ended, its listener hears."""
    try:
        _pipe(one).write(msgspec.json.encode(message) + b"\n")
        _pipe(one).flush()
    except BrokenPipeError:
        return


def _pipe(one: subprocess.Popen[bytes]) -> IO[bytes]:
    assert one.stdin is not None
    return one.stdin
