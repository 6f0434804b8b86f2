"""What the fuzzers share: documents that are spoilt at random, and what every reader owes to them.

A fuzzer is a test marked `fuzz`: a few hundred inputs in the suite, 100,000 of each with `make fuzz`.
Files are spoilt here, and a failure names the number of the input, from which the same input is made again;
messages are drawn by Hypothesis, and a failure shows the least of them that fails.
"""

import copy
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

from fedspike.errors import InputError

TRIES = int(os.environ.get("FEDSPIKE_FUZZ", "300"))
LONGEST_S = 10
MOST_MEMORY = 512 * 2**20  # bytes that reading may add to the process, over all inputs
PORTION = 1000  # inputs after which Hypothesis, which remembers all that it drew, begins anew
STRANGE: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**31, 2**63, -(2**63), 10**30, 0.5, -0.0, 1e308, 5e-324,
    float("nan"), float("inf"), float("-inf"), "", "0", "nan", "\x00", "\ud800", "../x", "a" * 5000,
    [], [[]], [0] * 1000, {}, {"": {}}, {"kind": "no such"},
)  # fmt: skip


def withstands(
    read: Callable[[Any], object],
    spoil: Callable[[Random], Any],
    refusals: type[Exception] | tuple[type[Exception], ...] = InputError,
    one_in: int = 1,
) -> None:
    """Hold a reader to its promise: an answer or a refusal, soon, and in little memory.

    A reader that takes long is given `one_in` so many of the inputs.
    """
    before, refused = _memory_now(), 0
    for number in range(TRIES // one_in):
        given = spoil(Random(number))
        try:
            with _soon():
                read(given)
        except refusals:
            refused += 1
        except BaseException as error:
            raise AssertionError(f"input {number}: {given!r:.2000}") from error
    assert _most_memory() - before < MOST_MEMORY
    assert refused  # a fuzzer that spoils nothing tests nothing


def withstands_all(
    read: Callable[[Any], object],
    strategy: SearchStrategy[Any],
    one_in: int = 1,
    most_memory: int = MOST_MEMORY,
) -> None:
    """The same, of what Hypothesis draws, also where one thing drawn is several inputs."""
    before, refused = _memory_now(), 0

    def holds(drawn: Any) -> None:
        nonlocal refused
        try:
            with _soon():
                read(drawn)
        except InputError:
            refused += 1

    for number, done in enumerate(range(0, TRIES // one_in, PORTION)):
        portion = settings(
            max_examples=min(PORTION, TRIES // one_in - done),
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        )
        seed(number)(portion(given(strategy)(holds)))()
    assert _most_memory() - before < most_memory
    assert refused


def spoilt(document: Any, random: Random, changes: int = 3) -> Any:
    """A copy of tables, lists and values with one to `changes` things in it changed, lost or doubled."""
    document = copy.deepcopy(document)
    for _ in range(random.randint(1, changes)):
        places = [*_places(document)]
        if not places:
            break
        inside, key = random.choice(places)
        what = random.randrange(5)
        if what == 0:
            del inside[key]
        elif what == 1:
            other = random.choice(places)[0]
            inside[key] = copy.deepcopy(other) if other is not document else []
        elif what == 2 and isinstance(inside, dict):
            inside[random.choice(["", "kind", "x", str(key) + "s"])] = inside.pop(key)
        elif what == 3 and isinstance(inside, list):
            inside.append(copy.deepcopy(inside[key]))
        else:
            inside[key] = copy.deepcopy(random.choice(STRANGE))
    return document


def spoilt_bytes(content: bytes, random: Random, changes: int = 3) -> bytes:
    """The content with one to `changes` bytes, stretches or lines flipped, cut, put in or doubled."""
    spoilt = bytearray(content)
    for _ in range(random.randint(1, changes)):
        start = random.randrange(len(spoilt) + 1)
        end = min(len(spoilt), start + random.choice([1, 1, 2, 8, 64, 1024]))
        what = random.randrange(6)
        if what == 0 and start < len(spoilt):
            spoilt[start] ^= 1 << random.randrange(8)
        elif what == 1:
            del spoilt[start:end]
        elif what == 2:
            spoilt[start:start] = random.randbytes(end - start)
        elif what == 3:
            spoilt[start:start] = spoilt[start:end]
        elif what == 4:
            del spoilt[start:]
        else:
            lines = bytes(spoilt).splitlines(keepends=True) or [b""]
            at, to = random.randrange(len(lines)), random.randrange(len(lines))
            lines[at] = random.choice([b"", b"\n", lines[at] * 2, lines[to]])
            spoilt = bytearray(b"".join(lines))
    return bytes(spoilt)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container and key in it."""
    keys = list(value) if isinstance(value, dict) else range(len(value))
    for key in keys if isinstance(value, dict | list) else ():
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


@contextmanager
def _soon() -> Iterator[None]:
    def late(*_: object) -> None:
        raise TimeoutError(f"no answer within {LONGEST_S} s")

    former, started = signal.signal(signal.SIGALRM, late), time.monotonic()
    signal.alarm(LONGEST_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, former)
    assert time.monotonic() - started < LONGEST_S


def _memory_now() -> int:
    """What the process has, in bytes, where Linux forgets what it had; else the most that it has had."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _most_memory()


def _most_memory() -> int:
    """The most that the process has had since then, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
