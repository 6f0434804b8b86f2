"""The firing rates of the layers, round by round, and where a layer is dead or saturated."""

from __future__ import annotations  # altair is not looked up before it is used

import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from fedspike.records.schema import RateLimit
from fedspike.report.analysis.results import Results
from fedspike.report.analysis.settings import Network
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering import vega as alt
from fedspike.report.rendering.axes import (
    chart_of,
    dashes_of,
    end_labels,
    line_of,
    percent_axis,
    round_axis,
    thinned,
    thinning,
)
from fedspike.report.rendering.drawing import MORE_NETWORKS, Panels, charts
from fedspike.report.rendering.palette import LIGHT
from fedspike.report.rendering.tables import Caption

SHOWN = 4
WIDTH, HEIGHT = 320, 180
LEAST_PERCENT = 0.01  # where the axis begins; 0 is drawn there


@dataclass(frozen=True)
class Rates:
    """layer -> points of its curve, in percent, and the limits of a healthy rate."""

    label: str
    rounds: int
    layers: dict[str, list[dict[str, int | float]]]
    limits: Mapping[str, RateLimit]


def rates(results: Results) -> list[Rates]:
    """The mean over the seeds."""
    networks = [network for network in results.networks if network.runs[0].firing_rates]
    networks.sort(key=lambda network: not any(run.ill_layers for run in network.runs))
    return [
        Rates(
            network.label,
            len(run.accuracy),
            {layer: _curve(network, layer) for layer in run.firing_rates},
            run.rate_limits,
        )
        for network in networks
        for run in network.runs[:1]
    ]


def _caption(rates: list[Rates]) -> Caption:
    note = "Mean over the training samples of a round, and over the seeds."
    limits = rates[0].limits
    if {"dead", "saturated"} <= limits.keys():
        note += (
            f" Shaded: dead (under {100 * limits['dead'].rate:g} %) and saturated (over "
            f"{100 * limits['saturated'].rate:g} %)."
        )
    note += thinning(max(own.rounds for own in rates))
    return Caption("Firing rates", note)


def _curve(network: Network, layer: str) -> list[dict[str, int | float]]:
    """The mean over the runs; a round in which nobody trained has none."""
    rounds = zip(*(run.firing_rates[layer] for run in network.runs), strict=True)
    present = [[rate for rate in rates if rate is not None] for rates in rounds]
    return [
        {"round": number, "percent": max(100 * statistics.fmean(rates), LEAST_PERCENT)}
        for number, rates in enumerate(present, 1)
        if rates
    ]


def _chart(own: Rates) -> alt.LayerChart:
    x = round_axis(own.rounds)
    scale = alt.Scale(type="log", domain=[LEAST_PERCENT, 100], nice=False)
    ticks = percent_axis(values=[0.01, 0.1, 1, 10, 100], format="~r", titleX=-34)
    y = alt.Y("percent:Q", title="neurons that spike in a time step, %", scale=scale, axis=ticks)
    zones = chart_of(*_zones(own.limits)).encode(y=alt.Y("low:Q", scale=scale))
    layers: list[alt.Chart] = [
        zones.mark_rect(color=LIGHT["rule"], opacity=0.55).encode(y2=alt.Y2("high:Q")),
        zones.mark_text(x="width", align="right", baseline="bottom", dy=-2, fontSize=11).encode(
            text=alt.Text("text:N"), color=alt.value(LIGHT["muted"])
        ),
    ]
    ends = []
    for place, (layer, whole) in enumerate(own.layers.items()):
        curve = thinned(whole, "percent")
        colour, dash = LIGHT["spiking"], dashes_of(place)
        lines = line_of(curve, f"{layer}, round {{round}}: {{percent:.3g}} %", colour, dash)
        layers += [part.encode(x=x, y=y) for part in lines]
        last = {"round": own.rounds, "percent": curve[-1]["percent"]}
        ends.append((last, layer, colour))
    layers += end_labels(ends, x, y)
    return alt.layer(*layers).properties(width=WIDTH, height=HEIGHT, title=own.label)


def _zones(limits: Mapping[str, RateLimit]) -> list[dict[str, object]]:
    """Where a layer is dead or saturated, in percent, and the word for it."""
    zones: list[dict[str, object]] = []
    if "dead" in limits:
        zones.append({"low": LEAST_PERCENT, "high": 100 * limits["dead"].rate, "text": "dead"})
    if "saturated" in limits:
        zones.append({"low": 100 * limits["saturated"].rate, "high": 100, "text": "saturated"})
    return zones


FIRING_RATES = Figure(
    "firing-rates",
    lambda rates: Panels(
        charts((one.label, _chart(one)) for one in rates), 25, SHOWN, MORE_NETWORKS
    ),
    _caption,
    rates,
)
