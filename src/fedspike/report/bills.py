"""What the runs' bills say: who is cheaper, under which prices, at which level, against which ANN."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from fedspike.energy.account import RunBills
from fedspike.energy.bill import NOT_COUNTED
from fedspike.energy.estimate import ends
from fedspike.energy.levels import (
    ADDS,
    HIGHEST_WITHOUT_RADIO,
    LEVELS,
    Level,
    key,
    level_of_key,
    up_to,
)
from fedspike.energy.pairing import EnergyComparison
from fedspike.energy.profiles import radios, shipped
from fedspike.energy.verdict import Verdict
from fedspike.records.schema import RunSummary
from fedspike.report.comparison import Comparison, by_setting
from fedspike.report.tables import number

SHOWN_FIRST = "horowitz45-int8"
ADDED: dict[str, str] = {
    level: f"+ {added}" if place else added for place, (level, added) in enumerate(ADDS.items())
}
# Of these both networks do the same, so a price for them cannot turn the verdict.
ALIKE = ("optimiser", "aggregation", "exchange")
FULL_TINT_FACTOR = 20.0
MOST_NAMED = 6


@dataclass(frozen=True)
class Baseline:
    """A conventional network that the SNN is held against."""

    name: str
    title: str
    network: str
    skips_zeros: bool = False

    def bills(self, run: RunSummary) -> RunBills:
        """The bills of a run of this network, as hardware of this kind would pay them."""
        return run.bill_skip_zeros if self.skips_zeros else run.bill


BASELINES = (
    Baseline("dense", "ANN", "ann"),
    Baseline("zero-skipping", "ANN on hardware that skips zeros", "ann", skips_zeros=True),
    Baseline("quantised", "Quantised ANN", "qann"),
)


@dataclass(frozen=True)
class Priced:
    """The comparisons whose runs have bills; the page goes into the first of them."""

    comparisons: list[Comparison]
    stored: Sequence[EnergyComparison]
    radio: str  # the one with the least energy, at which what is computed weighs most
    profile: str  # whose charts are shown first

    @property
    def main(self) -> Comparison:
        """The comparison of the most even data."""
        return self.comparisons[0]

    @property
    def levels(self) -> tuple[Level, ...]:
        """The levels that there are figures for."""
        return LEVELS if self.radio else up_to(HIGHEST_WITHOUT_RADIO)

    @property
    def seeds(self) -> int:
        """How many seeds are behind a verdict against the ANN."""
        return len(self.main.pairs())

    def verdicts(self, baseline: Baseline, comparison: Comparison | None = None) -> list[Verdict]:
        """The verdict for every profile and level; empty where that baseline was not run."""
        pairs = (comparison or self.main).pairs(baseline.network)
        names = {(rival.name, snn.name) for rival, snn in pairs}
        verdicts = [
            verdict
            for one in self.stored
            if set(one.runs) == names
            for verdict in (one.verdicts_skip_zeros if baseline.skips_zeros else one.verdicts)
        ]
        shown = {self.key(level): level for level in self.levels}
        return [replace(one, level=shown[one.level]) for one in verdicts if one.level in shown]

    def key(self, level: Level) -> str:
        """The name of a level in a run's bills."""
        return key(level, self.radio)

    @property
    def level_names(self) -> list[str]:
        """What each level adds, in words."""
        return [ADDED[level] for level in self.levels]

    @property
    def radio_title(self) -> str:
        """The radio in words."""
        return radios()[self.radio].title if self.radio in radios() else self.radio


@dataclass(frozen=True)
class Cell:
    """A verdict as the matrix shows it; `turns` if what the winner did without a price could."""

    winner: str
    text: str
    span: str
    tint_percent: int
    turns: bool


@dataclass(frozen=True)
class Row:
    """A profile's cells, one for each level; None where its prices do not allow the level."""

    profile: str
    title: str
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True)
class Shown:
    """What the page says of the verdict; a matrix for each baseline, by its name."""

    matrices: dict[str, list[Row]]
    without_verdict: list[str]
    other_settings: list[str]


def shown(view: Priced) -> Shown:
    """The verdicts as the page has them."""
    return Shown(
        {baseline.name: matrix(view, baseline) for baseline in BASELINES},
        without_verdict(view, BASELINES[0]),
        list(other_settings(view)),
    )


def priced(comparisons: Sequence[Comparison], stored: Sequence[EnergyComparison]) -> Priced | None:
    """The comparisons that can be priced; None where no two runs of one seed have bills.

    `stored` are the verdicts in the summary of the experiment.
    """
    billed = [c for c in comparisons if any(a.bill and s.bill for a, s in c.pairs())]
    if not billed:
        return None
    bills = next(s.bill for a, s in billed[0].pairs() if a.bill and s.bill)
    sent = {
        level.partition(":")[2]: bill.nominal_mj
        for levels in bills.values()
        for level, bill in levels.items()
        if level_of_key(level) == "communication"
    }
    radio = min(sent, key=lambda name: sent[name]) if sent else ""
    view = Priced(billed, stored, radio, SHOWN_FIRST)
    judged = [v.profile for v in view.verdicts(BASELINES[0]) if v.ratio is not None]
    if SHOWN_FIRST in judged:
        return view
    return Priced(billed, stored, radio, judged[0] if judged else next(iter(bills)))


def profile_title(name: str) -> str:
    """The profile in words, if it ships with the package."""
    return shipped()[name].title if name in shipped() else name


def matrix(view: Priced, baseline: Baseline) -> list[Row]:
    """Profiles against levels, the profile kindest to the SNN first; without those of no verdict."""
    judged: dict[str, dict[str, Verdict]] = {}
    for one in view.verdicts(baseline):
        if one.ratio is not None:
            judged.setdefault(one.profile, {})[one.level] = one
    rows = sorted(judged, key=lambda profile: next(iter(judged[profile].values())).ratio or 0.0)
    return [
        Row(
            profile,
            profile_title(profile),
            tuple(_cell(judged[profile].get(level)) for level in view.levels),
        )
        for profile in rows
    ]


def without_verdict(view: Priced, baseline: Baseline) -> list[str]:
    """The profiles under which one of the two has no price for its synaptic operations."""
    verdicts = view.verdicts(baseline)
    can = {one.profile for one in verdicts if one.ratio is not None}
    return [p for p in dict.fromkeys(one.profile for one in verdicts) if p not in can]


def wins(verdicts: Sequence[Verdict], level: Level) -> dict[str, int]:
    """How many profiles each side wins at a level; "level" if neither does."""
    found = {"snn": 0, "ann": 0, "level": 0}
    for one in verdicts:
        if one.level == level and one.winner in found:
            found[one.winner] += 1
    return found


def turning(verdict: Verdict) -> list[str]:
    """What the winner did that has no price and that the other did not do alike."""
    return [
        term
        for term in verdict.could_flip
        if term != NOT_COUNTED and term.partition(".")[0] not in ALIKE
    ]


def headline(view: Priced, who: str = "It") -> str:
    """Who needs less energy, under how many of the price tables, level by level.

    `who` is the spiking network of the shown setting.
    """
    verdicts = view.verdicts(BASELINES[0])
    words: dict[Level, str] = {
        "study": "counting synaptic operations alone",
        "compute": "with all arithmetic",
        "memory": "with memory",
        "training": "with training",
    }
    parts = []
    for level, said in words.items():
        won = wins(verdicts, level)
        if total := sum(won.values()):
            parts.append(f"under {won['snn']} of {total} {said}")
    if not parts:
        return "No price table here prices both networks, so none says which needs less energy."
    parts[0] = parts[0].replace(" counting", " price tables counting", 1)
    return (
        f"{who} needs less energy {', '.join(parts[:-1])} and {parts[-1]}."
        if parts[1:]
        else (f"{who} needs less energy {parts[0]}.")
    )


def other_settings(view: Priced) -> Iterator[str]:
    """Whether the other settings have the same winners as the one that is shown, of the same networks."""
    here = {(v.profile, v.level): v.winner for v in view.verdicts(BASELINES[0])}
    others = [
        next((one for one in own if one.variant == view.main.variant), own[0])
        for setting, own in by_setting(view.comparisons).items()
        if setting != view.main.setting
    ]
    differing = [
        f"{one.winner.upper() if one.winner != 'level' else 'level'} with {comparison.setting.label} "
        f"under {one.profile} ({ADDED[one.level]})"
        for comparison in others
        for one in view.verdicts(BASELINES[0], comparison)
        if one.winner != here.get((one.profile, one.level), one.winner)
    ]
    if others and not differing:
        said = "other setting has" if len(others) == 1 else f"{len(others)} other settings have"
        yield f"The {said} the same winner in every cell."
    elif differing:
        more = len(differing) - MOST_NAMED
        yield (
            f"The other settings have another winner in {len(differing)} cells: "
            f"{', '.join(differing[:MOST_NAMED])}{f' and {more} more' if more > 0 else ''}."
        )


def nominal_mj(run: RunSummary, profile: str, level: str) -> float | None:
    """A mean round's energy; None where the run has no such bill."""
    billed = run.bill.get(profile, {}).get(level)
    return None if billed is None else billed.nominal_mj


def _cell(verdict: Verdict | None) -> Cell | None:
    if verdict is None or verdict.ratio is None:
        return None
    span = "" if verdict.interval is None else ends(*verdict.interval)
    if verdict.winner not in ("ann", "snn"):
        return Cell("level", "level", span, 0, False)
    factor = math.inf if verdict.factor is None else verdict.factor
    share = min(1.0, math.log(factor) / math.log(FULL_TINT_FACTOR))
    text = f"{verdict.winner.upper()} {_times(factor)}×"
    return Cell(verdict.winner, text, span, round(10 + 40 * share), bool(turning(verdict)))


def _times(factor: float) -> str:
    """A factor with about three digits; infinite where the other side costs nothing.

    >>> _times(1.0011), _times(1.0213), _times(20.95), _times(144.2)
    ('1.001', '1.02', '20.9', '144')
    """
    if math.isinf(factor):
        return "∞"
    return number(factor, 3 if factor < 1.01 else 2 if factor < 10 else 1 if factor < 100 else 0)
