"""Sets networks side by side: runs that differ in the seed alone become one estimate.

- setting: the data of each client, the algorithm, the rounds, what an accuracy is of, ...: all that its
  networks share
- network: the runs of one setting that are equal in all but the seed
- comparison: a spiking network beside the conventional networks of its setting
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fedspike.data.partition.likeness import AccuracyOf
from fedspike.energy import pairing
from fedspike.energy.description import RunDescription
from fedspike.energy.estimate import FEWEST, Estimate, estimate
from fedspike.records.schema import RunSummary
from fedspike.records.skew import skew
from fedspike.report.analysis import naming, tested
from fedspike.report.analysis.bootstrap import ENOUGH, of_pairs

Pair = tuple[RunSummary, RunSummary]


@dataclass(frozen=True, eq=False)
class Network:
    """A network in a setting, with its runs in the order of their seeds.

    `variant` tells it from others of its kind in the setting.
    """

    runs: tuple[RunSummary, ...]
    setting: str
    variant: str = ""

    @property
    def is_spiking(self) -> bool:
        """Whether it computes with spikes over time steps."""
        return self.runs[0].time_steps is not None

    @property
    def role(self) -> str:
        """The colour that it has everywhere."""
        return "spiking" if self.is_spiking else "conventional"

    @property
    def key(self) -> str:
        """Its name in the headings of CSV files; all spiking networks of one kind have the same."""
        return self.title.lower().replace(", ", "_").replace(" ", "_")

    @property
    def title(self) -> str:
        """Its kind in capitals; of several conventional networks of one kind with the variant."""
        kind = self.runs[0].network.upper()
        return f"{kind}, {self.variant}" if self.variant and not self.is_spiking else kind

    @property
    def name(self) -> str:
        """Its name among the networks of its setting."""
        return self.variant if self.variant and self.is_spiking else self.title

    @property
    def label(self) -> str:
        """The setting, and the variant."""
        return f"{self.setting}, {self.variant}" if self.variant else self.setting

    @property
    def accuracy(self) -> Estimate:
        """After the last round, in percent."""
        return self.estimate(lambda run: 100 * run.final_accuracy)

    def study_energy_mj(self) -> Estimate:
        """Of the synaptic operations of a round, by the founding study's rule."""
        return self.estimate(lambda run: run.study_energy_mj_per_round)

    def estimate(self, of: Callable[[RunSummary], float]) -> Estimate:
        """The mean over the runs of what `of` reads from each."""
        return estimate([of(run) for run in self.runs])


@dataclass(frozen=True, eq=False)
class Setting:
    """All that networks must share to be compared, and the networks that were trained in it.

    The conventional networks come first, the plainest of them in front; then the spiking ones, the most
    accurate first.
    """

    label: str
    networks: tuple[Network, ...]

    @property
    def first_run(self) -> RunSummary:
        """A run of it: all have the same algorithm, and those of one seed the same partition."""
        return self.networks[0].runs[0]

    @property
    def accuracy_of(self) -> AccuracyOf:
        """What the accuracies of its networks are of."""
        return self.first_run.accuracy_of

    @property
    def in_sentence(self) -> str:
        """The setting inside a sentence, after "with"."""
        if self.first_run.classes_per_client is None or not self.label[0].isdigit():
            return f"“{self.label}”"
        partition, *others = self.label.split(",", 1)
        return ",".join([f"{partition} per client", *others])

    @property
    def conventional(self) -> tuple[Network, ...]:
        """The networks that do not spike."""
        return tuple(network for network in self.networks if not network.is_spiking)

    @property
    def spiking(self) -> tuple[Network, ...]:
        """The networks that spike."""
        return tuple(network for network in self.networks if network.is_spiking)

    @property
    def comparisons(self) -> list["Comparison"]:
        """One for each spiking network, or one without."""
        return [Comparison(self, spiking) for spiking in self.spiking or (None,)]


@dataclass(frozen=True, eq=False)
class Comparison:
    """A spiking network beside the conventional networks of its setting; either may be missing."""

    setting: Setting
    spiking: Network | None

    @property
    def networks(self) -> tuple[Network, ...]:
        """The conventional networks, then the spiking one."""
        return (*self.setting.conventional, *filter(None, [self.spiking]))

    @property
    def reference(self) -> Network | None:
        """The plainest conventional network, which the spiking one is compared with first."""
        return next(iter(self.setting.conventional), None)

    @property
    def variant(self) -> str:
        """What tells the spiking network from others of its setting; nothing if it has none."""
        return self.spiking.variant if self.spiking else ""

    @property
    def label(self) -> str:
        """The setting, and the variant."""
        return self.spiking.label if self.spiking else self.setting.label

    def pairs(self, rival: Network | None = None) -> list[Pair]:
        """The runs of a conventional network, or of the reference, and of the spiking one, seed by seed."""
        rival = rival or self.reference
        by_seed = {run.seed: run for run in rival.runs} if rival else {}
        runs = self.spiking.runs if self.spiking else ()
        return [(by_seed[run.seed], run) for run in runs if run.seed in by_seed]

    def paired(self, of: Callable[[RunSummary, RunSummary], float]) -> Estimate | None:
        """The mean over the seeds of both of what `of` makes of (reference, spiking network).

        Runs of one seed share data and initial weights, so pairing them removes that scatter.
        """
        pairs = self.pairs()
        return of_pairs([of(*pair) for pair in pairs]) if pairs else None

    def gap_points(self) -> Estimate | None:
        """Percentage points by which the spiking network is ahead after the last round."""
        return self.paired(lambda ann, snn: 100 * (snn.final_accuracy - ann.final_accuracy))

    def synaptic_energy_percent(self) -> Estimate | None:
        """Energy of the spiking network's synaptic operations of a round in percent of the reference's."""
        return self.paired(
            lambda ann, snn: 100 * snn.study_energy_mj_per_round / ann.study_energy_mj_per_round
        )


def settings(runs: Sequence[RunSummary]) -> list[Setting]:
    """The settings of the runs: those with a number of classes per client, then centralised training, then
    the others; of each the most even data first."""
    members: dict[str, dict[str, list[RunSummary]]] = {}
    for run in runs:
        networks = members.setdefault(f"{pairing.setting(run)} {run.accuracy_of}", {})
        networks.setdefault(pairing.variant(run), []).append(run)
    firsts = [next(iter(networks.values()))[0] for networks in members.values()]
    labels = tested.marked(
        naming.of_settings([pairing.shared(run) for run in firsts]),
        [run.accuracy_of for run in firsts],
    )
    made = [
        Setting(label, _networks(label, list(networks.values())))
        for label, networks in zip(labels, members.values(), strict=True)
    ]
    # Of equally even data those come first whose one model is for all.
    return sorted(
        made,
        key=lambda one: (
            *by_skew(one.first_run),
            one.accuracy_of != "global model",
            one.label,
        ),
    )


def by_skew(run: RunDescription) -> tuple[bool, bool, int, float]:
    """Where the setting of a run stands among others; see `settings`."""
    classes = run.classes_per_client
    return (
        classes is None,
        not run.centralised,
        -(classes or 0),
        skew(run.class_counts).total_variation,
    )


def kinds(comparisons: Sequence[Comparison]) -> list[Network]:
    """A network of each kind, in the order in which they come."""
    return list({one.key: one for c in comparisons for one in c.networks}.values())


def of(kind: Network, value: Callable[[Network], Any]) -> Callable[[Comparison], Any]:
    """Finds a value of the network of this kind in a comparison; None where it has none."""
    return lambda comparison: next(
        (value(one) for one in comparison.networks if one.key == kind.key), None
    )


def interval_note(networks: Sequence[Network]) -> str:
    """How many seeds the figures of these networks come from, and what their intervals are."""
    return note_on_seeds(len(network.runs) for network in networks)


def note_on_seeds(each: Iterable[int]) -> str:
    """The same, where figures come from so many seeds each."""
    counts = sorted({*each})
    if counts == [1]:
        return "One seed: no interval."
    if counts[-1] < FEWEST:
        return "Mean over 2 seeds, or one seed: too few for an interval."
    seeds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    bca = f"; those of {ENOUGH} seeds or more have the ends of a BCa bootstrap interval in brackets"
    return (
        f"Mean over {seeds} seeds ± half of Student’s 95 % interval; differences are taken within a seed"
        f"{bca if counts[-1] >= ENOUGH else ''}. "
        "A figure without an interval comes from one or two seeds, or is the same for all seeds."
    )


def _networks(setting: str, runs: list[list[RunSummary]]) -> tuple[Network, ...]:
    """The networks of a setting, in order, with a variant where several are of one kind."""
    ordered = [tuple(sorted(own, key=lambda run: run.seed)) for own in runs]
    networks = [Network(own, setting) for own in ordered]
    # Conventional networks are told apart within their kind, spiking ones among all that spike.
    groups: dict[str, list[Network]] = {}
    for network in networks:
        groups.setdefault("" if network.is_spiking else network.title, []).append(network)
    named = [
        replace(network, variant=variant)
        for group in groups.values()
        for network, variant in zip(
            group,
            naming.of_networks([pairing.own(network.runs[0]) for network in group]),
            strict=True,
        )
    ]
    plainest = sorted(named, key=lambda network: len(network.runs[0].network_tables))
    best = sorted(named, key=lambda network: -network.accuracy.mean)
    return (
        *(network for network in plainest if not network.is_spiking),
        *(network for network in best if network.is_spiking),
    )
