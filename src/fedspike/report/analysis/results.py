"""What all figures are made from: the runs of an experiment, compared, with their energy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from fedspike.energy.levels import Level
from fedspike.energy.pricing import Hardware
from fedspike.energy.profiles import Profile
from fedspike.records.reader import ROUNDS, in_full, rounds
from fedspike.records.schema import ExperimentSummary, RoundRecord, RunSummary
from fedspike.report.analysis.choices import Choice, choices
from fedspike.report.analysis.confusion import Outcome, outcome
from fedspike.report.analysis.course import Course, course
from fedspike.report.analysis.device_costs import DeviceCosts, device_costs
from fedspike.report.analysis.energy_view import EnergyView, energy_view
from fedspike.report.analysis.equal_accuracy import (
    EqualAccuracy,
    EqualMethod,
    equal_accuracy,
    equal_methods,
)
from fedspike.report.analysis.gaps import Gap, gaps
from fedspike.report.analysis.other_prices import OtherPrices, other_prices
from fedspike.report.analysis.settings import Comparison, Network, Setting, settings
from fedspike.report.analysis.side_by_side import SideBySide, side_by_side


@dataclass(frozen=True)
class Results:
    """An experiment, or a single run, and the folders that its runs were read from, by their names.

    Methods are compared with the column `baseline`, which is the plainest one if it is "". The `hardware` is
    what the user chose to price with; the experiment has the bills. So many runs are `repeated`: they are in
    several of the folders that were read, and in the experiment once.
    """

    experiment: ExperimentSummary
    homes: Mapping[str, Path]
    baseline: str = ""
    hardware: Hardware = field(default_factory=Hardware)
    repeated: int = 0

    @property
    def runs(self) -> tuple[RunSummary, ...]:
        """All finished runs."""
        return self.experiment.runs

    @cached_property
    def settings(self) -> list[Setting]:
        """The settings, the most even data first."""
        return settings(self.runs)

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """The spiking networks of each setting beside its conventional ones."""
        return [comparison for setting in self.settings for comparison in setting.comparisons]

    @property
    def as_written(self) -> list[Comparison]:
        """The same, those of a setting in the order of the experiment's runs."""
        place = {run.name: number for number, run in enumerate(self.runs)}
        return [
            comparison
            for setting in self.settings
            for comparison in sorted(
                setting.comparisons, key=lambda one: place[one.networks[-1].runs[0].name]
            )
        ]

    @cached_property
    def paired(self) -> list[Comparison]:
        """Of each setting the comparison of its most accurate spiking network, as far as it has a rival."""
        return [one for s in self.settings if (one := s.comparisons[0]).pairs()]

    @cached_property
    def leading(self) -> list[Comparison]:
        """Those of them that are of a fleet, if there are any: the answer is for one."""
        of_fleets = [c for c in self.paired if not c.setting.first_run.centralised]
        return of_fleets or self.paired

    @cached_property
    def gaps(self) -> list[Gap | None]:
        """How far apart the networks of each of the leading comparisons are, with its test."""
        dataset = self.experiment.dataset
        outcomes = {
            run.name: outcome
            for network, own in self.outcomes.items()
            for run, outcome in zip(network.runs, own, strict=True)
        }
        return gaps(self.leading, outcomes, dataset.test_samples if dataset else 0)

    def class_name(self, label: int) -> str | int:
        """What a class is called; its number where the data have no names for classes."""
        names = self.experiment.dataset.class_names if self.experiment.dataset else []
        return names[label] if label < len(names) else label

    @cached_property
    def choices(self) -> list[Choice]:
        """Which network to choose in each of the leading comparisons."""
        return choices(self.leading, self.gaps, self.energy)

    def in_full(self, run: RunSummary) -> RunSummary:
        """A run with its pictures and predictions, where its folder is here."""
        return in_full(self.homes[run.name], run)

    @cached_property
    def equal_accuracy(self) -> list[EqualAccuracy]:
        """What the networks of the leading comparisons need until an accuracy that both reach."""
        made = (equal_accuracy(one, self.course, self.prices) for one in self.leading)
        return [one for one in made if one is not None]

    @cached_property
    def equal_methods(self) -> list[EqualMethod]:
        """What the methods of a sweep need until an accuracy that all of a setting reach."""
        side = self.side_by_side
        return equal_methods(side, self.course, self.prices) if side else []

    @cached_property
    def device_costs(self) -> DeviceCosts | None:
        """What the networks on the most even data cost one device."""
        profiles = self.hardware.chosen or (self.prices,)
        first = (self.leading or self.comparisons)[0]
        return device_costs(first, self.course, self.hardware, profiles)

    def rounds(self, run: RunSummary) -> Sequence[RoundRecord]:
        """The records of a run's rounds, where its folder has them."""
        home = self.homes[run.name]
        return rounds(home) if (home / ROUNDS).exists() else []

    def course(self, run: RunSummary) -> Course | None:
        """What a run had reached and spent after each round; None where its folder has no rounds."""
        if run.name not in self._courses:
            records = self.rounds(run)
            self._courses[run.name] = course(run.network_operations, records) if records else None
        return self._courses[run.name]

    @cached_property
    def _courses(self) -> dict[str, Course | None]:
        """Of the runs that were asked for."""
        return {}

    @cached_property
    def outcomes(self) -> dict[Network, tuple[Outcome, ...]]:
        """What the final models said of each test sample, seed by seed, where all of a network's are here.

        Of the networks that have a rival, or of all where none has.
        """
        comparisons = self.paired or self.comparisons
        networks = dict.fromkeys(one for pair in comparisons for one in pair.networks)
        each = {one: [outcome(self.in_full(run)) for run in one.runs] for one in networks}
        return {one: tuple(filter(None, own)) for one, own in each.items() if all(own)}

    @cached_property
    def networks(self) -> list[Network]:
        """Every network once."""
        return [network for setting in self.settings for network in setting.networks]

    @cached_property
    def side_by_side(self) -> SideBySide | None:
        """The algorithms, or other settings, in columns; None where nothing was run in two ways."""
        return side_by_side(self.runs, self.baseline)

    @property
    def has_variants(self) -> bool:
        """Whether a setting has several spiking networks."""
        return any(len(setting.spiking) > 1 for setting in self.settings)

    @cached_property
    def energy(self) -> EnergyView | None:
        """The bills of the networks; None where no conventional network has a spiking one to compare."""
        return energy_view(self.comparisons, self.experiment.comparisons, self.hardware)

    def judged(self, level: Level) -> EnergyView | None:
        """The bills, if there is a verdict at this level."""
        return self.energy if self.energy and self.energy.judging(level) else None

    @cached_property
    def other_prices(self) -> OtherPrices | None:
        """What other prices would do to the comparison that is shown; None where that cannot be said."""
        return other_prices(self.energy) if self.energy else None

    @property
    def profile(self) -> str:
        """The price profile that is shown first."""
        return self.energy.profile if self.energy else self.hardware.profile.name

    @property
    def prices(self) -> Profile:
        """All of it."""
        return self.hardware.profiles[self.profile]
