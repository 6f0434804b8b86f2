"""The test accuracy of each network in every setting: Table 1, and curves against rounds."""

from __future__ import annotations  # altair is not looked up before it is used

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fedspike.energy.estimate import Estimate
from fedspike.records.schema import RunSummary
from fedspike.report.analysis import tested
from fedspike.report.analysis.results import Results
from fedspike.report.analysis.settings import (
    Comparison,
    Network,
    Setting,
    interval_note,
    kinds,
    of,
    settings,
)
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering import vega as alt
from fedspike.report.rendering.axes import (
    accuracy_axis,
    chart_of,
    dashes_of,
    end_labels,
    line_of,
    round_axis,
    thinned,
    thinning,
)
from fedspike.report.rendering.drawing import MORE_NETWORKS, Panels, charts, themed
from fedspike.report.rendering.palette import LIGHT
from fedspike.report.rendering.tables import (
    STRONG,
    Caption,
    Column,
    Table,
    marked,
    span,
    table,
    words,
)

WIDTH, HEIGHT = 330, 210
Point = dict[str, int | float]
SHOWN_VARIANTS = 4
MOST_PANELS = 24
MARK_OFFSETS = (8, 15, 22)  # pixels; side by side, because marks are often of equal height
SETTING = words("setting", "each client holds", lambda one: one.label)


def _table(results: Results) -> Table:
    columns, networks = [SETTING], kinds(results.comparisons)
    for kind in networks:
        key, group, role = kind.key, f"{kind.title}, %", kind.role
        last, mean = _last_round(results, kind), of(kind, _last_10)
        columns += [
            Column(f"{key}_last_round_percent", "last round", last, group, 1, role=role),
            Column(
                *(f"{key}_mean_last_10_percent", "last 10", mean, group, 1),
                role=role,
                only_in_files=True,
            ),
        ]
    first = {kind.role: kind.title for kind in reversed(networks)}
    title = f"{first.get('spiking', 'SNN')} − {first.get('conventional', 'ANN')}, points"
    gap = Column("gap_points", title, Comparison.gap_points, digits=1, signed=True)
    return table(results.as_written, *columns, gap)


def _last_round(results: Results, kind: Network) -> Callable[[Comparison], Estimate | None]:
    """The accuracy of this kind of network, bold where it is significantly ahead."""
    ahead = _ahead(results)

    def cell(comparison: Comparison) -> Estimate | None:
        accuracy: Estimate | None = of(kind, lambda one: one.accuracy)(comparison)
        strong = ahead.get(comparison.setting) == kind.role
        return marked(accuracy, strong=True) if accuracy and strong else accuracy

    return cell


def _ahead(results: Results) -> dict[Setting, str]:
    """Which of the two networks of a setting is ahead by the test of the answer; of more there is none."""
    tested = zip(results.leading, results.gaps, strict=True)
    return {
        one.setting: gap.ahead
        for one, gap in tested
        if gap and gap.ahead and len(one.setting.networks) == 2
    }


def _last_10(network: Network) -> Estimate:
    return network.estimate(lambda run: 100 * run.final_accuracy_mean_last_10)


def _table_caption(results: Results) -> Caption:
    bold = (
        [f"{STRONG}: significantly more accurate, by the test of the answer."]
        if _ahead(results)
        else []
    )
    kinds_of = [one.setting.accuracy_of for one in results.comparisons]
    return Caption(
        tested.title(kinds_of),
        *tested.notes(kinds_of),
        "After the last round. In files also the mean over the last ten rounds (“last 10”).",
        *bold,
        interval_note(results.networks),
    )


@dataclass(frozen=True)
class Curves:
    """Comparisons, the ends of the common accuracy axis in percent, and marks right of the curves.

    `marks` has for each comparison (role, percent).
    """

    comparisons: Sequence[Comparison]
    low: int
    high: int
    shown: int
    marks: Sequence[Sequence[tuple[str, int | float]]]


def draw(data: Curves) -> Panels:
    """The panels; of many spiking networks in a setting the page shows the most accurate."""
    drawn = ((c.label, _chart(data, place)) for place, c in enumerate(data.comparisons))
    return Panels(charts(drawn), 25, data.shown, MORE_NETWORKS)


def chart(run: RunSummary) -> alt.LayerChart:
    """A run's accuracy against its rounds."""
    return themed(_chart(_of_one(run), 0))


def drawing(run: RunSummary) -> str:
    """The same as SVG."""
    (panel,) = draw(_of_one(run)).panels
    return panel.svg


def _of_one(run: RunSummary) -> Curves:
    (setting,) = settings([run])
    return curves(setting.comparisons)


def _caption(results: Results) -> Caption:
    kinds_of = [run.accuracy_of for run in results.runs]
    return Caption(
        "Test accuracy against rounds",
        in_words(curves(results.comparisons)),
        *tested.notes(kinds_of),
    )


def curves(
    comparisons: Sequence[Comparison], marks: Sequence[Sequence[tuple[str, int | float]]] = ()
) -> Curves:
    """The curves, and the ends of their axis."""
    runs = [run for comparison in comparisons for one in comparison.networks for run in one.runs]
    low, high = accuracy_ends(runs, [percent for own in marks for _, percent in own])
    shown = SHOWN_VARIANTS if any(c.variant for c in comparisons) else MOST_PANELS
    return Curves(comparisons, low, high, shown, marks or [()] * len(comparisons))


def accuracy_ends(
    runs: Sequence[RunSummary], others: Sequence[int | float] = ()
) -> tuple[int, int]:
    """In percent, from below all but the first tenth of the rounds to the best accuracy, or the best other.

    The first rounds would take up most of an axis. Of many runs the worst twentieth, which may have learned
    nothing, is left out in the same way.
    """
    settled = [min(run.accuracy[len(run.accuracy) // 10 :]) for run in runs]
    best = max([*(100 * max(run.accuracy) for run in runs), *others])
    low = min(10 * math.floor(10 * sorted(settled)[len(settled) // 20]), 90)
    return low, max(10 * math.ceil(best / 10), low + 10)


def in_words(curves: Curves) -> str:
    """What the lines of the curves are."""
    networks = [network for comparison in curves.comparisons for network in comparison.networks]
    text = seeds_in_words([len(network.runs) for network in networks], banded=True)
    text += thinning(max(len(run.accuracy) for network in networks for run in network.runs))
    others = {one.title for c in curves.comparisons for one in c.setting.conventional[1:]}
    if others:
        text += f" Dashed: {', '.join(sorted(others))}."
    if curves.low > 0:
        text += f" The axis begins at {curves.low} %; rounds below it are not drawn."
    return text


def seeds_in_words(counts: Sequence[int], *, banded: bool) -> str:
    """What lines are that come from so many seeds each."""
    if max(counts) == 1:
        return "Each line is one seed."
    band = "; band: from the lowest seed to the highest" if banded else ""
    return f"Line: mean over {span(counts, 0)} seeds{band}."


def dashes(network: Network, networks: Sequence[Network]) -> Any:
    """The dashes of a network's line: conventional networks after the first have some."""
    alike = [one for one in networks if one.role == network.role]
    return dashes_of(alike.index(network))


@dataclass(frozen=True)
class Line:
    """A line of a chart: its points have the accuracy in percent as `mean`, `low` and `high` over the seeds.

    Its band is drawn where it is `banded`.
    """

    name: str
    role: str
    dash: Any
    points: Sequence[Point]
    banded: bool

    def layers(self, x: alt.X, y: alt.Y, where: str) -> list[alt.Chart]:
        """The line as far as it is not below the axis; its points say `where` they are, and the accuracy."""
        low, colour = y["scale"]["domain"][0], LIGHT[self.role]
        above = (point for point in self.points if point["mean"] >= low)
        drawn = [one | {"low": max(one["low"], low)} for one in thinned([*above], "mean")]
        layers = []
        if self.banded:
            band = chart_of(*drawn).mark_area(color=colour, opacity=0.2)
            layers.append(band.encode(x=x, y=alt.Y("low:Q", scale=y["scale"]), y2=alt.Y2("high:Q")))
        lines = line_of(drawn, f"{self.name}, {where}: {{mean:.1f}} %", colour, self.dash)
        return [*layers, *(part.encode(x=x, y=y) for part in lines)]


def _chart(curves: Curves, place: int) -> alt.LayerChart:
    comparison = curves.comparisons[place]
    networks = comparison.networks
    rounds = max(len(run.accuracy) for network in networks for run in network.runs)
    x, y = round_axis(rounds), accuracy_axis("mean", curves.low, curves.high)
    layers: list[alt.Chart] = []
    ends = []
    for network in networks:
        points, dash = _curve(network), dashes(network, networks)
        line = Line(network.title, network.role, dash, points, len(network.runs) > 1)
        layers += line.layers(x, y, "round {round}")
        last = {"round": rounds, "mean": max(points[-1]["mean"], curves.low)}
        ends.append((last, f"{line.name} {points[-1]['mean']:.1f}", LIGHT[line.role]))
    for (role, percent), offset in zip(curves.marks[place], MARK_OFFSETS, strict=False):
        mark = chart_of({"round": rounds, "mean": percent, "says": f"printed: {percent} %"}).encode(
            x=x, y=y
        )
        layers.append(mark.mark_point(shape="diamond", size=30, color=LIGHT[role], xOffset=offset))
    layers += end_labels(ends, x, y, dx=28 if curves.marks[place] else 8)
    return alt.layer(*layers).properties(width=WIDTH, height=HEIGHT, title=comparison.label)


def _curve(network: Network) -> list[Point]:
    """Round by round, in percent: the mean over the seeds, the lowest and the highest."""
    rounds = zip(*(run.accuracy for run in network.runs), strict=True)
    return [
        {
            "round": number,
            "mean": 100 * statistics.fmean(values),
            "low": 100 * min(values),
            "high": 100 * max(values),
        }
        for number, values in enumerate(rounds, 1)
    ]


ACCURACY_TABLE = Figure("accuracy", _table, _table_caption, number="1")
ACCURACY_CURVES = Figure("accuracy", lambda results: draw(curves(results.comparisons)), _caption)
