"""Test accuracy against the energy spent so far."""

import math
from dataclasses import dataclass

import altair as alt

from fedspike.energy.estimate import estimate
from fedspike.energy.levels import HIGHEST_WITHOUT_RADIO
from fedspike.report.analysis.energy_view import EnergyView, energy_mj
from fedspike.report.analysis.settings import Network
from fedspike.report.figures.accuracy_curves import dashes
from fedspike.report.figures.energy_levels import PRICE_TABLES
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering.axes import accuracy_axis, chart_of, end_labels, log_scale
from fedspike.report.rendering.drawing import LIGHT, Panels, charts
from fedspike.report.rendering.tables import Caption

WIDTH, HEIGHT = 300, 210
Point = dict[str, int | float]


@dataclass(frozen=True)
class Spent:
    """Networks with their points, joule so far and accuracy in percent, under one profile."""

    profile: str
    curves: list[tuple[Network, list[Point]]]
    target_percent: float


def _data(view: EnergyView) -> list[Spent]:
    target = 100 * view.reference.runs[0].target_accuracy
    return [
        Spent(
            profile,
            [(one, own) for one in view.main.networks if (own := _spent(one, profile))],
            target,
        )
        for profile in view.judging(HIGHEST_WITHOUT_RADIO)
    ]


def _draw(data: list[Spent]) -> Panels:
    return Panels(charts((one.profile, _chart(one)) for one in data), 25, 1, PRICE_TABLES)


def _caption(view: EnergyView) -> Caption:
    return Caption(
        f"Accuracy against energy, with training, {view.main.label}",
        "The energy of round k is k times that of the run’s mean round; without the radio. Dotted: "
        "the target accuracy. The energy axis is logarithmic.",
    )


def _spent(network: Network, profile: str) -> list[Point]:
    """Round by round: joule so far and accuracy in percent, mean over the seeds."""
    energy = energy_mj(network, profile, HIGHEST_WITHOUT_RADIO)
    if energy is None or energy.mean == 0:
        return []
    rounds = zip(*(run.accuracy for run in network.runs), strict=True)
    return [
        {"joule": energy.mean * number / 1000, "percent": 100 * estimate(values).mean}
        for number, values in enumerate(rounds, 1)
    ]


def _chart(spent: Spent) -> alt.LayerChart:
    points = [point for _, curve in spent.curves for point in curve]
    accuracies = sorted(point["percent"] for point in points)
    joules = [point["joule"] for point in points]
    floor = min(10 * math.floor(accuracies[len(accuracies) // 10] / 10), 90)
    ceiling = max(10 * math.ceil(accuracies[-1] / 10), floor + 10)
    title = "modelled J of all devices so far"
    x = log_scale("joule", min(joules), max(joules), title, grid=False)
    y = accuracy_axis("percent", floor, ceiling)
    layers: list[alt.Chart] = []
    target = spent.target_percent
    if floor < target < ceiling:
        line = chart_of({"percent": target}).encode(y=y)
        words = line.mark_text(x=4, align="left", dy=-7, fontSize=11, color=LIGHT["muted"])
        layers += [
            line.mark_rule(color=LIGHT["muted"], strokeDash=[2, 3]),
            words.encode(text=alt.value(f"target {target:g} %")),
        ]
    ends = []
    networks = [network for network, _ in spent.curves]
    for network, curve in spent.curves:
        colour, dash = LIGHT[network.role], dashes(network, networks)
        drawn = [point for point in curve if point["percent"] >= floor] or curve[-1:]
        line = chart_of(*drawn).mark_line(color=colour, strokeWidth=1.8, strokeDash=dash)
        layers.append(line.encode(x=x, y=y, order="joule:Q"))
        ends.append((drawn[-1], network.title, colour))
    layers += end_labels(ends, x, y)
    return alt.layer(*layers).properties(width=WIDTH, height=HEIGHT, title=spent.profile)


ACCURACY_ENERGY = Figure(
    "accuracy-energy",
    _data,
    draw=_draw,
    caption=_caption,
    needs=lambda results: results.judged(HIGHEST_WITHOUT_RADIO),
)
