"""Contestants take turns, so that a busy minute of the machine meets all of them, and are then compared.

Names tell who is who: `fedspike` is ourselves and `ann_fedspike` our ANN, with which all are compared whose
name begins with `ann_`; a name that ends with `bound` is a bound.
"""

import statistics
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Protocol

Seconds = dict[str, list[float]]


class Contestant(Protocol):
    """Whoever does a round of the same work."""

    def round(self, number: int) -> None: ...


def take_turns(
    contestants: Mapping[str, Contestant],
    repeats: int,
    *,
    reckoned: Callable[[], Mapping[str, float]] = dict,
    failures: tuple[type[Exception], ...] = (),
) -> Seconds:
    """Seconds of each contestant's rounds, all in turn within a repeat, after a warm-up round each.

    `reckoned` gives seconds that are reckoned once a repeat and not run. Who fails in the warm-up with one of
    `failures` is left out, and a line says so.
    """
    seconds: Seconds = {}
    for name, contestant in contestants.items():
        try:
            contestant.round(1)
        except failures as error:
            say(f"{name} is left out: {type(error).__name__}: {str(error).strip().splitlines()[0]}")
        else:
            seconds[name] = []
    say("warm-up round by everybody")
    contesting = tuple(seconds)
    for repeat in range(1, repeats + 1):
        for name in contesting:
            seconds[name].append(duration(contestants[name].round, repeat + 1))
        for name, bound in reckoned().items():
            seconds.setdefault(name, []).append(bound)
        say(f"round {repeat} of {repeats} by everybody")
    return seconds


def duration(run: Callable[[int], Any], argument: int) -> float:
    """Seconds that a call takes."""
    begun = time.perf_counter()
    run(argument)
    return time.perf_counter() - begun


def ratios(seconds: Seconds, *, apart: Collection[str] = ()) -> dict[str, float]:
    """How many times as long as ourselves each takes; for bounds, how many times as long as they we take.

    Medians of the ratios within a repeat; of those who ran `apart` from the others, ratios of medians.
    """
    result = {}
    for name, theirs in seconds.items():
        own = seconds[ours(name)]
        if name == ours(name):
            continue
        slow, fast = (own, theirs) if is_bound(name) else (theirs, own)
        if name in apart:
            result[name] = statistics.median(slow) / statistics.median(fast)
        else:
            result[name] = statistics.median(a / b for a, b in zip(slow, fast, strict=True))
    return result


def best(seconds: Seconds, names: Iterable[str]) -> str:
    """Who of them has the smallest median."""
    return min(names, key=lambda name: statistics.median(seconds[name]))


def ours(name: str) -> str:
    """Who of ourselves is compared with them."""
    return "ann_fedspike" if is_ann(name) else "fedspike"


def is_ann(name: str) -> bool:
    return name.startswith("ann_")


def is_bound(name: str) -> bool:
    return name.endswith("bound")


def say(what: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {what}", flush=True)
