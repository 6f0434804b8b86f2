"""The bills of the runs as the report shows them: at which prices, up to which level, against which rival."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from fedspike.energy.bill import NOT_COUNTED
from fedspike.energy.estimate import Estimate, estimate
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
from fedspike.energy.pricing import Hardware
from fedspike.energy.verdict import Verdict
from fedspike.report.analysis.settings import Comparison, Network, Pair

ADDED: dict[str, str] = {
    level: f"+ {added}" if place else added for place, (level, added) in enumerate(ADDS.items())
}
# Both networks do the same of these, so a price for them cannot turn the verdict.
ALIKE = ("optimiser", "aggregation", "exchange")


@dataclass(frozen=True)
class Rival:
    """A conventional network that the spiking one is compared with, on hardware of one of two kinds."""

    network: Network
    skips_zeros: bool = False

    @property
    def title(self) -> str:
        """The network and its hardware."""
        return self.network.title + (" on hardware that skips zeros" if self.skips_zeros else "")

    @property
    def key(self) -> str:
        """Its name in the headings of CSV files."""
        return self.network.key + ("_zero_skipping" if self.skips_zeros else "")


@dataclass(frozen=True)
class EnergyView:
    """The comparisons with bills; the page shows the first of them in full.

    `radio` is the one that was chosen, or else the one that needs the least energy, so that computing counts
    most; `profile` the one whose charts are shown first.
    """

    comparisons: list[Comparison]
    stored: Sequence[EnergyComparison]
    radio: str
    profile: str
    hardware: Hardware = field(default_factory=Hardware)

    @property
    def main(self) -> Comparison:
        """The comparison of the most even data."""
        return self.comparisons[0]

    @property
    def spiking(self) -> Network:
        """The spiking network of the main comparison."""
        assert self.main.spiking is not None, "only comparisons with both networks have bills"
        return self.main.spiking

    @property
    def reference(self) -> Network:
        """The conventional network that it is compared with first."""
        assert self.main.reference is not None, "only comparisons with both networks have bills"
        return self.main.reference

    @property
    def twins(self) -> tuple[Network, Network]:
        """Reference and spiking network."""
        return self.reference, self.spiking

    @cached_property
    def rivals(self) -> list[Rival]:
        """The reference, the reference on hardware that skips zeros, and the other conventional networks."""
        skipping = [Rival(self.reference, True)] if self.reference.runs[0].bill_skip_zeros else []
        others = [Rival(network) for network in self.main.setting.conventional[1:]]
        rivals = [Rival(self.reference), *skipping, *others]
        return [rival for rival in rivals if self.verdicts(rival)]

    @property
    def levels(self) -> tuple[Level, ...]:
        """The levels that there are figures for."""
        return LEVELS if self.radio else up_to(HIGHEST_WITHOUT_RADIO)

    @property
    def radio_title(self) -> str:
        """The radio in words."""
        radios = self.hardware.radios
        return radios[self.radio].title if self.radio in radios else self.radio

    def title(self, profile: str) -> str:
        """A profile in words, if it is known."""
        profiles = self.hardware.profiles
        return profiles[profile].title if profile in profiles else profile

    def key(self, level: Level) -> str:
        """The name of a level in a run's bills."""
        return key(level, self.radio)

    @property
    def unfit(self) -> list[str]:
        """Why there is no verdict on the main comparison: which network does not work."""
        return [reason for one in self._stored(self.main.pairs()) for reason in one.unfit]

    def verdicts(
        self, rival: Rival | None = None, comparison: Comparison | None = None
    ) -> dict[tuple[str, Level], Verdict]:
        """(profile, level) -> verdict of a comparison, or the main one, against a rival or its reference."""
        comparison = comparison or self.main
        pairs = comparison.pairs(rival.network if rival else None)
        skips_zeros = rival is not None and rival.skips_zeros
        by_key = {self.key(level): level for level in self.levels}
        return {
            (verdict.profile, by_key[verdict.level]): verdict
            for one in self._stored(pairs)
            for verdict in (one.verdicts_skip_zeros if skips_zeros else one.verdicts)
            if verdict.level in by_key
        }

    def _stored(self, pairs: Sequence[Pair]) -> Iterator[EnergyComparison]:
        """What is stored of these runs side by side."""
        names = {(ann.name, snn.name) for ann, snn in pairs}
        yield from (one for one in self.stored if set(one.runs) == names)

    def judged(self, rival: Rival | None = None) -> dict[str, dict[Level, Verdict]]:
        """profile -> level -> verdict of the main comparison, where there is one."""
        judged: dict[str, dict[Level, Verdict]] = {}
        for (profile, level), verdict in self.verdicts(rival).items():
            if verdict.ratio is not None:
                judged.setdefault(profile, {})[level] = verdict
        return judged

    def judging(self, level: Level) -> list[str]:
        """The profiles with a verdict at a level against the reference; in front the one shown first."""
        profiles = [profile for profile, verdicts in self.judged().items() if level in verdicts]
        return sorted(profiles, key=lambda name: name != self.profile)

    def won(self, rival: Rival, level: Level) -> tuple[int, int]:
        """Under how many profiles the spiking network needs less energy, of how many with a verdict."""
        judged = [one[level].winner for one in self.judged(rival).values() if level in one]
        return judged.count("spiking"), len(judged)

    def other_settings(self) -> tuple[int, list[str]]:
        """The number of other settings, and the cells in which one has another winner than the main one."""
        first: dict[int, Comparison] = {}
        for comparison in self.comparisons:
            key = id(comparison.setting)
            if key not in first or comparison.variant == self.main.variant:
                first[key] = comparison
        others = [one for one in first.values() if one.setting is not self.main.setting]
        here = self.verdicts()
        differing = []
        for comparison in others:
            for (profile, level), one in self.verdicts(None, comparison).items():
                if one.winner != here.get((profile, level), one).winner:
                    side = winner(one, comparison.reference, comparison.spiking)
                    name = side.title if side else "no winner" if one.ratio else "no verdict"
                    cell = f"{name} with {comparison.setting.label} under {profile}"
                    differing.append(f"{cell} ({ADDED[level]})")
        return len(others), differing


def energy_view(
    comparisons: Sequence[Comparison], stored: Sequence[EnergyComparison], hardware: Hardware
) -> EnergyView | None:
    """The comparisons with bills, with the verdicts that are `stored`; None where there are none.

    The profile of the `hardware` is shown first if it has a verdict.
    """
    billed = [c for c in comparisons if any(a.bill and s.bill for a, s in c.pairs())]
    if not billed:
        return None
    bills = billed[0].pairs()[0][1].bill
    sent = {
        name.partition(":")[2]: bill.nominal_mj
        for levels in bills.values()
        for name, bill in levels.items()
        if level_of_key(name) == "communication"
    }
    radio = min(sent, key=lambda name: sent[name]) if sent else ""
    if hardware.chosen_radio is not None and hardware.chosen_radio.name in sent:
        radio = hardware.chosen_radio.name
    view = EnergyView(billed, stored, radio, hardware.profile.name, hardware)
    judged = view.judging("study")
    if view.profile in judged:
        return view
    return replace(view, profile=judged[0] if judged else next(iter(bills)))


def winner(
    verdict: Verdict, conventional: Network | None, spiking: Network | None
) -> Network | None:
    """The network that needs less energy; None where there is no verdict, or where neither does."""
    return {"conventional": conventional, "spiking": spiking}.get(verdict.winner)


def turning(verdict: Verdict) -> list[str]:
    """What the winner did that has no price and that the other did not do alike."""
    return [
        term
        for term in verdict.could_flip
        if term != NOT_COUNTED and term.partition(".")[0] not in ALIKE
    ]


def energy_mj(
    network: Network, profile: str, name: str, skips_zeros: bool = False
) -> Estimate | None:
    """A round's energy at a level of this name; None where a seed's bill does not say it."""
    bills = [run.bill_skip_zeros if skips_zeros else run.bill for run in network.runs]
    billed = [bill.get(profile, {}).get(name) for bill in bills]
    values = [one.nominal_mj for one in billed if one is not None and one.is_comparable]
    return estimate(values) if len(values) == len(bills) else None


def highest_level(network: Network, profile: str) -> Level | None:
    """The highest level without the radio that a profile has a bill for."""
    levels = network.runs[0].bill.get(profile, {})
    return next((one for one in reversed(up_to(HIGHEST_WITHOUT_RADIO)) if one in levels), None)


def not_priced(network: Network, profile: str, name: str) -> set[str]:
    """What was done up to a level and has no price there."""
    bills = [run.bill.get(profile, {}).get(name) for run in network.runs]
    return {term for bill in bills if bill for term in bill.not_priced}


def parts(network: Network, kind: str, profile: str) -> dict[str, float]:
    """Phase or layer -> millijoule of a round, mean over the seeds."""
    tables = [getattr(run.bill_by, kind).get(profile, {}) for run in network.runs]
    names = dict.fromkeys(name for table in tables for name in table)
    return {name: sum(table.get(name, 0.0) for table in tables) / len(tables) for name in names}


def profiles(networks: Sequence[Network]) -> Iterator[str]:
    """The profiles that there are bills of."""
    yield from dict.fromkeys(name for one in networks for run in one.runs for name in run.bill)
