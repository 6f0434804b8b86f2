"""What each network needs until an accuracy that both reach: rounds, bytes and energy, from the records.

The accuracy is the highest that every run of both networks reaches, in steps of a tenth of a percent. A run
pays for all its rounds up to the first in which its test reaches it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fedspike.energy.account import bills, rounds_to, until
from fedspike.energy.estimate import Estimate, estimate
from fedspike.energy.levels import HIGHEST_WITHOUT_RADIO
from fedspike.energy.profiles import Profile
from fedspike.records.schema import RoundRecord, RunSummary
from fedspike.report.analysis.settings import Comparison, Network

STEPS = 1000  # of an accuracy
Rounds = Callable[[RunSummary], Sequence[RoundRecord]]


@dataclass(frozen=True)
class Effort:
    """What a network needed on average over its seeds; no energy where it has no price."""

    network: Network
    rounds: Estimate
    megabytes: Estimate
    joules: Estimate | None


@dataclass(frozen=True)
class EqualAccuracy:
    """A comparison, the accuracy that both networks reach, and what each needs for it."""

    comparison: Comparison
    target: float
    efforts: tuple[Effort, ...]

    @property
    def label(self) -> str:
        """The setting, and the variant."""
        return self.comparison.label


def equal_accuracy(
    comparison: Comparison, rounds_of: Rounds, profile: Profile
) -> EqualAccuracy | None:
    """At the prices of a profile; None without a pair, or where a run has reached nothing by training."""
    networks = comparison.networks
    if not comparison.pairs():
        return None
    reached = min(max(run.accuracy) for network in networks for run in network.runs)
    target = math.floor(reached * STEPS + 1e-9) / STEPS
    efforts = [_effort(network, target, rounds_of, profile) for network in networks]
    made = tuple(effort for effort in efforts if effort is not None)
    return EqualAccuracy(comparison, target, made) if len(made) == len(networks) else None


def _effort(network: Network, target: float, rounds_of: Rounds, profile: Profile) -> Effort | None:
    numbers, megabytes, joules = [], [], []
    for run in network.runs:
        records = rounds_of(run)
        number = rounds_to(records, target)
        first = until(records, number, run.network_operations)
        if number is None or first is None:
            return None
        numbers.append(float(number))
        megabytes.append((first.uplink_bytes + first.downlink_bytes) / 1e6)
        bill = bills(first, None, [profile], ())[profile.name].get(HIGHEST_WITHOUT_RADIO)
        joules += [bill.run.nominal_mj / 1000] if bill and bill.is_comparable else []
    priced = estimate(joules) if len(joules) == len(numbers) else None
    return Effort(network, estimate(numbers), estimate(megabytes), priced)
