"""The charts of the report: accuracy against rounds, and who holds what."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from fedspike.records.schema import RunSummary
from fedspike.report.comparison import Comparison, Group
from fedspike.report.drawing import COLOUR, LIGHT, line_style
from fedspike.report.study_tables import SHORT, printed_accuracy

WIDTH, HEIGHT = 330, 210
CELL = 26
MOST_NUMBERED = 12  # clients or classes, beyond which a number in each cell is too small to read
MOST_CELLS = 400  # of one partition; a fleet of thousands would be a page of many megabytes


@dataclass(frozen=True)
class AccuracyAxis:
    """What all accuracy axes of the page span, in percent."""

    low: int
    high: int


def accuracy_axis(comparisons: Sequence[Comparison], beside_study: bool) -> AccuracyAxis:
    """From below all but the first tenth of the rounds, which would take up most, to the best.

    Of many runs the worst twentieth, which may have learned nothing, is left out in the same way.
    """
    runs = [run for comparison in comparisons for group in comparison.groups for run in group.runs]
    settled = [min(run.accuracy[len(run.accuracy) // 10 :]) for run in runs]
    best = [100 * max(run.accuracy) for run in runs]
    if beside_study:
        best += [p for c in comparisons for p in printed_accuracies(c).values()]
    low = min(10 * math.floor(10 * sorted(settled)[len(settled) // 20]), 90)
    return AccuracyAxis(low, max(10 * math.ceil(max(best) / 10), low + 10))


def printed_accuracies(comparison: Comparison) -> dict[str, int]:
    """The study's final accuracies in percent for the networks that ran."""
    printed = {
        group.network: printed_accuracy(group.network, group.setting) for group in comparison.groups
    }
    return {network: percent for network, percent in printed.items() if percent is not None}


def accuracy_chart(
    comparison: Comparison, axis: AccuracyAxis, beside_study: bool
) -> alt.LayerChart:
    """Test accuracy against rounds: a line per network, a band from its lowest to its highest seed.

    Diamonds right of the lines are the founding study's printed final accuracies.
    """
    rounds = max(len(run.accuracy) for group in comparison.groups for run in group.runs)
    scale = alt.Scale(domain=[axis.low, axis.high], nice=False)
    x = alt.X(
        "round:Q",
        title="round",
        scale=alt.Scale(domain=[0, rounds], nice=False),
        axis=round_axis(rounds),
    )
    y = alt.Y(
        "mean:Q",
        title="test accuracy, %",
        scale=scale,
        axis=percent_axis(),
    )
    layers: list[alt.Chart] = []
    for group in comparison.groups:
        points = [point for point in _curve(group) if point["low"] >= axis.low]
        base = alt.Chart(alt.Data(values=points)).encode(x=x)
        colour = COLOUR[group.network]
        if len(group.runs) > 1:
            band = base.mark_area(color=colour, opacity=0.2)
            layers.append(band.encode(y=alt.Y("low:Q", scale=scale), y2="high:Q"))
        style = line_style(group.network)
        line = base.mark_line(color=colour, strokeWidth=1.8, point=rounds == 1, **style)
        layers.append(line.encode(y=y))
    if beside_study:
        layers += _printed_marks(comparison, rounds)
    layers += _end_labels(comparison, rounds, axis)
    return alt.layer(*layers).properties(width=WIDTH, height=HEIGHT, title=comparison.label)


def round_axis(rounds: int) -> alt.Axis:
    """Up to six whole numbers from 0 on."""
    steps = (step * 10**decade for decade in range(10) for step in (1, 2, 5))
    step = next(step for step in steps if rounds <= 5 * step)
    return alt.Axis(grid=False, values=list(range(0, rounds + 1, step)), format="d")


def percent_axis(**changes: Any) -> alt.Axis:
    """An upright axis whose title lies level, above it."""
    title = {"titleAngle": 0, "titleAlign": "left", "titleAnchor": "end", "titleX": -28}
    return alt.Axis(**{"tickCount": 5, "titleY": -9, **title, **changes})


def clients_drawn(run: RunSummary) -> int:
    """How many of a run's clients a partition chart has room for."""
    return min(len(run.class_counts), max(1, MOST_CELLS // max(map(len, run.class_counts))))


def most_samples(runs: Sequence[RunSummary]) -> int:
    """The most samples that any client of these runs has of one class."""
    return max(max(counts, default=0) for run in runs for counts in run.class_counts)


def partition_chart(run: RunSummary, title: str, most: int) -> alt.LayerChart:
    """Clients against classes: the more samples, the darker, up to `most`."""
    clients, classes = clients_drawn(run), max(map(len, run.class_counts))
    cells = [
        {"client": client, "class": label, "samples": samples, "share": samples / most}
        for client, counts in enumerate(run.class_counts[:clients])
        for label, samples in enumerate(counts)
        if samples
    ]
    numbered = max(clients, classes) <= MOST_NUMBERED
    step = CELL if numbered else max(3, CELL * MOST_NUMBERED // max(clients, classes))
    axis = alt.Axis(grid=False, labelAngle=0, labelOverlap=True)
    shade = alt.Scale(domain=[0, 1], range=[0.08, 0.6])
    base = alt.Chart(alt.Data(values=cells)).encode(
        x=alt.X("class:O", title="class", scale=_whole_numbers(classes), axis=axis),
        y=alt.Y("client:O", title="client", scale=_whole_numbers(clients), axis=axis),
    )
    layers = [
        base.mark_rect(color=LIGHT["count"], stroke=LIGHT["paper"]).encode(
            opacity=alt.Opacity("share:Q", scale=shade, legend=None)
        )
    ]
    if numbered:
        layers.append(base.mark_text(fontSize=9.5, color=LIGHT["ink"]).encode(text="samples:Q"))
    return alt.layer(*layers).properties(width={"step": step}, height={"step": step}, title=title)


def places_apart(values: Sequence[float], distance: float) -> list[float]:
    """Where to write labels of these values: as near as can be, in order, a distance apart.

    >>> places_apart([1.0, 5.0, 5.5], 1.0)
    [1.0, 4.75, 5.75]
    """
    order = sorted(range(len(values)), key=lambda i: -values[i])
    blocks: list[list[int]] = []

    def middle(block: list[int]) -> float:
        return statistics.fmean(values[i] for i in block)

    for i in order:
        blocks.append([i])
        while len(blocks) > 1:
            upper, lower = blocks[-2:]
            if middle(upper) - middle(lower) >= distance * (len(upper) + len(lower)) / 2:
                break
            blocks[-2:] = [upper + lower]
    places = [0.0] * len(values)
    for block in blocks:
        for rank, i in enumerate(block):
            places[i] = middle(block) + distance * ((len(block) - 1) / 2 - rank)
    return places


def _curve(group: Group) -> list[dict[str, int | float]]:
    """Round by round, in percent: the mean over the seeds, the lowest and the highest."""
    rounds = zip(*(run.accuracy for run in group.runs), strict=True)
    return [
        {
            "round": number,
            "mean": 100 * statistics.fmean(values),
            "low": 100 * min(values),
            "high": 100 * max(values),
        }
        for number, values in enumerate(rounds, 1)
    ]


def _printed_marks(comparison: Comparison, rounds: int) -> list[alt.Chart]:
    """The study's final accuracies as diamonds, side by side because they are often equal."""
    marks = []
    for (network, percent), offset in zip(
        printed_accuracies(comparison).items(), (8, 15), strict=False
    ):
        mark = alt.Chart(alt.Data(values=[{"round": rounds, "mean": percent}])).mark_point(
            shape="diamond", size=30, color=COLOUR[network], xOffset=offset
        )
        marks.append(mark.encode(x="round:Q", y="mean:Q"))
    return marks


def _end_labels(comparison: Comparison, rounds: int, axis: AccuracyAxis) -> list[alt.Chart]:
    """Each line's network and last figure beside its end, moved apart where they would overlap."""
    ends = {group.network: _curve(group)[-1]["mean"] for group in comparison.groups}
    places = places_apart(list(ends.values()), 0.08 * (axis.high - axis.low))
    heights = dict(zip(ends, places, strict=True))
    labels = []
    for network, value in ends.items():
        text = f"{SHORT[network]} {value:.1f}"
        point = {"round": rounds, "mean": max(heights[network], axis.low), "text": text}
        mark = alt.Chart(alt.Data(values=[point])).mark_text(
            align="left", dx=22, fontSize=12, fontWeight="bold", color=COLOUR[network]
        )
        labels.append(mark.encode(x="round:Q", y="mean:Q", text="text:N"))
    return labels


def _whole_numbers(count: int) -> alt.Scale:
    return alt.Scale(domain=list(range(count)))
