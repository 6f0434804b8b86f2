"""Which network to choose, and why; or why that cannot be said.

A comparison is decided in this order:

1. Each network must work, and have settled (`records/health.py`, `convergence.py`): else nothing is decided.
2. Accuracy: one is ahead, or both are alike within a point (`gaps.py`): else nothing is decided.
3. Energy, by every price table, up to training where a table goes so far: one needs less under four of five
   at least, the SNN also against an ANN on hardware that skips zeros; or it depends on the hardware.

    accuracy ahead or alike, energy the same side    choose that network
    alike, and energy depends                        it depends on the hardware
    one ahead in accuracy, the other in energy       it depends on which counts more
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from fedspike.energy.levels import HIGHEST_WITHOUT_RADIO, Level, includes
from fedspike.energy.verdict import Verdict
from fedspike.report.analysis.convergence import unsettled
from fedspike.report.analysis.energy_view import EnergyView, Rival
from fedspike.report.analysis.gaps import Gap
from fedspike.report.analysis.settings import Comparison, Network

Side = Literal["spiking", "conventional"]
Answer = Literal["spiking", "conventional", "depends", "undecided"]
SIDES: tuple[Side, ...] = ("spiking", "conventional")
NEARLY_ALL = 0.8  # of the price tables


@dataclass(frozen=True)
class Tables:
    """The verdicts of all price tables against one rival, each at the highest level that the table has."""

    rival: Rival
    verdicts: tuple[Verdict, ...]

    def of(self, side: Side) -> list[Verdict]:
        """Those by which this network needs less."""
        return [verdict for verdict in self.verdicts if verdict.winner == side]

    @property
    def cheaper(self) -> Side | None:
        """The network that needs less under nearly all tables."""
        for side in SIDES:
            if len(self.of(side)) >= NEARLY_ALL * len(self.verdicts):
                return side
        return None


@dataclass(frozen=True)
class Choice:
    """What a comparison says of its two networks."""

    comparison: Comparison
    gap: Gap
    tables: tuple[Tables, ...]
    faults: tuple[str, ...]

    @cached_property
    def cheaper(self) -> Side | None:
        """The network that needs less energy under nearly every price table, the SNN against every rival."""
        sides = [tables.cheaper for tables in self.tables]
        if sides[:1] == ["conventional"]:
            return "conventional"
        return "spiking" if sides and {*sides} == {"spiking"} else None

    @property
    def priced(self) -> bool:
        """Whether any table says who needs less."""
        return bool(self.tables)

    @property
    def ahead(self) -> Side | None:
        """The network that is surely more accurate, by what matters."""
        return None if self.gap.alike else self.gap.ahead or None

    @property
    def answer(self) -> Answer:
        """Which network to choose, as far as that can be said."""
        if self.faults or not (self.gap.ahead or self.gap.alike):
            return "undecided"
        if not self.priced:
            return self.ahead or "undecided"
        if self.cheaper is None or (self.ahead and self.ahead != self.cheaper):
            return "depends"
        return self.cheaper

    def network(self, side: Side | None) -> Network:
        """The network of a side."""
        network = self.comparison.spiking if side == "spiking" else self.comparison.reference
        assert network is not None, "only comparisons of two networks are decided"
        return network


@dataclass(frozen=True)
class Saving:
    """How many times less energy one network needs in all of some comparisons, by the tables that agree.

    The factor goes from `least` to `most`; it is infinite where the other network alone needs any. `agreeing`
    and `tables` have a number for each comparison. `others` are the tables by which it does not need less in
    one at least, `in_all` says whether these are the same everywhere.
    """

    network: Network
    least: float
    most: float
    agreeing: tuple[int, ...]
    tables: tuple[int, ...]
    others: tuple[str, ...]
    in_all: bool


def saving(group: Sequence[Choice]) -> Saving | None:
    """Of these comparisons together; None where not the same network is the cheaper one in each."""
    side = group[0].cheaper
    if side is None or any(choice.cheaper != side for choice in group):
        return None
    tables = [choice.tables[0] for choice in group]
    ratios = [one.ratio or 0.0 for own in tables for one in own.of(side)]
    if side == "spiking":
        ratios = [1 / ratio if ratio else math.inf for ratio in ratios]
    others = [[one.profile for one in own.verdicts if one.winner != side] for own in tables]
    return Saving(
        group[0].network(side),
        min(ratios),
        max(ratios),
        tuple(len(own.of(side)) for own in tables),
        tuple(len(own.verdicts) for own in tables),
        tuple(dict.fromkeys(name for own in others for name in own)),
        all({*own} == {*others[0]} for own in others),
    )


def choices(
    comparisons: Sequence[Comparison], gaps: Sequence[Gap | None], view: EnergyView | None
) -> list[Choice]:
    """What each comparison says that has runs of one seed of both networks."""
    return [
        Choice(one, gap, _tables(one, view), tuple(_faults(one)))
        for one, gap in zip(comparisons, gaps, strict=True)
        if gap
    ]


def _faults(comparison: Comparison) -> list[str]:
    """Why nothing is decided: each network that does not work, or has not settled."""
    both = [*filter(None, (comparison.reference, comparison.spiking))]
    unfit = {network.title: [why for run in network.runs for why in run.unfit] for network in both}
    broken = [f"the {name} does not work ({why[0]})" for name, why in unfit.items() if why]
    restless = [f"the {network.title} {why}" for network in both if (why := unsettled(network))]
    return broken or restless


def _tables(comparison: Comparison, view: EnergyView | None) -> tuple[Tables, ...]:
    """Of the reference, and of it on hardware that skips zeros, as far as there are verdicts."""
    reference = comparison.reference
    if view is None or reference is None:
        return ()
    made = []
    for rival in (Rival(reference), Rival(reference, skips_zeros=True)):
        highest: dict[str, tuple[Level, Verdict]] = {}
        for (profile, level), verdict in view.verdicts(rival, comparison).items():
            before = highest.get(profile)
            if verdict.ratio is None or not includes(HIGHEST_WITHOUT_RADIO, level):
                continue
            if before is None or includes(level, before[0]):
                highest[profile] = level, verdict
        if highest:
            made.append(Tables(rival, tuple(verdict for _, verdict in highest.values())))
    return tuple(made)
