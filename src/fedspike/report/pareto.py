"""Networks as points, energy against accuracy, and the front: those that no other beats in both."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fedspike.energy.estimate import Estimate, estimate
from fedspike.energy.levels import HIGHEST_WITHOUT_RADIO, Level, up_to
from fedspike.report.comparison import Comparison, Group, groups_of
from fedspike.report.study_tables import SHORT


@dataclass(frozen=True)
class Point:
    """A network: what a round costs it at nominal prices, and its accuracy after the last, in percent."""

    name: str
    network: str
    energy_mj: float
    accuracy: Estimate


def points(comparisons: Sequence[Comparison], profile: str) -> list[Point]:
    """The networks that a profile prices, at its highest level without the radio."""
    found = []
    for group in groups_of(comparisons):
        level = highest_level(group, profile)
        energy = energy_mj(group, profile, level) if level else None
        if energy is not None and energy.mean > 0:
            found.append(Point(name(group), group.network, energy.mean, group.accuracy))
    return found


def front(points: Sequence[Point]) -> list[Point]:
    """From the cheapest on, each point that is more accurate than all that are no dearer."""
    found: list[Point] = []
    best = -math.inf
    for point in sorted(points, key=lambda point: (point.energy_mj, -point.accuracy.mean)):
        if point.accuracy.mean > best:
            found.append(point)
            best = point.accuracy.mean
    return found


def name(group: Group) -> str:
    """What a network is called among those of its setting."""
    return group.variant or SHORT[group.network]


def energy_mj(group: Group, profile: str, level: Level) -> Estimate | None:
    """A round's energy; None where a seed has no bill for it, or its synapses no price."""
    billed = [(run.bill or {}).get(profile, {}).get(level) for run in group.runs]
    known = [one.nominal_mj for one in billed if one and one.is_comparable]
    return estimate(known) if len(known) == len(billed) else None


def highest_level(group: Group, profile: str) -> Level | None:
    """The level with most in it that a profile has a bill for, but for the radio's."""
    levels = (group.runs[0].bill or {}).get(profile, {})
    return next(
        (level for level in reversed(up_to(HIGHEST_WITHOUT_RADIO)) if level in levels), None
    )


def profiles(comparisons: Sequence[Comparison]) -> list[str]:
    """The profiles that there are bills of."""
    runs = [run for group in groups_of(comparisons) for run in group.runs]
    return list(dict.fromkeys(profile for run in runs for profile in run.bill or {}))
