"""Accuracy against noise and blur of the test samples: a chart and Table 10."""

from __future__ import annotations  # altair is not looked up before it is used

from collections.abc import Sequence
from dataclasses import dataclass

from fedspike.energy.estimate import Estimate
from fedspike.records.schema import RunSummary
from fedspike.report.analysis.bootstrap import of_pairs
from fedspike.report.analysis.results import Results
from fedspike.report.analysis.settings import Comparison, Network, interval_note
from fedspike.report.figures.accuracy import HEIGHT, WIDTH, dashes
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering import vega as alt
from fedspike.report.rendering.axes import accuracy_axis, chart_of, end_labels, line_of
from fedspike.report.rendering.drawing import Panels, charts
from fedspike.report.rendering.palette import LIGHT
from fedspike.report.rendering.tables import Caption, Column, Table, table, words

TITLES = {
    "noise": "standard deviation of the noise",
    "blur": "standard deviation of the blur, pixels",
}
SHOWN = 8


@dataclass(frozen=True)
class Point:
    """A network on test samples that are disturbed so much; 0 is the usual test."""

    network: Network
    kind: str
    amount: float

    @property
    def accuracy(self) -> Estimate:
        """In percent."""
        return self.network.estimate(lambda run: 100 * _accuracy(run, self.kind, self.amount))

    @property
    def lost(self) -> Estimate | None:
        """Percentage points that the disturbance costs."""
        if not self.amount:
            return None
        lost = (
            _accuracy(run, self.kind, self.amount) - run.final_accuracy for run in self.network.runs
        )
        return of_pairs([100 * one for one in lost])


@dataclass(frozen=True)
class Panel:
    """A comparison under one kind of disturbance."""

    comparison: Comparison
    kind: str


def _tested(results: Results) -> list[Comparison]:
    return [c for c in results.comparisons if all(n.runs[0].disturbed for n in c.networks)]


def _panels(results: Results) -> list[Panel]:
    return [
        Panel(comparison, kind)
        for comparison in _tested(results)
        for kind in TITLES
        if any(one.kind == kind for one in comparison.networks[0].runs[0].disturbed)
    ]


def _points(network: Network, kind: str) -> list[Point]:
    """From none on, as far as all its runs were tested."""
    amounts = [{one.amount for one in run.disturbed if one.kind == kind} for run in network.runs]
    return [Point(network, kind, amount) for amount in sorted({0.0} | set.intersection(*amounts))]


def _accuracy(run: RunSummary, kind: str, amount: float) -> float:
    tests = {one.amount: one.accuracy for one in run.disturbed if one.kind == kind}
    return tests.get(amount, run.final_accuracy)


def _draw(panels: Sequence[Panel]) -> Panels:
    drawn = ((f"{one.comparison.label}, {one.kind}", _chart(one)) for one in panels)
    return Panels(charts(drawn), 25, SHOWN)


def _chart(panel: Panel) -> alt.LayerChart:
    networks = panel.comparison.networks
    lines = {network: _points(network, panel.kind) for network in networks}
    most = max(points[-1].amount for points in lines.values())
    scale = alt.Scale(domain=[0, most], nice=False)
    x = alt.X("amount:Q", title=TITLES[panel.kind], scale=scale, axis=alt.Axis(grid=False))
    y = accuracy_axis("mean", 0, 100)
    layers: list[alt.Chart] = []
    ends = []
    for network, points in lines.items():
        accuracies = [(point.amount, point.accuracy) for point in points]
        rows = [
            {
                "amount": amount,
                "mean": one.mean,
                "low": max(one.low, 0.0),
                "high": min(one.high, 100.0),
            }
            for amount, one in accuracies
        ]
        colour = LIGHT[network.role]
        if len(network.runs) > 1:
            band = chart_of(*rows).mark_area(color=colour, opacity=0.2)
            layers.append(band.encode(x=x, y=alt.Y("low:Q", scale=y["scale"]), y2=alt.Y2("high:Q")))
        says = f"{network.title}, {panel.kind} of {{amount:g}}: {{mean:.1f}} %"
        both = line_of(rows, says, colour, dashes(network, networks))
        layers += [part.encode(x=x, y=y) for part in both]
        last = {"amount": rows[-1]["amount"], "mean": rows[-1]["mean"]}
        ends.append((last, f"{network.title} {last['mean']:.1f}", colour))
    layers += end_labels(ends, x, y, dx=8)
    title = f"{panel.comparison.label}, {panel.kind}"
    return alt.layer(*layers).properties(width=WIDTH, height=HEIGHT, title=title)


def _table(panels: Sequence[Panel]) -> Table:
    networks = dict.fromkeys(network for one in panels for network in one.comparison.networks)
    kinds = dict.fromkeys(one.kind for one in panels)
    points = [point for network in networks for kind in kinds for point in _points(network, kind)]
    return table(
        points,
        words("setting", "each client holds", lambda one: one.network.setting),
        words("network", "network", lambda one: one.network.name),
        words("disturbance", "disturbance", lambda one: one.kind),
        Column("amount", "standard deviation", lambda one: one.amount, digits=2),
        Column("accuracy_percent", "accuracy, %", lambda one: one.accuracy, digits=1),
        Column("lost_points", "change, points", lambda one: one.lost, digits=1, signed=True),
    )


CAPTION = Caption(
    "Accuracy against noise and blur",
    "The model of the last round on test samples to which Gaussian noise was added (in units of the "
    "brightest pixel), or that a Gaussian blurred (in pixels), beside what the samples have of both already; "
    "at 0 is the usual test. Nobody trained on disturbed samples. The band is Student’s 95 % interval over "
    "the seeds.",
)


def _table_caption(panels: Sequence[Panel]) -> Caption:
    networks = [network for one in panels for network in one.comparison.networks]
    return Caption("Accuracy in noise and out of focus", interval_note(networks))


ROBUSTNESS_CHART = Figure("robustness", _draw, CAPTION, _panels)
ROBUSTNESS_TABLE = Figure("robustness", _table, _table_caption, _panels, "10")
