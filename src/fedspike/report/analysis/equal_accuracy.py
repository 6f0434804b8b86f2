"""What networks, or methods, need until an accuracy that all of them reach, from the records of their rounds.

Rounds, bytes, energy and, where there is a clock, simulated time. The accuracy is the highest that every run
reaches, in steps of a tenth of a percent. A run pays for all its rounds up to the first in which its test
reaches it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fedspike.energy.account import rounds_to
from fedspike.energy.estimate import Estimate, estimate
from fedspike.energy.profiles import Profile
from fedspike.records.schema import RunSummary
from fedspike.report.analysis.course import Course
from fedspike.report.analysis.settings import Comparison, Network
from fedspike.report.analysis.side_by_side import Row, SideBySide

STEPS = 1000  # of an accuracy
Courses = Callable[[RunSummary], Course | None]


@dataclass(frozen=True)
class Effort:
    """What runs needed on average over their seeds; no energy without a price, no seconds without a clock."""

    rounds: Estimate
    megabytes: Estimate
    joules: Estimate | None
    seconds: Estimate | None


@dataclass(frozen=True)
class EqualAccuracy:
    """A comparison, the accuracy that both networks reach, and what each needs for it."""

    comparison: Comparison
    target: float
    efforts: tuple[tuple[Network, Effort], ...]

    @property
    def label(self) -> str:
        """The setting, and the variant."""
        return self.comparison.label


@dataclass(frozen=True)
class EqualMethod:
    """A method in a setting, the accuracy that it and all others there reach, and what it needs for it."""

    row: Row
    method: str
    target: float
    effort: Effort


def equal_accuracy(
    comparison: Comparison, course_of: Courses, profile: Profile
) -> EqualAccuracy | None:
    """At the prices of a profile; None without a pair, or where a run has reached nothing by training."""
    if not comparison.pairs():
        return None
    networks = comparison.networks
    target = _target([run for network in networks for run in network.runs])
    made = [(one, _effort(one.runs, target, course_of, profile)) for one in networks]
    efforts = tuple((network, effort) for network, effort in made if effort is not None)
    return EqualAccuracy(comparison, target, efforts) if len(efforts) == len(networks) else None


def equal_methods(side: SideBySide, course_of: Courses, profile: Profile) -> list[EqualMethod]:
    """The methods of each row whose accuracy is of the baseline's kind, as far as several can be compared."""
    made = []
    for row in side.rows:
        methods = {name: row.runs[name] for name in side.compared if name in row.runs}
        target = _target([run for runs in methods.values() for run in runs]) if methods else 0.0
        efforts = {
            name: effort
            for name, runs in methods.items()
            if (effort := _effort(runs, target, course_of, profile)) is not None
        }
        if len(efforts) == len(methods) > 1:
            made += [EqualMethod(row, name, target, effort) for name, effort in efforts.items()]
    return made


def _target(runs: Sequence[RunSummary]) -> float:
    """The highest accuracy that all of them reach."""
    return math.floor(min(max(run.accuracy) for run in runs) * STEPS + 1e-9) / STEPS


def _effort(
    runs: Sequence[RunSummary], target: float, course_of: Courses, profile: Profile
) -> Effort | None:
    numbers, megabytes, joules, seconds = (list[float]() for _ in range(4))
    for run in runs:
        course = course_of(run)
        number = rounds_to(course.accuracy, target) if course else None
        if course is None or number is None or course.works[number - 1] is None:
            return None
        numbers.append(float(number))
        megabytes.append(course.sent_bytes[number - 1] / 1e6)
        joules += course.joules([number], profile) or []
        seconds += course.seconds[number - 1 : number] if course.seconds else []
    both = (joules, seconds)
    priced, timed = (estimate(one) if len(one) == len(numbers) else None for one in both)
    return Effort(estimate(numbers), estimate(megabytes), priced, timed)
