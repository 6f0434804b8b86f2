"""Sets ANN and SNN side by side: runs that differ in the seed become one estimate.

- setting: who holds what, the algorithm, the rounds, ...: all that ANN and SNN share
- group: the runs of one setting and one network, equal in all but the seed
- comparison: the ANN group and the SNN group of one setting, either may be missing; and the
  quantised ANN of that setting, if one was trained
- variant: one of the spiking networks of a setting that has several, each compared with its ANN
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fedspike.energy import pairing
from fedspike.energy.estimate import Estimate, estimate
from fedspike.records.schema import RunSummary
from fedspike.report import variants


@dataclass(frozen=True)
class Setting:
    """What two networks must share to be compared."""

    label: str
    classes_per_client: int | None
    centralised: bool
    algorithm: str

    @property
    def is_founding(self) -> bool:
        """Whether the founding study has this setting: a number of classes each, under FedAvg."""
        return self.classes_per_client is not None and self.algorithm == "fedavg"


@dataclass(frozen=True)
class Group:
    """Runs equal in all but the seed, in their order. `variant` names a network that has namesakes."""

    network: str
    setting: Setting
    runs: tuple[RunSummary, ...]
    variant: str = ""

    @property
    def label(self) -> str:
        """The setting in words, and the variant."""
        return f"{self.setting.label}, {self.variant}" if self.variant else self.setting.label

    @property
    def accuracy(self) -> Estimate:
        """After the last round, in percent."""
        return self.estimate(lambda run: 100 * run.final_accuracy)

    def estimate(self, of: Callable[[RunSummary], float]) -> Estimate:
        """The mean over the runs of what `of` reads from each."""
        return estimate([of(run) for run in self.runs])


@dataclass(frozen=True)
class Comparison:
    """The two networks in one setting."""

    setting: Setting
    ann: Group | None
    snn: Group | None
    qann: Group | None = None

    @property
    def variant(self) -> str:
        """What sets the spiking network apart from its namesakes; nothing if it has none."""
        return self.snn.variant if self.snn else ""

    @property
    def label(self) -> str:
        """The setting in words, and the variant."""
        return self.snn.label if self.snn else self.setting.label

    def group(self, network: str) -> Group | None:
        """The group of a network, "ann", "snn" or "qann"."""
        return {"ann": self.ann, "snn": self.snn, "qann": self.qann}[network]

    @property
    def groups(self) -> tuple[Group, ...]:
        """The groups that are there, ANN first."""
        return tuple(group for group in (self.ann, self.snn, self.qann) if group)

    def pairs(self, rival: str = "ann") -> list[tuple[RunSummary, RunSummary]]:
        """The runs of the rival and of the SNN, seed by seed, as far as both have it."""
        group = self.group(rival)
        others = {run.seed: run for run in group.runs} if group else {}
        spiking = self.snn.runs if self.snn else ()
        return [(others[run.seed], run) for run in spiking if run.seed in others]

    def paired(self, of: Callable[[RunSummary, RunSummary], float]) -> Estimate | None:
        """The mean over the seeds that both networks have of what `of` makes of (ANN, SNN).

        Runs of one seed share data and initial weights, so pairing them removes that scatter.
        """
        pairs = self.pairs()
        return estimate([of(ann, snn) for ann, snn in pairs]) if pairs else None


def gap_points(ann: RunSummary, snn: RunSummary) -> float:
    """Percentage points by which the SNN is ahead of the ANN after the last round."""
    return 100 * (snn.final_accuracy - ann.final_accuracy)


def energy_ratio_percent(ann: RunSummary, snn: RunSummary) -> float:
    """The SNN's modelled energy of a round in percent of the ANN's."""
    return 100 * snn.study_energy_mj_per_round / ann.study_energy_mj_per_round


def compare(runs: Sequence[RunSummary]) -> list[Comparison]:
    """The comparisons that the runs allow: even data first, then more skewed, then the others.

    Of several spiking networks in a setting the most accurate comes first.
    """
    members: dict[str, dict[str, list[RunSummary]]] = {}
    for run in runs:
        groups = members.setdefault(pairing.setting(run), {})
        groups.setdefault(pairing.variant(run), []).append(run)
    firsts = [next(iter(groups.values()))[0] for groups in members.values()]
    found: list[Comparison] = []
    for first, groups in zip(firsts, members.values(), strict=True):
        namesakes = [_shared(other) for other in firsts if _label(other) == _label(first)]
        label = ", ".join([_label(first), *_values(_shared(first), differing_keys(namesakes))])
        setting = Setting(label, first.classes_per_client, first.centralised, first.algorithm)
        found += _pairs(setting, list(groups.values()))
    return sorted(found, key=_order)


def by_setting(comparisons: Sequence[Comparison]) -> dict[Setting, list[Comparison]]:
    """The comparisons of each setting, in their order."""
    found: dict[Setting, list[Comparison]] = {}
    for one in comparisons:
        found.setdefault(one.setting, []).append(one)
    return found


def leading(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The first of each setting, which has the most accurate of its spiking networks."""
    return [own[0] for own in by_setting(comparisons).values()]


def groups_of(comparisons: Sequence[Comparison]) -> list[Group]:
    """Every group once: the ANN of several comparisons too."""
    return list({id(group): group for one in comparisons for group in one.groups}.values())


def differing_keys(configurations: Sequence[dict[str, Any]]) -> list[str]:
    """The dotted keys whose values are not the same in every configuration.

    >>> differing_keys([{"snn": {"beta": 0.9}, "rounds": 5}, {"snn": {"beta": 0.8}, "rounds": 5}])
    ['snn.beta']
    """
    tables = [flat(configuration) for configuration in configurations]
    keys = dict.fromkeys(key for table in tables for key in table)
    return [key for key in keys if any(t.get(key) != tables[0].get(key) for t in tables)]


def shared_values(runs: Sequence[RunSummary]) -> dict[str, Any]:
    """The dotted keys that are the same in all runs, those of a network in all runs that have them."""
    tables = [flat(run.config) for run in runs]
    of_networks = {table for run in runs for table in run.network_tables}
    shared: dict[str, Any] = {}
    for key in dict.fromkeys(key for table in tables for key in table):
        of_network = key.split(".")[0] in of_networks
        values = [table.get(key) for table in tables if key in table or not of_network]
        if key not in pairing.NOT_A_DIFFERENCE and all(value == values[0] for value in values):
            shared[key] = values[0]
    return shared


def flat(table: dict[str, Any]) -> dict[str, Any]:
    """A nested table's values under dotted keys.

    >>> flat({"snn": {"beta": 0.9}, "rounds": 5})
    {'snn.beta': 0.9, 'rounds': 5}
    """
    values: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            values |= {f"{key}.{inner}": leaf for inner, leaf in flat(value).items()}
        else:
            values[key] = value
    return values


def _label(run: RunSummary) -> str:
    """What the setting of a run is called as long as no other is called the same."""
    kind = str(run.partition.get("kind", "unknown kind"))
    details = [f" {key} {value}" for key, value in run.partition.items() if key != "kind"]
    if run.centralised:
        label = "centralised"
    elif kind == "classes":
        label = f"{run.classes_per_client} classes"
    else:
        label = ("IID" if kind == "iid" else kind) + "".join(details[:1])
    return label if run.algorithm == "fedavg" else f"{label}, {run.algorithm}"


def _shared(run: RunSummary) -> dict[str, Any]:
    """What two networks must share to be compared, under dotted keys."""
    return flat(pairing.shared(run))


def _values(table: dict[str, Any], keys: list[str]) -> list[str]:
    return [f"{key.split('.')[-1]} {table.get(key)}" for key in keys]


def _pairs(setting: Setting, groups: list[list[RunSummary]]) -> Iterator[Comparison]:
    """The ANN with every SNN: one pair, unless a sweep varied the spiking network alone."""
    sides: dict[str, list[list[RunSummary]]] = {"ann": [], "snn": [], "qann": []}
    for runs in groups:
        sides[runs[0].network].append(sorted(runs, key=lambda run: run.seed))
    ann, qann = (
        next((Group(network, setting, tuple(runs)) for runs in sides[network]), None)
        for network in ("ann", "qann")
    )
    names = variants.names([flat(pairing.own(runs[0])) for runs in sides["snn"]])
    snns = [
        Group("snn", setting, tuple(runs), name)
        for runs, name in zip(sides["snn"], names, strict=True)
    ]
    best_first: list[Group] | list[None] = sorted(snns, key=lambda group: -group.accuracy.mean)
    for snn in best_first or [None]:
        yield Comparison(setting, ann, snn, qann)


def _order(comparison: Comparison) -> tuple[bool, bool, int, str]:
    setting = comparison.setting
    return (
        not setting.is_founding,
        not setting.centralised,
        -(setting.classes_per_client or 0),
        setting.label,
    )
