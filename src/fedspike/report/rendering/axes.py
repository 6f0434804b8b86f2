"""Axes, bars and places of labels that several charts share."""

from __future__ import annotations  # altair is not looked up before it is used

import json
import math
import statistics
from collections.abc import Sequence
from typing import Any

from fedspike.report.rendering import vega as alt
from fedspike.report.rendering.palette import LIGHT

BAR_LABELS = 165  # pixels for the names of bars
BAR_ROW, BAR_HEIGHT = 38, 12  # pixels: a row with a bar for each of two networks
MOST_TICKS = 8
MOST_READ = 50  # points of a line under the pointer
MOST_DRAWN = 600  # points of a line: two for each of its pixels
OFFSETS = {"conventional": -7, "spiking": 7}  # pixels: a bar above or below the middle of its row
DASHES: tuple[Any, ...] = (
    None,
    [5, 3],
    [1.5, 2.5],
    [9, 3, 1.5, 3],
)  # of lines of one colour; more have the last ones
KEY = (6, 28)  # pixels right of a chart between which a piece of a line tells whose name follows
LETTER = 7  # pixels of a letter of a name, in a wide font


def dashes_of(place: int) -> Any:
    """Of so many lines of one colour the next one's."""
    return DASHES[min(place, len(DASHES) - 1)]


def chart_of(*values: dict[str, Any]) -> alt.Chart:
    """A chart of these points, not yet drawn. What a point `says` is read when the pointer is on it."""
    # The data as text, for altair copies all else again and again. So are channels slower as texts.
    data = alt.Data(values=json.dumps(values), format=alt.DataFormat(type="json"))
    chart = alt.Chart(data)
    says = alt.Description("says:N")
    return chart.encode(description=says) if any("says" in one for one in values) else chart


def line_of(
    points: Sequence[dict[str, Any]], says: str, colour: str, dash: Any = None
) -> tuple[alt.Chart, alt.Chart]:
    """A line, and at most 50 of its points, which say what `says` makes of them under the pointer.

    One point alone is seen.
    """
    every = max(1, math.ceil(len(points) / MOST_READ))
    read = chart_of(*(one | {"says": says.format(**one)} for one in points[::-every]))
    dots = read.mark_circle(color=colour, opacity=float(len(points) == 1), size=120)
    line = chart_of(*points).mark_line(**_look(colour, dash))
    return line, dots


def _look(colour: str, dash: Any) -> dict[str, Any]:
    """Of a line, which is whole where it has no dashes."""
    return {"color": colour, "strokeWidth": 1.8, **({"strokeDash": dash} if dash else {})}


def thinning(points: int) -> str:
    """What is said of a line of so many points, if not all are drawn."""
    return (
        " Of neighbouring rounds the lowest and the highest are drawn."
        if points > MOST_DRAWN
        else ""
    )


def thinned(points: Sequence[dict[str, Any]], field: str) -> list[dict[str, Any]]:
    """At most 600 points that look like all: of neighbours the lowest and the highest, and the last of all.

    >>> points = [{"x": x, "y": -x if x == 70 else x % 7} for x in range(100_000)]
    >>> few = thinned(points, "y")
    >>> len(few) <= 600, few[-1]["x"], min(one["y"] for one in few)
    (True, 99999, -70)
    """
    if len(points) <= MOST_DRAWN:
        return [*points]
    few, size = list[dict[str, Any]](), math.ceil(2 * len(points) / (MOST_DRAWN - 2))
    for first in range(0, len(points), size):
        group = points[first : first + size]
        in_turn = sorted(range(len(group)), key=lambda place: group[place][field])
        few += [group[place] for place in sorted({in_turn[0], in_turn[-1]})]
    return few if few[-1] is points[-1] else [*few, points[-1]]


def round_axis(rounds: int) -> alt.X:
    """Rounds to the right, with up to six whole numbers from 0 on."""
    steps = (step * 10**decade for decade in range(10) for step in (1, 2, 5))
    step = next(step for step in steps if rounds <= 5 * step)
    axis = alt.Axis(grid=False, values=list(range(0, rounds + 1, step)), format="d")
    return alt.X(
        "round:Q", title="round", scale=alt.Scale(domain=[0, rounds], nice=False), axis=axis
    )


def percent_axis(**changes: Any) -> alt.Axis:
    """An upright axis whose title lies level, above it."""
    title = {"titleAngle": 0, "titleAlign": "left", "titleAnchor": "end", "titleX": -28}
    return alt.Axis(**{"tickCount": 5, "titleY": -9, **title, **changes})


def accuracy_axis(field: str, low: int, high: int) -> alt.Y:
    """Test accuracy upwards, in percent."""
    scale = alt.Scale(domain=[low, high], nice=False)
    return alt.Y(f"{field}:Q", title="test accuracy, %", scale=scale, axis=percent_axis())


def logarithmic(low: float, high: float, *, grid: bool = True) -> alt.Axis:
    """A few round numbers of a log scale."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0), (1.0, 2.0, 5.0), (1.0,)):
        ticks = [step * 10.0**decade for decade in decades for step in steps]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) <= MOST_TICKS:
            break
    return alt.Axis(grid=grid, values=ticks, format=",~r", labelOverlap=True)


def log_scale(field: str, low: float, high: float, title: str, *, grid: bool = True) -> alt.X:
    """A quantity to the right, logarithmic."""
    scale = alt.Scale(type="log", domain=[low, high], nice=False)
    return alt.X(f"{field}:Q", title=title, scale=scale, axis=logarithmic(low, high, grid=grid))


def energy_axis(field: str, most: float) -> alt.X:
    """Modelled energy of a round from zero on: bars are never on a log scale."""
    scale = alt.Scale(domain=[0, most], nice=False)
    axis = alt.Axis(tickCount=4, format=",~r")
    return alt.X(f"{field}:Q", title="modelled mJ per round", scale=scale, axis=axis)


def rows(field: str, names: Sequence[str], room: int = BAR_LABELS) -> alt.Y:
    """A row for each name, from top to bottom, with so many pixels for the names."""
    width = {"labelLimit": room, "minExtent": room, "maxExtent": room}
    axis = alt.Axis(grid=False, labelColor=LIGHT["ink"], **width)
    return alt.Y(f"{field}:O", sort=list(names), title=None, axis=axis)


def end_labels(
    ends: Sequence[tuple[dict[str, Any], str, str]], x: alt.X, y: alt.Y, dx: int = 6
) -> list[alt.Chart]:
    """Words beside the ends of lines, moved apart where they would overlap.

    `ends` has for each line its last point, the text and the colour; the field of `y` is moved.
    """
    field = str(y.shorthand).partition(":")[0]
    low, high = y["scale"]["domain"]
    is_log = y["scale"].to_dict().get("type") == "log"
    distance = 0.08 * (math.log10(high / low) if is_log else high - low)
    values = [float(point[field]) for point, _, _ in ends]
    places = places_apart([math.log10(v) for v in values] if is_log else values, distance)
    return [
        chart_of(point | {field: 10**place if is_log else place, "text": text})
        .mark_text(align="left", dx=dx, fontSize=12, fontWeight="bold", color=colour)
        .encode(x=x, y=y, text=alt.Text("text:N"))
        for (point, text, colour), place in zip(ends, places, strict=True)
    ]


def line_names(
    ends: Sequence[tuple[float, str, str, Any]], y: alt.Y, width: int
) -> list[alt.Chart]:
    """The names of lines right of a chart that is so wide, each after a piece of its line; moved apart.

    `ends` has for each line where it ends on `y`, the text, the colour and the dashes.
    """
    field = str(y.shorthand).partition(":")[0]
    low, high = y["scale"]["domain"]
    places = places_apart([end for end, *_ in ends], 0.08 * (high - low))
    layers = []
    for (_, text, colour, dash), place in zip(ends, places, strict=True):
        one = chart_of({field: place, "text": text}).encode(y=y)
        layers.append(one.mark_rule(x=width + KEY[0], x2=width + KEY[1], **_look(colour, dash)))
        style = {"align": "left", "fontSize": 12, "fontWeight": "bold", "color": colour}
        name = one.mark_text(x=width + KEY[1] + 5, **style)
        layers.append(name.encode(text=alt.Text("text:N")))
    # Room for names in whatever font the reader has.
    room = width + KEY[1] + 5 + LETTER * max(len(text) for _, text, *_ in ends)
    edge = chart_of({field: low}).mark_rule(opacity=0, x=0, x2=room).encode(y=y)
    return [*layers, edge]


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
