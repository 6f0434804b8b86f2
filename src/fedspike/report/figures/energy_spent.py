"""Energy for an accuracy: a chart of the energy spent so far, and Table E3, until the target."""

from __future__ import annotations  # altair is not looked up before it is used

import math
from collections.abc import Callable, Sequence
from typing import Any

from fedspike.energy.estimate import Estimate, estimate
from fedspike.energy.levels import HIGHEST_WITHOUT_RADIO
from fedspike.report.analysis.energy_view import EnergyView, energy_mj
from fedspike.report.analysis.equal_accuracy import Effort, EqualAccuracy
from fedspike.report.analysis.results import Results
from fedspike.report.analysis.settings import Comparison, Network, interval_note, kinds, of
from fedspike.report.figures.accuracy import SETTING, dashes
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering import vega as alt
from fedspike.report.rendering.axes import (
    accuracy_axis,
    chart_of,
    end_labels,
    line_of,
    log_scale,
    thinned,
    thinning,
)
from fedspike.report.rendering.drawing import PRICE_TABLES, Panels, charts
from fedspike.report.rendering.palette import LIGHT
from fedspike.report.rendering.tables import Caption, Cell, Column, Table, scaled, table

WIDTH, HEIGHT = 300, 210
SIMULATED = " Simulated time: what the devices would take, by the clock of the experiment."
Point = dict[str, int | float]
Curve = list[Point]  # joule so far and accuracy in percent


def _draw(view: EnergyView) -> Panels:
    target = 100 * view.reference.runs[0].target_accuracy
    spent = {
        profile: [(one, own) for one in view.main.networks if (own := _spent(one, profile))]
        for profile in view.judging(HIGHEST_WITHOUT_RADIO)
    }
    drawn = ((profile, _chart(profile, curves, target)) for profile, curves in spent.items())
    return Panels(charts(drawn), 25, 1, PRICE_TABLES)


def _caption(view: EnergyView) -> Caption:
    return Caption(
        f"Accuracy against energy, with training, {view.main.label}",
        "All devices, without the radio; of each round as much as of the mean round. Dotted: the target."
        + thinning(max(len(run.accuracy) for one in view.main.networks for run in one.runs)),
    )


def _spent(network: Network, profile: str) -> Curve:
    """Round by round: joule so far and accuracy in percent, mean over the seeds."""
    energy = energy_mj(network, profile, HIGHEST_WITHOUT_RADIO)
    if energy is None or energy.mean == 0:
        return []
    rounds = zip(*(run.accuracy for run in network.runs), strict=True)
    return [
        {"joule": energy.mean * number / 1000, "percent": 100 * estimate(values).mean}
        for number, values in enumerate(rounds, 1)
    ]


def _chart(profile: str, curves: list[tuple[Network, Curve]], target: float) -> alt.LayerChart:
    points = [point for _, curve in curves for point in curve]
    accuracies = sorted(point["percent"] for point in points)
    joules = [point["joule"] for point in points]
    floor = min(10 * math.floor(accuracies[len(accuracies) // 10] / 10), 90)
    ceiling = max(10 * math.ceil(accuracies[-1] / 10), floor + 10)
    title = "modelled J of all devices so far"
    x = log_scale("joule", min(joules), max(joules), title, grid=False)
    y = accuracy_axis("percent", floor, ceiling)
    layers: list[alt.Chart] = []
    if floor < target < ceiling:
        line = chart_of({"percent": target}).encode(y=y)
        words = line.mark_text(x=4, align="left", dy=-7, fontSize=11, color=LIGHT["muted"])
        layers += [
            line.mark_rule(color=LIGHT["muted"], strokeDash=[2, 3]),
            words.encode(text=alt.value(f"target {target:g} %")),
        ]
    ends = []
    networks = [network for network, _ in curves]
    for network, curve in curves:
        colour, dash = LIGHT[network.role], dashes(network, networks)
        drawn = [point for point in curve if point["percent"] >= floor] or curve[-1:]
        says = f"{network.title}, {{joule:.3g}} J: {{percent:.1f}} %"
        lines = line_of(thinned(drawn, "percent"), says, colour, dash)
        layers += [part.encode(x=x, y=y, order=alt.Order("joule:Q")) for part in lines]
        ends.append((drawn[-1], network.title, colour))
    layers += end_labels(ends, x, y)
    return alt.layer(*layers).properties(width=WIDTH, height=HEIGHT, title=profile)


def _table(view: EnergyView) -> Table:
    all_kinds = kinds(view.comparisons)

    def reached(kind: Network, place: int) -> Callable[[Comparison], Any]:
        return of(kind, lambda one: _mean([p[place] for p in reaching(one, view.profile)]))

    return table(
        view.comparisons,
        SETTING,
        *(Column(f"{one.key}_rounds", one.title, reached(one, 0), "rounds") for one in all_kinds),
        *(
            Column(
                f"{one.key}_joule", one.title, reached(one, 1), "modelled J, with training", None
            )
            for one in all_kinds
        ),
    )


def _table_caption(view: EnergyView) -> Caption:
    networks = list(dict.fromkeys(one for c in view.comparisons for one in c.networks))
    targets = sorted({run.target_accuracy for network in networks for run in network.runs})
    partly = [
        f"{network.label}, {network.title}: reached with {count} of {len(network.runs)} seeds."
        for network in networks
        if 0 < (count := len(reaching(network, view.profile))) < len(network.runs)
    ]
    return Caption(
        f"Until the test accuracy first reaches {' or '.join(f'{100 * t:g} %' for t in targets)}, "
        f"at the prices of {view.profile}",
        "A dash: not reached. All devices together, without the radio.",
        *partly,
    )


def reaching(network: Network, profile: str) -> list[tuple[float, float]]:
    """Rounds and joule until the target, of the seeds that reached it."""
    pairs = []
    for run in network.runs:
        bill = run.bill.get(profile, {}).get(HIGHEST_WITHOUT_RADIO)
        if bill and bill.to_target and run.rounds_to_target is not None:
            pairs.append((float(run.rounds_to_target), bill.to_target.nominal_mj / 1000))
    return pairs


def _mean(values: Sequence[float]) -> Estimate | None:
    return estimate(values) if values else None


def effort_columns(
    efforts: Sequence[Effort],
) -> list[tuple[str, str, int | None, Callable[[Effort], Cell]]]:
    """Key, label, digits and cell of what runs needed until an accuracy; time where any has a clock."""
    columns: list[tuple[str, str, int | None, Callable[[Effort], Cell]]] = [
        ("rounds", "rounds", 0, lambda effort: effort.rounds),
        ("megabytes", "MB, up and down", None, lambda effort: effort.megabytes),
        ("joule", "modelled J, with training", None, lambda effort: effort.joules),
    ]
    if any(effort.seconds for effort in efforts):
        columns.append(
            ("simulated_s", "simulated time", None, lambda effort: scaled(effort.seconds, "s"))
        )
    return columns


def effort_note(efforts: Sequence[Effort]) -> str:
    """What a reader must know of these columns."""
    timed = any(effort.seconds for effort in efforts)
    return (
        "The first round of each run whose test reaches it; all devices together, the radio not priced."
        f"{SIMULATED if timed else ''}"
    )


def _equal(results: Results) -> Table:
    """A row for each setting; each network's rounds, bytes, energy and time until the accuracy."""
    all_kinds = kinds([one.comparison for one in results.equal_accuracy])

    def needed(kind: Network, of: Callable[[Effort], Any]) -> Callable[[EqualAccuracy], Any]:
        return lambda row: next((of(e) for n, e in row.efforts if n.key == kind.key), None)

    efforts = [effort for one in results.equal_accuracy for _, effort in one.efforts]
    return table(
        results.equal_accuracy,
        SETTING,
        Column("target_percent", "accuracy, %", lambda row: 100 * row.target, digits=1),
        *(
            Column(f"{kind.key}_{key}", kind.title, needed(kind, of), label, digits)
            for key, label, digits, of in effort_columns(efforts)
            for kind in all_kinds
        ),
    )


def _equal_caption(results: Results) -> Caption:
    several = any(len(one.comparison.setting.spiking) > 1 for one in results.equal_accuracy)
    which = ["Of several spiking networks of a setting the most accurate one."] if several else []
    return Caption(
        f"Until the highest accuracy that both networks reach, at the prices of {results.profile}",
        *which,
        effort_note([effort for one in results.equal_accuracy for _, effort in one.efforts]),
        interval_note([network for one in results.equal_accuracy for network, _ in one.efforts]),
    )


EQUAL_TABLE = Figure(
    "equal-accuracy",
    _equal,
    _equal_caption,
    lambda results: results if results.equal_accuracy else None,
    "E13",
)
ACCURACY_ENERGY = Figure(
    "accuracy-energy", _draw, _caption, lambda results: results.judged(HIGHEST_WITHOUT_RADIO)
)
TARGET_TABLE = Figure("target", _table, _table_caption, lambda results: results.energy, "E3")
