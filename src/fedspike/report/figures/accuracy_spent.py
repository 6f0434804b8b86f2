"""Test accuracy against what it took: simulated time, bytes and modelled energy, a panel for each.

The networks of a setting, and the methods of a sweep in it, are lines of one panel as long as these can be
told apart, else each comparison has panels of its own.
"""

from __future__ import annotations  # altair is not looked up before it is used

import math
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from fedspike.energy.profiles import Profile
from fedspike.energy.units import UNITS
from fedspike.records.schema import RunSummary
from fedspike.report.analysis import tested
from fedspike.report.analysis.course import Course
from fedspike.report.analysis.results import Results
from fedspike.report.figures.accuracy import Line, Point, accuracy_ends, seeds_in_words
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering import vega as alt
from fedspike.report.rendering.axes import (
    DASHES,
    accuracy_axis,
    dashes_of,
    line_names,
    log_scale,
)
from fedspike.report.rendering.drawing import Panels, charts
from fedspike.report.rendering.palette import LIGHT
from fedspike.report.rendering.tables import Caption, listed

WIDTH, HEIGHT = 190, 200
MOST_POINTS = 30  # of a line, for there may be many lines
MOST_BANDS = 2  # of a panel: more hide each other
ROOM = 1.05  # beside the first and the last point
SHOWN, MOST_SETTINGS = 2, 8  # before the fold, and in all
PANEL_REM = {1: 25, 2: 25, 3: 18}  # so that the axes of a setting stand side by side
WORDS = {"h": "hours", "min": "minutes", "s": "seconds"}


@dataclass(frozen=True)
class Axis:
    """What is spent: its base unit, its title with a unit, and what a run had spent after these rounds."""

    name: str
    unit: str
    title: str
    spent: Callable[[Course, Sequence[int], Profile], Sequence[float] | None]


ENERGY = Axis("energy", "J", "modelled {}, with training", Course.joules)
AXES = (
    Axis(
        *("simulated time", "s", "simulated {}"),
        lambda course, rounds, _: course.seconds and [course.seconds[n - 1] for n in rounds],
    ),
    Axis(
        *("bytes", "bytes", "{} sent and received"),
        lambda course, rounds, _: [float(course.sent_bytes[n - 1]) for n in rounds],
    ),
    ENERGY,
)


@dataclass(frozen=True)
class Method:
    """A line before it is drawn: the runs of a network, or of a method with it, seed by seed."""

    name: str
    role: str
    runs: tuple[RunSummary, ...]


@dataclass(frozen=True)
class Panel:
    """A setting against one of the axes."""

    label: str
    axis: Axis
    lines: list[Line]


@dataclass(frozen=True)
class Spent:
    """All panels, the axes of a setting side by side, and the settings that there is no room for.

    The panels have the same ends of `accuracy`, in percent, and of each axis.
    """

    panels: list[Panel]
    accuracy: tuple[int, int]
    left_out: int
    results: Results

    @property
    def axes(self) -> list[Axis]:
        """Those that there are panels of."""
        return [axis for axis in AXES if self.lines(axis)]

    @property
    def settings(self) -> list[str]:
        """Their names."""
        return [*dict.fromkeys(one.label for one in self.panels)]

    def lines(self, axis: Axis) -> list[Line]:
        """All lines of an axis."""
        return [line for panel in self.panels if panel.axis is axis for line in panel.lines]

    def unit(self, axis: Axis) -> str:
        """The largest unit of which the longest line has one."""
        most = max(line.points[-1]["amount"] for line in self.lines(axis))
        names = [name for name, size in UNITS[axis.unit].items() if size <= most]
        return names[-1] if names else next(iter(UNITS[axis.unit]))

    def ends(self, axis: Axis) -> tuple[float, float]:
        """Of an axis in the base unit: some room beside the least and most that is not below `accuracy`."""
        least, most = [], []
        for line in self.lines(axis):
            above = [one for one in line.points if one["mean"] >= self.accuracy[0]]
            least.append((above or line.points[-1:])[0]["amount"])
            most.append(line.points[-1]["amount"])
        return min(least) / ROOM, max(most) * ROOM


def spent(results: Results) -> Spent | None:
    """The panels of the runs whose rounds are here; None where there are none."""
    settings = _together(results) or _apart(results)
    shown = [*settings.items()][:MOST_SETTINGS]
    panels = [
        Panel(label, axis, lines)
        for label, methods in shown
        for axis in AXES
        if (lines := _lines(methods, axis, results))
    ]
    runs = [run for _, methods in shown for one in methods for run in one.runs]
    left_out = len(settings) - len(shown)
    return Spent(panels, accuracy_ends(runs), left_out, results) if panels else None


def _together(results: Results) -> dict[str, list[Method]]:
    """Setting -> its networks under each method; empty where these are too many for one panel."""
    side = results.side_by_side
    if side is None:
        return {}
    made: dict[str, list[Method]] = {}
    of_own = {name for name, kind in side.accuracy_of.items() if kind == tested.OWN_SAMPLES}
    own = f", {tested.MARK[tested.OWN_SAMPLES]}" if len(of_own) < len(side.columns) else ""
    for row in side.rows:
        for column in side.columns:
            if column in row.runs:
                label = f"{row.setting}{own if column in of_own else ''}"
                method = Method(f"{row.network} {column}".strip(), row.role, row.runs[column])
                made.setdefault(label, []).append(method)
    most = max(max(Counter(one.role for one in methods).values()) for methods in made.values())
    return made if most <= len(DASHES) else {}


def _apart(results: Results) -> dict[str, list[Method]]:
    """Comparison -> its networks."""
    return {
        one.label: [Method(network.title, network.role, network.runs) for network in one.networks]
        for one in results.comparisons
    }


def _lines(methods: Sequence[Method], axis: Axis, results: Results) -> list[Line]:
    """The methods that spend anything there, each with dashes of its own in its colour."""
    lines, drawn = [], Counter[str]()
    for one in methods:
        dash = dashes_of(drawn[one.role])
        drawn[one.role] += 1
        banded = len(one.runs) > 1 and len(methods) <= MOST_BANDS
        if points := _points(one, axis, results):
            lines.append(Line(one.name, one.role, dash, points, banded))
    return lines


def _points(method: Method, axis: Axis, results: Results) -> list[Point]:
    """Of 30 rounds at most: means over the seeds, and the accuracies of the lowest and highest seed."""
    courses = [course for run in method.runs if (course := results.course(run))]
    if len(courses) < len(method.runs):
        return []
    count = min(len(one.accuracy) for one in courses)
    rounds = range(count, 0, -math.ceil(count / MOST_POINTS))[::-1]
    by_seed = [own for one in courses if (own := axis.spent(one, rounds, results.prices))]
    if len(by_seed) < len(courses):
        return []
    points: list[Point] = []
    for number, amounts in zip(rounds, zip(*by_seed, strict=True), strict=True):
        percents = [100 * one.accuracy[number - 1] for one in courses]
        ends = {"low": min(percents), "high": max(percents), "mean": statistics.fmean(percents)}
        points.append({"round": number, "amount": statistics.fmean(amounts), **ends})
    return [point for point in points if point["amount"] > 0]


def _draw(spent: Spent) -> Panels:
    drawn = ((f"{one.label}, {one.axis.name}", _chart(spent, one)) for one in spent.panels)
    shown = sum(one.label in spent.settings[:SHOWN] for one in spent.panels)
    return Panels(charts(drawn), PANEL_REM[len(spent.axes)], shown)


def _chart(spent: Spent, panel: Panel) -> alt.LayerChart:
    axis, unit = panel.axis, spent.unit(panel.axis)
    size = UNITS[axis.unit][unit]
    low, high = spent.accuracy
    least, most = spent.ends(axis)
    title = axis.title.format(WORDS.get(unit, unit))
    x = log_scale("amount", least / size, most / size, title, grid=False)
    y = accuracy_axis("mean", low, high)
    layers: list[alt.Chart] = []
    names = []
    for line in panel.lines:
        points = [one | {"amount": one["amount"] / size} for one in line.points]
        layers += replace(line, points=points).layers(
            x, y, f"round {{round}}, {{amount:.3g}} {unit}"
        )
        last = line.points[-1]["mean"]
        names.append((max(last, low), line.name, LIGHT[line.role], line.dash))
    layers += line_names(names, y, WIDTH)
    return alt.layer(*layers).properties(width=WIDTH, height=HEIGHT, title=panel.label)


def _caption(spent: Spent) -> Caption:
    energy = ""
    if ENERGY in spent.axes:
        energy = f"; energy at the prices of {spent.results.profile}, without the radio"
    banded = any(line.banded for panel in spent.panels for line in panel.lines)
    notes = [
        f"Of all devices together, from the first round on, logarithmic{energy}.",
        seeds_in_words([len(one.runs) for one in spent.results.networks], banded=banded),
        *tested.notes(run.accuracy_of for run in spent.results.runs),
    ]
    if spent.accuracy[0] > 0:
        notes.append(f"Below {spent.accuracy[0]} % nothing is drawn.")
    if spent.left_out > 0:
        notes.append(f"The first {MOST_SETTINGS} of {MOST_SETTINGS + spent.left_out} settings.")
    return Caption(f"Test accuracy against {listed([axis.name for axis in spent.axes])}", *notes)


ACCURACY_SPENT = Figure(
    *("accuracy-spent", _draw, _caption, spent),
    summary="Accuracy against what it took",
)
