"""The charts of a sweep of spiking networks: what accuracy costs, and how often neurons fire."""

import math
import statistics
from collections.abc import Mapping, Sequence

import altair as alt

from fedspike.records.schema import RateLimit
from fedspike.report.charts import percent_axis, places_apart, round_axis
from fedspike.report.comparison import Group
from fedspike.report.drawing import COLOUR, LIGHT
from fedspike.report.energy_charts import logarithmic
from fedspike.report.pareto import Point, front
from fedspike.report.tables import number

WIDTH, HEIGHT = 250, 260
RATES_WIDTH, RATES_HEIGHT = 320, 180
LINE = 14  # pixels from one name to the next
LETTER = 6.6  # pixels: a letter of a name, in a wide font
LEAST_PERCENT = 0.01  # where the axis of firing rates begins; 0 is drawn there
DASHES = ([1, 0], [5, 3], [1, 3], [8, 3, 1, 3])


def pareto_chart(points: Sequence[Point], title: str) -> alt.LayerChart:
    """Accuracy against the energy of a round: the front a line of steps with names, all else pale."""
    low, high = accuracy_span(points)
    shown = [point for point in points if point.accuracy.mean >= low]
    best = [point for point in front(points) if point in shown]
    named = [*best, *(p for p in shown if p.network == "ann" and p not in best)]
    energies = [point.energy_mj for point in points]
    span = (min(energies) / 1.2, max(energies) * 1.2)
    height = max(HEIGHT, LINE * len(named))
    longest = max(len(f"00.0  {point.name}") for point in points)
    x = alt.X(
        "mj:Q",
        title="modelled mJ a round",
        scale=alt.Scale(type="log", domain=list(span), nice=False),
        axis=logarithmic(*span),
    )
    scale = alt.Scale(domain=[low, high], nice=False)
    y = alt.Y("percent:Q", title="test accuracy, %", scale=scale, axis=percent_axis())
    colour = alt.Color("colour:N", scale=None)
    strength = alt.Opacity("strength:Q", scale=None)
    rows = [_row(point, point in named, low, high) for point in shown]
    places = _below(float(high), [p.accuracy.mean for p in named], LINE * (high - low) / height)
    labels = [
        _row(point, True, low, high) | {"place": place}
        for point, place in zip(named, places, strict=True)
    ]
    steps = alt.Chart(alt.Data(values=[_row(point, True, low, high) for point in best]))
    dots, words = alt.Chart(alt.Data(values=rows)), alt.Chart(alt.Data(values=labels))
    place = alt.Y("place:Q", scale=scale)
    layers: list[alt.Chart] = [
        words.mark_rule(color=LIGHT["rule"]).encode(
            x=x, y=y, x2=alt.value(WIDTH + 6), y2=alt.Y2("place:Q")
        ),
        steps.mark_line(color=LIGHT["muted"], interpolate="step-after").encode(
            x=x, y=y, order="mj:Q"
        ),
        dots.transform_filter("datum.low < datum.high")
        .mark_rule()
        .encode(x=x, y=alt.Y("low:Q", scale=scale), y2="high:Q", color=colour, opacity=strength),
        dots.mark_point(filled=True, size=45).encode(
            x=x, y=y, color=colour, opacity=strength, shape=alt.Shape("shape:N", scale=None)
        ),
        words.mark_text(align="left", fontSize=11).encode(
            x=alt.value(WIDTH + 10), y=place, text="text:N", color=colour
        ),
        # Room for names in whatever font the reader has, and as much in every panel.
        dots.mark_rule(opacity=0).encode(
            y=alt.value(0), x=alt.value(0), x2=alt.value(WIDTH + 10 + LETTER * longest)
        ),
    ]
    return alt.layer(*layers).properties(width=WIDTH, height=height, title=title)


def _below(top: float, values: Sequence[float], distance: float) -> list[float]:
    """Places apart, as near to the values as can be, none of them above the top.

    >>> _below(10.0, [9.0, 9.5, 3.0], 2.0)
    [8.0, 10.0, 3.0]
    """
    places = places_apart(values, distance)
    for index in sorted(range(len(places)), key=lambda index: -places[index]):
        places[index] = min(places[index], top)
        top = places[index] - distance
    return places


def accuracy_span(points: Sequence[Point]) -> tuple[int, int]:
    """The ends of the accuracy axis in percent: from below all but the worst tenth to above the best.

    The conventional networks are never left out.

    >>> from fedspike.energy.estimate import Estimate
    >>> found = [Point("", "snn", 1.0, Estimate(mean, None, 1)) for mean in (10.0, *[83.0] * 9, 86.2)]
    >>> accuracy_span(found)
    (80, 90)
    """
    means = sorted(point.accuracy.mean for point in points)
    conventional = [point.accuracy.mean for point in points if point.network != "snn"]
    low = min(5 * math.floor(min([means[len(means) // 10], *conventional]) / 5), 95)
    return low, max(5 * math.ceil(means[-1] / 5), low + 5)


def rates_chart(group: Group, limits: Mapping[str, RateLimit]) -> alt.LayerChart:
    """How many of a layer's neurons spike at a step, round by round; mean over the seeds."""
    rounds = len(group.runs[0].accuracy)
    x = alt.X(
        "round:Q",
        title="round",
        scale=alt.Scale(domain=[0, rounds], nice=False),
        axis=round_axis(rounds),
    )
    scale = alt.Scale(type="log", domain=[LEAST_PERCENT, 100], nice=False)
    ticks = percent_axis(values=[0.01, 0.1, 1, 10, 100], format="~r", titleX=-34)
    y = alt.Y("percent:Q", title="neurons that spike at a step, %", scale=scale, axis=ticks)
    layers: list[alt.Chart] = []
    zones = alt.Chart(alt.Data(values=_zones(limits))).encode(y=alt.Y("low:Q", scale=scale))
    layers += [
        zones.mark_rect(color=LIGHT["rule"], opacity=0.55).encode(y2="high:Q"),
        zones.mark_text(x="width", align="right", baseline="bottom", dy=-2, fontSize=11).encode(
            text="text:N", color=alt.value(LIGHT["muted"])
        ),
    ]
    curves = {layer: _rates(group, layer) for layer in group.runs[0].firing_rates}
    lasts = [math.log10(curve[-1]["percent"]) for curve in curves.values()]
    places = places_apart(lasts, 0.08 * math.log10(100 / LEAST_PERCENT))
    for number_, ((layer, curve), place) in enumerate(zip(curves.items(), places, strict=True)):
        line = alt.Chart(alt.Data(values=curve)).mark_line(
            color=LIGHT["snn"], strokeDash=DASHES[number_ % len(DASHES)], point=rounds == 1
        )
        end = {"round": rounds, "percent": 10**place, "text": layer}
        word = alt.Chart(alt.Data(values=[end])).mark_text(
            align="left", dx=6, fontSize=12, color=LIGHT["snn"]
        )
        layers += [line.encode(x=x, y=y), word.encode(x=x, y=y, text="text:N")]
    return alt.layer(*layers).properties(width=RATES_WIDTH, height=RATES_HEIGHT, title=group.label)


def _row(point: Point, named: bool, low: int, high: int) -> dict[str, object]:
    """A point as the chart reads it; its interval as far as the axis goes."""
    mean, half = point.accuracy.mean, point.accuracy.half_width or 0.0
    return {
        "mj": point.energy_mj,
        "percent": mean,
        "low": max(mean - half, low),
        "high": min(mean + half, high),
        "colour": COLOUR[point.network],
        "strength": 1.0 if named else 0.3,
        "shape": "circle" if point.network == "snn" else "square",
        "text": f"{number(mean, 1)}  {point.name}",
    }


def _zones(limits: Mapping[str, RateLimit]) -> list[dict[str, object]]:
    """Where a layer is ill, in percent, and the word for it."""
    found: list[dict[str, object]] = []
    if "dead" in limits:
        found.append({"low": LEAST_PERCENT, "high": 100 * limits["dead"].rate, "text": "dead"})
    if "saturated" in limits:
        found.append({"low": 100 * limits["saturated"].rate, "high": 100, "text": "saturated"})
    return found


def _rates(group: Group, layer: str) -> list[dict[str, int | float]]:
    """The mean over the runs; a round in which nobody trained has none."""
    rounds = zip(*(run.firing_rates[layer] for run in group.runs), strict=True)
    known = [[rate for rate in rates if rate is not None] for rates in rounds]
    return [
        {"round": done, "percent": max(100 * statistics.fmean(rates), LEAST_PERCENT)}
        for done, rates in enumerate(known, 1)
        if rates
    ]
