"""Ctrl-C and SIGTERM, and what to do then."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

from fedspike.cli.exit_codes import stopped_by

SHOW_CURSOR = "\x1b[?25h"  # a progress bar hides it


class Stopped(KeyboardInterrupt):
    """Ctrl-C or SIGTERM; `last_words` say what was kept, and how to go on."""

    def __init__(self, signal: int) -> None:
        super().__init__(signal)
        self.last_words = ""
        self.exit_code = stopped_by(signal)


def unwind(number: int) -> NoReturn:
    """End like any error, cleaning up on the way out."""
    raise Stopped(number)


def leave(number: int, last_words: str) -> NoReturn:
    """End here and now, without cleaning up: for when all that is stored is whole at any moment.

    An exception out of a signal handler may come between the taking of a lock and its release; the
    threads that draw input spikes then wait for it, and Python for them, for ever. That was seen.
    """
    text = (SHOW_CURSOR if sys.stderr.isatty() else "") + last_words
    with suppress(OSError):  # not sys.stderr, which may be in the middle of a write
        os.write(2, text.encode())
    os._exit(stopped_by(number))


@contextmanager
def on_stop(act: Callable[[int], NoReturn]) -> Iterator[None]:
    """Call `act` with the signal's number at Ctrl-C and SIGTERM.

    A process that was started to ignore Ctrl-C, as by nohup or in the background, goes on so.
    """

    def handle(number: int, _frame: FrameType | None) -> None:
        act(number)

    heeded = [s for s in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(s) != signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
