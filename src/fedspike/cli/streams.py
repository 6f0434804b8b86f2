"""Standard streams as a process may find them: closed, full, or read by nobody any more."""

import io
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

OUTPUT, ERRORS = 1, 2  # their descriptors


class Unwritable(OSError):
    """Standard output takes no more of what was asked for."""


class _Answers(io.FileIO):
    """Where results go: what cannot be written there is an error of its own."""

    def write(self, content: Any) -> int:
        try:
            return super().write(content)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise Unwritable(error.errno, error.strerror) from error


class _Remarks(io.FileIO):
    """Where all else is said: no training ends because nobody can hear of it."""

    def write(self, content: Any) -> int:
        with suppress(OSError):
            return super().write(content)
        return memoryview(content).nbytes


class _Nowhere(io.TextIOBase):
    """Where nobody listens."""

    def write(self, text: str) -> int:
        return len(text)


def prepare() -> None:
    """Replace the streams of a process by such that answer for themselves; what is closed is silent.

    A closed one would give its number to the next file that is opened, a model perhaps. Characters that a
    stream does not have are written as escapes.
    """
    for descriptor in (0, OUTPUT, ERRORS):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free, which is this one
    if sys.stdout is sys.__stdout__:
        sys.stdout = _text(io.BufferedWriter(_Answers(OUTPUT, "w", closefd=False)), sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text(io.BufferedWriter(_Remarks(ERRORS, "w", closefd=False)), sys.stderr)


@contextmanager
def hushed() -> Iterator[None]:
    """Let nothing be heard of what is said meanwhile beside the answer; an error that ends it is."""
    log, heard = logging.getLogger("fedspike"), sys.stderr
    level = log.level
    log.setLevel(logging.CRITICAL)
    sys.stderr = _Nowhere()
    try:
        yield
    finally:
        sys.stderr = heard
        log.setLevel(level)


def silence() -> None:
    """Keep Python from writing, at its exit, what standard output did not take."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), OUTPUT)


def _text(stream: io.BufferedWriter, before: TextIO | None) -> TextIO:
    lines = before is None or bool(before.line_buffering)
    encoding = before.encoding if before else None
    return io.TextIOWrapper(stream, encoding, errors="backslashreplace", line_buffering=lines)
