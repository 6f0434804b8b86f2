"""What the networks of one comparison cost a single device, from the records of their rounds."""

from collections.abc import Iterator
from dataclasses import dataclass

from fedspike.energy.estimate import Estimate, estimate
from fedspike.energy.on_device import OnDevice, on_device
from fedspike.energy.pricing import Hardware
from fedspike.energy.profiles import Profile
from fedspike.report.analysis.equal_accuracy import Courses
from fedspike.report.analysis.settings import Comparison, Network


@dataclass(frozen=True)
class DeviceCost:
    """A network at the prices of a profile, on one device; a number for each seed."""

    network: Network
    profile: Profile
    costs: tuple[OnDevice, ...]

    def mean(self, field: str) -> Estimate | None:
        """Over the seeds, of a field of `OnDevice`; None where that cannot be said."""
        values = [getattr(one, field) for one in self.costs]
        return None if None in values else estimate([float(value) for value in values])


@dataclass(frozen=True)
class DeviceCosts:
    """The networks of a comparison on one device, and with what hardware."""

    comparison: Comparison
    hardware: Hardware
    profiles: tuple[Profile, ...]
    rows: tuple[DeviceCost, ...]

    @property
    def not_priced(self) -> list[str]:
        """Work that is missing in the energy of a network."""
        costs = [cost for row in self.rows for cost in row.costs]
        return list(dict.fromkeys(term for cost in costs for term in cost.not_priced))


def device_costs(
    comparison: Comparison,
    course_of: Courses,
    hardware: Hardware,
    profiles: tuple[Profile, ...],
) -> DeviceCosts | None:
    """At the prices of these profiles; None where the rounds of a run are not here."""

    def costs(network: Network) -> Iterator[list[OnDevice]]:
        for run in network.runs:
            course = course_of(run)
            whole = course.works[-1] if course else None
            yield [
                on_device(whole, course.trainings, profile, hardware.radio, hardware.duty)
                for profile in profiles
                if course is not None and whole is not None
            ]

    rows = []
    for network in comparison.networks:
        by_seed = list(costs(network))
        if not all(by_seed):
            return None
        for profile, own in zip(profiles, zip(*by_seed, strict=True), strict=True):
            rows.append(DeviceCost(network, profile, own))
    return DeviceCosts(comparison, hardware, profiles, tuple(rows))
