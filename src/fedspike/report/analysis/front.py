"""Networks as points, energy against accuracy, and the Pareto front: those that no other beats in both."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fedspike.energy.estimate import Estimate
from fedspike.report.analysis.energy_view import energy_mj, highest_level
from fedspike.report.analysis.settings import Network


@dataclass(frozen=True)
class Point:
    """A network: the energy of a round at nominal prices, and its accuracy after the last, in percent."""

    name: str
    is_spiking: bool
    energy_mj: float
    accuracy: Estimate


def points(networks: Sequence[Network], profile: str) -> list[Point]:
    """The networks that a profile prices, at its highest level without the radio."""
    made = []
    for network in networks:
        level = highest_level(network, profile)
        energy = energy_mj(network, profile, level) if level else None
        if energy is not None and energy.mean > 0:
            made.append(Point(network.name, network.is_spiking, energy.mean, network.accuracy))
    return made


def front(points: Sequence[Point]) -> list[Point]:
    """From the cheapest on, each point that is more accurate than all that cost no more."""
    best: list[Point] = []
    highest = -math.inf
    for point in sorted(points, key=lambda point: (point.energy_mj, -point.accuracy.mean)):
        if point.accuracy.mean > highest:
            best.append(point)
            highest = point.accuracy.mean
    return best
