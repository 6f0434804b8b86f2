"""The founding study's printed numbers beside those of runs that followed its protocol.

All that the report knows of that paper is here and in `founding_study.toml`. The section is shown only where
all networks of a setting followed the protocol; what the study does not state, such as time steps, batch
size and learning rate, belongs to no protocol.
"""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fedspike.energy.bill import prices_pj
from fedspike.energy.estimate import Estimate
from fedspike.files import content_of
from fedspike.records.schema import RunSummary
from fedspike.report.analysis.naming import flat
from fedspike.report.analysis.results import Results
from fedspike.report.analysis.settings import Comparison, Network, interval_note, kinds, of
from fedspike.report.figures.accuracy import SETTING, Curves, curves, draw, in_words
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering.drawing import Prose
from fedspike.report.rendering.tables import Caption, Column, Table, number, table

STUDY: dict[str, Any] = tomllib.loads(content_of(Path(__file__).with_suffix(".toml")).decode())
PROTOCOL: dict[str, Any] = STUDY["protocol"]
PRINTED_FOR_4 = "4 classes have no printed number: the study’s text says 4 where its tables say 5."
Comparisons = list[Comparison]


@dataclass(frozen=True)
class Quantity:
    """A printed quantity, and where ours comes from.

    `name` is its key in the file of printed numbers, `pair` that of the SNN in comparison to the ANN.
    """

    name: str
    unit: str
    digits: int
    ours: Callable[[Network], Estimate]
    pair: str
    pair_title: str
    pair_digits: int
    paired: Callable[[Comparison], Estimate | None]


ACCURACY = Quantity(
    *("accuracy_percent", "%", 1, lambda network: network.accuracy),
    *("gap_points", "SNN − ANN, points", 1, Comparison.gap_points),
)
ENERGY = Quantity(
    *("energy_mj", "mJ", 4, lambda one: one.estimate(lambda run: run.study_energy_mj_per_round)),
    *("ratio_percent", "SNN / ANN, %", 2, Comparison.synaptic_energy_percent),
)


def followed(results: Results) -> Comparisons:
    """The comparisons whose runs all follow the protocol, as far as the study has such a setting."""
    return [
        comparison
        for comparison in results.comparisons
        if f"{comparison.setting.first_run.classes_per_client}" in STUDY["classes_per_client"]
        if all(_follows(results, run) for network in comparison.networks for run in network.runs)
    ]


def printed(network: Network | None) -> dict[str, float]:
    """What the study printed of a network in its setting; nothing if it has none."""
    if network is None:
        return {}
    classes = STUDY["classes_per_client"].get(f"{network.runs[0].classes_per_client}", {})
    return {key: float(value) for key, value in classes.get(network.runs[0].network, {}).items()}


def _follows(results: Results, run: RunSummary) -> bool:
    """Whether a run has all settings of the protocol that a run of its kind has."""
    dataset = results.experiment.dataset
    own = flat(run.config) | {"data.name": dataset.name if dataset else None}
    own |= {"samples_per_round": run.samples_per_round, "layers": run.layers}
    own |= {"rounds": len(run.accuracy)}
    return all(own[key] == value for key, value in PROTOCOL.items() if key in own)


def _beside(quantity: Quantity, comparisons: Comparisons) -> Table:
    """Ours, printed and their difference: of each network, and of the two together."""
    columns = [SETTING]
    for kind in kinds(comparisons):
        if printed(kind):
            columns += _triple(
                (f"{kind.key}_{quantity.name}", f"{kind.title}, {quantity.unit}", quantity.digits),
                of(kind, quantity.ours),
                of(kind, lambda one: printed(one).get(quantity.name)),
                kind.role,
            )
    columns += _triple(
        (quantity.pair, quantity.pair_title, quantity.pair_digits),
        quantity.paired,
        lambda one: printed(one.spiking).get(quantity.pair),
    )
    return table(comparisons, *columns)


def _triple(
    about: tuple[str, str, int],
    ours: Callable[[Comparison], Estimate | None],
    theirs: Callable[[Comparison], float | None],
    role: str = "",
) -> list[Column]:
    """Columns of one quantity: its key, its heading and its digits, and where its cells come from."""
    key, group, digits = about

    def difference(comparison: Comparison) -> float | None:
        here, there = ours(comparison), theirs(comparison)
        return None if here is None or there is None else here.mean - there

    return [
        Column(key, "here", ours, group, digits, role=role),
        Column(f"{key}_printed", "printed", theirs, group, digits, role=role),
        Column(f"{key}_difference", "difference", difference, group, digits, True, role=role),
    ]


def _accuracy_caption(comparisons: Comparisons) -> Caption:
    networks = [network for comparison in comparisons for network in comparison.networks]
    four = any(comparison.setting.first_run.classes_per_client == 4 for comparison in comparisons)
    notes = [interval_note(networks), *([PRINTED_FOR_4] if four else [])]
    return Caption("Test accuracy after the last round, beside the study’s Table 1", *notes)


def _curves(comparisons: Comparisons) -> Curves:
    """The curves, with a diamond for each printed accuracy."""
    marks = [
        [(one.role, printed(one)[ACCURACY.name]) for one in c.networks if printed(one)]
        for c in comparisons
    ]
    return curves(comparisons, marks)


def _curves_caption(comparisons: Comparisons) -> Caption:
    note = f"{in_words(_curves(comparisons))} Diamonds: the printed final accuracy."
    return Caption("Test accuracy against rounds (the study’s Figs. 6 and 7)", note)


def _summary(comparisons: Comparisons) -> Prose:
    """How many printed accuracies are reached, and two slips in the printed energies."""
    differences = [
        (network.accuracy.mean - printed(network)[ACCURACY.name], network)
        for comparison in comparisons
        for network in comparison.networks
        if printed(network)
    ]
    reached = sum(difference >= 0 for difference, _ in differences)
    text = f"Of {len(differences)} printed accuracies, {reached} are reached or exceeded"
    least, network = min(differences, key=lambda one: one[0], default=(0.0, None))
    if network and least < 0:
        text += f"; the furthest below is the {network.title} with {network.label}, by "
        text += f"{number(-least, 1)} points"
    prices, mac = prices_pj(STUDY["prices"]), STUDY["printed_mac_pj"]
    energy, percent = 79_400 * 20_000 * mac * 1e-9, 47.55 * prices["mac"] / mac
    slips = (
        "Two slips in the printed numbers: 79,400 multiply-accumulates × 20,000 samples × "
        f"{prices['mac']} pJ = 4.9228 mJ. The study prints 4922.8 “mJ” for this, so its numbers are "
        f"microjoule. And it used {prices['mac']} pJ, the price of the multiplication alone, where its "
        f"Table 2 gives {mac} pJ for a multiply-accumulate; at that price the ANN’s round costs "
        f"{energy:.4f} mJ, and its 47.55 % become {percent:.2f} %. This page computes as the study did and "
        "writes the correct unit."
    )
    return Prose((f"{text}.", slips))


PRINTED_ACCURACY = Figure(
    "printed-accuracy", partial(_beside, ACCURACY), _accuracy_caption, followed, "F1"
)
PRINTED_CURVES = Figure(
    "printed-curves", lambda data: draw(_curves(data)), _curves_caption, followed
)
PRINTED_ENERGY = Figure(
    "printed-energy",
    partial(_beside, ENERGY),
    Caption(
        "Modelled energy of a round’s forward passes, beside the study’s Table 3",
        "The printed numbers are divided by 1000: the study’s “mJ” are microjoule.",
    ),
    followed,
    "F3",
)
SUMMARY = Figure("printed-summary", _summary, needs=followed)
