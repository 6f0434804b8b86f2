"""All spiking networks of a sweep: a chart of accuracy against energy, and Table S1.

The front are the networks that no other beats in both.
"""

from __future__ import annotations  # altair is not looked up before it is used

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fedspike.energy.estimate import Estimate, estimate
from fedspike.energy.levels import Level
from fedspike.report.analysis.energy_view import ADDED, energy_mj, highest_level, profiles
from fedspike.report.analysis.other_prices import of_run
from fedspike.report.analysis.results import Results
from fedspike.report.analysis.settings import Network, interval_note
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering import vega as alt
from fedspike.report.rendering.axes import accuracy_axis, chart_of, log_scale, places_apart
from fedspike.report.rendering.drawing import Panels, charts
from fedspike.report.rendering.palette import LIGHT
from fedspike.report.rendering.tables import (
    Caption,
    Column,
    Table,
    number,
    table,
    three_digits,
    words,
)

FEWEST_POINTS = 3
MOST_NAMED = 8  # spiking networks; of more, those on the front have names
WIDTH, HEIGHT = 250, 260
LINE, LETTER = 14, 6.6  # pixels from one name to the next; a letter of a name, in a wide font


@dataclass(frozen=True)
class Point:
    """A network: the energy of a round at nominal prices, and its accuracy after the last, in percent."""

    name: str
    is_spiking: bool
    energy_mj: float
    accuracy: Estimate


def points(networks: Sequence[Network], profile: str) -> list[Point]:
    """The networks that a profile prices, at its highest level without the radio."""
    made = []
    for network in networks:
        level = highest_level(network, profile)
        energy = energy_mj(network, profile, level) if level else None
        if energy is not None and energy.mean > 0:
            made.append(Point(network.name, network.is_spiking, energy.mean, network.accuracy))
    return made


def front(points: Sequence[Point]) -> list[Point]:
    """From the cheapest on, each point that is more accurate than all that cost no more."""
    best: list[Point] = []
    highest = -math.inf
    for point in sorted(points, key=lambda point: (point.energy_mj, -point.accuracy.mean)):
        if point.accuracy.mean > highest:
            best.append(point)
            highest = point.accuracy.mean
    return best


@dataclass(frozen=True)
class Cloud:
    """The networks of a setting under a profile, at the highest level that it prices without the radio."""

    setting: str
    profile: str
    level: Level
    points: list[Point]


def clouds(results: Results) -> list[Cloud]:
    """The settings with enough networks that a profile prices; the profile that is shown first in front."""
    made = []
    for profile in sorted(profiles(results.networks), key=lambda name: name != results.profile):
        for setting in results.settings:
            own = points(setting.networks, profile)
            levels = (highest_level(network, profile) for network in setting.networks)
            level = next((level for level in levels if level), None)
            if level and len(own) >= FEWEST_POINTS:
                made.append(Cloud(setting.label, profile, level, own))
    return made


def _draw(clouds: list[Cloud]) -> Panels:
    labels = [f"{one.setting}, {one.profile}" for one in clouds]
    drawn = charts(
        (label, _chart(c.points, label)) for label, c in zip(labels, clouds, strict=True)
    )
    shown = sum(one.profile == clouds[0].profile for one in clouds)
    return Panels(drawn, 29, shown, ("more panel, at other prices", "more panels, at other prices"))


def _caption(clouds: list[Cloud]) -> Caption:
    first, named = clouds[0].profile, "; the others are pale"
    if not all(all_named(cloud.points) for cloud in clouds):
        named = "; these and the conventional networks have their names"
    note = (
        "Each point is a network: the energy of a round of all its devices, logarithmic, and its accuracy "
        "after the last round. The line joins the networks for which no other is both cheaper and more "
        f"accurate{named}. Nominal prices, up to "
        f"“{ADDED[clouds[0].level]}” where the table includes it, without the radio; work without a price is "
        "missing. Circles: spiking; squares: conventional. The worst tenth of the spiking networks may "
        "lie below the axis."
    )
    if any(point.accuracy.count > 1 for cloud in clouds for point in cloud.points):
        note += " Whiskers: 95 % interval over the seeds."
    return Caption(f"Accuracy against energy of each network, at the prices of {first}", note)


def accuracy_span(points: Sequence[Point]) -> tuple[int, int]:
    """The ends of the accuracy axis in percent: from below all but the worst tenth to above the best.

    The conventional networks are never left out.

    >>> from fedspike.energy.estimate import Estimate
    >>> points = [Point("", True, 1.0, Estimate(mean, None, 1)) for mean in (10.0, *[83.0] * 9, 86.2)]
    >>> accuracy_span(points)
    (80, 90)
    """
    means = sorted(point.accuracy.mean for point in points)
    conventional = [point.accuracy.mean for point in points if not point.is_spiking]
    low = min(5 * math.floor(min([means[len(means) // 10], *conventional]) / 5), 95)
    return low, max(5 * math.ceil(means[-1] / 5), low + 5)


def below(top: float, values: Sequence[float], distance: float) -> list[float]:
    """Places apart, as near to the values as can be, none of them above the top.

    >>> below(10.0, [9.0, 9.5, 3.0], 2.0)
    [8.0, 10.0, 3.0]
    """
    places = places_apart(values, distance)
    for index in sorted(range(len(places)), key=lambda index: -places[index]):
        places[index] = min(places[index], top)
        top = places[index] - distance
    return places


def _chart(points: Sequence[Point], title: str) -> alt.LayerChart:
    """The front as a line of steps with names; all other points are pale."""
    low, high = accuracy_span(points)
    shown = [point for point in points if point.accuracy.mean >= low]
    best = [point for point in front(points) if point in shown]
    strong = [*best, *(p for p in shown if not p.is_spiking and p not in best)]
    named = shown if all_named(points) else strong
    height = max(HEIGHT, LINE * len(named))
    energies = [point.energy_mj for point in points]
    x = log_scale("mj", min(energies) / 1.2, max(energies) * 1.2, "modelled mJ per round")
    y = accuracy_axis("percent", low, high)
    colour, strength = alt.Color("colour:N", scale=None), alt.Opacity("strength:Q", scale=None)
    places = below(float(high), [p.accuracy.mean for p in named], LINE * (high - low) / height)
    steps = chart_of(*(_row(point, True, low, high) for point in best))
    dots = chart_of(*(_row(point, point in strong, low, high) for point in shown))
    names = chart_of(
        *(
            _row(point, True, low, high) | {"place": place}
            for point, place in zip(named, places, strict=True)
        )
    )
    # Room for names in whatever font the reader has, and as much in every panel.
    room = WIDTH + 10 + LETTER * max(len(f"00.0  {point.name}") for point in points)
    layers: list[alt.Chart] = [
        names.mark_rule(color=LIGHT["rule"]).encode(
            x=x, y=y, x2=alt.value(WIDTH + 6), y2=alt.Y2("place:Q")
        ),
        steps.mark_line(color=LIGHT["muted"], interpolate="step-after").encode(
            x=x, y=y, order=alt.Order("mj:Q")
        ),
        dots.transform_filter("datum.low < datum.high")
        .mark_rule()
        .encode(
            x=x,
            y=alt.Y("low:Q", scale=y["scale"]),
            y2=alt.Y2("high:Q"),
            color=colour,
            opacity=strength,
        ),
        dots.mark_point(filled=True, size=45).encode(
            x=x, y=y, color=colour, opacity=strength, shape=alt.Shape("shape:N", scale=None)
        ),
        names.mark_text(align="left", fontSize=11).encode(
            x=alt.value(WIDTH + 10),
            y=alt.Y("place:Q", scale=y["scale"]),
            text=alt.Text("text:N"),
            color=colour,
        ),
        dots.mark_rule(opacity=0).encode(y=alt.value(0), x=alt.value(0), x2=alt.value(room)),
    ]
    return alt.layer(*layers).properties(width=WIDTH, height=height, title=title)


def all_named(points: Sequence[Point]) -> bool:
    """Whether so few networks spike that each has its name."""
    return sum(point.is_spiking for point in points) <= MOST_NAMED


def _row(point: Point, named: bool, low: int, high: int) -> dict[str, object]:
    """A point as the chart reads it; its interval as far as the axis goes."""
    accuracy = point.accuracy
    return {
        "mj": point.energy_mj,
        "percent": accuracy.mean,
        "low": max(accuracy.low, low),
        "high": min(accuracy.high, high),
        "colour": LIGHT["spiking" if point.is_spiking else "conventional"],
        "strength": 1.0 if named else 0.3,
        "shape": "circle" if point.is_spiking else "square",
        "text": f"{number(accuracy.mean, 1)}  {point.name}",
        "says": f"{point.name}: {number(accuracy.mean, 1)} %, {three_digits(point.energy_mj)} mJ per round",
    }


def _table(results: Results) -> Table:
    energy, profile = "mJ per round", results.profile
    settings = {one.label: one for one in results.settings if len(one.spiking) > 1}
    best = {
        (label, point.name)
        for label, setting in settings.items()
        for point in front(points(setting.networks, profile))
    }

    def at(level: Level) -> Callable[[Network], Estimate | None]:
        return lambda network: energy_mj(network, profile, level)

    return table(
        (
            network
            for setting in settings.values()
            for network in sorted(setting.networks, key=lambda one: -one.accuracy.mean)
        ),
        words("setting", "each client holds"),
        words("network", None, lambda one: one.name),
        Column("last_round_percent", "accuracy, %", lambda one: one.accuracy, digits=1),
        Column("spikes_per_synapse", "spikes per synapse", _spikes_per_synapse, digits=None),
        Column("forward_mj_per_round", "forward pass, Table 2", Network.study_energy_mj, energy, 3),
        Column("study_mj_per_round", ADDED["study"], at("study"), energy, 3),
        Column("memory_mj_per_round", "with memory", at("memory"), energy, 3),
        words(
            "front", "on the front", lambda one: "yes" if (one.setting, one.name) in best else None
        ),
    )


def _table_caption(results: Results) -> Caption:
    return Caption(
        "All spiking networks, beside the conventional networks of their setting",
        "The most accurate first, after the last round. Spikes: of an inference, mean over the "
        "synapses that spikes reach. Energy: of all devices, after the forward pass at the nominal "
        f"prices of {results.profile}; “with memory” includes all arithmetic. On the front: no other "
        "network of the setting is both cheaper, with training, and more accurate.",
        interval_note(results.networks),
    )


def _spikes_per_synapse(network: Network) -> Estimate | None:
    """Of one inference, mean over the synapses and seeds; None where a summary does not tell."""
    if not network.is_spiking:
        return None
    sides = [side for run in network.runs if (side := of_run(run)) is not None]
    if len(sides) < len(network.runs):
        return None
    return estimate([side.events_per_synapse for side in sides])


PARETO_CHART = Figure("pareto", _draw, _caption, clouds)
VARIANTS_TABLE = Figure(
    "variants",
    _table,
    _table_caption,
    lambda results: results if results.has_variants else None,
    "S1",
)
