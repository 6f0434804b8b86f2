"""How long an experiment still takes, by how long its rounds took so far."""

import math
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

RECENT = 50  # rounds whose mean counts: a machine gets busier, and a network that learns fires more


class Durations:
    """What the same thing took each time, in seconds; the first time of a process it takes longer."""

    def __init__(self) -> None:
        self.first: list[float] = []
        self.later: deque[float] = deque(maxlen=RECENT)

    def add(self, seconds: float, *, first: bool) -> None:
        """It took so long."""
        (self.first if first else self.later).append(seconds)

    @property
    def usual(self) -> float | None:
        """The mean; first times count only where there is no other. None before anything is known."""
        times = self.later or self.first
        return mean(times) if times else None


@dataclass(frozen=True)
class Left:
    """So many seconds are left, and more where the speed of some runs is not known yet.

    `seconds` is None where nothing is known.
    """

    seconds: float | None
    whole: bool


class TimeLeft:
    """How long the runs of an experiment still take; whoever watches says what happens to them.

    `rounds`, `variants` and `networks` are by the name of a run: how many rounds it has, what is the same
    where runs take as long, and the kind of network, whose mean counts until one of the variant has trained.
    `at_once` runs are trained side by side. `now` is a clock, in seconds.

    >>> moments = iter([0.0, 4.0, 5.0, 6.0])
    >>> time_left = TimeLeft({"ann": 10}, {"ann": "ann"}, {"ann": "ann"}, now=lambda: next(moments))
    >>> time_left.started("ann", 0)
    >>> for _ in range(3):
    ...     time_left.trained("ann")
    >>> time_left.left()
    Left(seconds=7.0, whole=True)
    """

    def __init__(
        self,
        rounds: Mapping[str, int],
        variants: Mapping[str, str],
        networks: Mapping[str, str],
        at_once: int = 1,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rounds, self.variants, self.networks = rounds, variants, networks
        self.at_once, self.now = at_once, now
        self.rounds_left = dict(rounds)
        self._unfinished = set(rounds)
        self._since: dict[str, float] = {}  # by run: when its newest event was
        self._fresh: set[str] = set()  # runs that have trained no round since they were started
        self._a_round: defaultdict[str, Durations] = defaultdict(Durations)  # by variant
        self._an_end: defaultdict[str, Durations] = defaultdict(Durations)

    @property
    def rounds_done(self) -> int:
        """Of all runs."""
        return sum(map(self.done, self.rounds))

    def done(self, run: str) -> int:
        """Rounds of a run."""
        return self.rounds[run] - self.rounds_left[run]

    def skipped(self, run: str) -> None:
        """A run was finished before."""
        self.rounds_left[run] = 0
        self._unfinished.discard(run)

    def started(self, run: str, rounds_done: int) -> None:
        """A run begins, or goes on after so many rounds."""
        self.rounds_left[run] = self.rounds[run] - rounds_done
        self._since[run] = self.now()
        self._fresh.add(run)

    def trained(self, run: str) -> None:
        """A round of it is over."""
        self.rounds_left[run] -= 1
        self._a_round[self.variants[run]].add(self._spent(run), first=run in self._fresh)
        self._fresh.discard(run)

    def finished(self, run: str) -> None:
        """It is over: its last tests are done, and its summary is stored."""
        self._an_end[self.variants[run]].add(self._spent(run), first=False)
        self._unfinished.discard(run)

    def _spent(self, run: str) -> float:
        now = self.now()
        before, self._since[run] = self._since.get(run, now), now
        return now - before

    def left(self) -> Left:
        """The time that is left."""
        rounds, ends = self._usual(self._a_round), self._usual(self._an_end)
        usual_end = mean(ends.values()) if ends else 0.0
        seconds, whole = [], True
        for run in self._unfinished:
            if run not in rounds and self.rounds_left[run]:
                whole = False
            else:
                a_round, end = rounds.get(run, 0.0), ends.get(run, usual_end)
                seconds.append(a_round * self.rounds_left[run] + end)
        if self._unfinished and not seconds:
            return Left(None, whole=False)
        return Left(side_by_side(seconds, self.at_once), whole)

    def _usual(self, durations: Mapping[str, Durations]) -> dict[str, float]:
        """What is usual of runs: of their variant, or the mean of those of the same network."""
        own = {variant: one.usual for variant, one in durations.items() if one.usual is not None}
        return usual_of_runs(own, self.variants, self.networks)


def usual_of_runs(
    seconds: Mapping[str, float], variants: Mapping[str, str], networks: Mapping[str, str]
) -> dict[str, float]:
    """What is usual of each run of which it is known: of its variant, else the mean of those of its network.

    `seconds` are by variant; `variants` and `networks` by the name of a run.

    >>> variants, networks = {"a": "x", "b": "y", "c": "z"}, {"a": "snn", "b": "snn", "c": "ann"}
    >>> usual_of_runs({"x": 2.0}, variants, networks)
    {'a': 2.0, 'b': 2.0}
    """
    alike = defaultdict[str, dict[str, float]](dict)
    for run, variant in variants.items():
        if variant in seconds:
            alike[networks[run]][variant] = seconds[variant]
    means = {network: mean(some.values()) for network, some in alike.items()}
    usual = {run: seconds.get(variants[run], means.get(networks[run])) for run in variants}
    return {run: one for run, one in usual.items() if one is not None}


def side_by_side(seconds: Sequence[float], at_once: int) -> float:
    """How long runs take that need so many seconds each, with so many of them at once.

    >>> side_by_side([3.0, 3.0, 6.0], 2), side_by_side([1.0, 6.0], 2), side_by_side([], 2)
    (6.0, 6.0, 0.0)
    """
    return max(math.fsum(seconds) / max(1, min(at_once, len(seconds))), *seconds, 0.0)
