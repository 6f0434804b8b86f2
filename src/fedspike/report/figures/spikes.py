"""The spikes of one image under each code, and the firing rates of the layers, round by round."""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass

import altair as alt
import numpy as np
from jaxtyping import Bool, UInt8
from markupsafe import Markup

from fedspike.records.reader import in_full, raster_of
from fedspike.records.schema import RateLimit, RunSummary
from fedspike.report.analysis.results import Results
from fedspike.report.analysis.settings import Network
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering import png
from fedspike.report.rendering.axes import chart_of, end_labels, percent_axis, round_axis
from fedspike.report.rendering.drawing import FONT, LIGHT, MORE_NETWORKS, Panel, Panels, charts
from fedspike.report.rendering.tables import Caption, number

USUAL_TIME_STEPS = 10
SHOWN = 4
RATES_WIDTH, RATES_HEIGHT = 320, 180
LEAST_PERCENT = 0.01  # where the axis begins; 0 is drawn there
DASHES = ([1, 0], [5, 3], [1, 3], [8, 3, 1, 3])
WIDTH, HEIGHT, LEFT, TOP = 190, 230, 108, 46  # pixels: of the raster, and its place
SVG = Markup(
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 300 306" width="300" height="306" '
    f'font-family="{FONT}" font-size="12" fill="{LIGHT["muted"]}">'
    f'<rect width="300" height="306" fill="{LIGHT["paper"]}"/>'
    f'<text x="0" y="15" font-size="14" font-weight="600" fill="{LIGHT["ink"]}">{{title}}</text>'
    f'<image x="0" y="{TOP}" width="84" height="84" style="image-rendering: pixelated" '
    'href="{image}"/>'
    f'<text x="0" y="{TOP + 102}">{{spikes}} spikes</text><text x="0" y="{TOP + 118}">per pixel</text>'
    f'<text x="{LEFT}" y="{TOP - 8}">pixels, the brightest on top</text>'
    f'<rect x="{LEFT}" y="{TOP}" width="{WIDTH}" height="{HEIGHT}" fill="none" '
    f'stroke="{LIGHT["rule"]}"/>'
    f'<path transform="translate({LEFT} {TOP}) scale({{wide}} {{high}})" stroke="{LIGHT["spiking"]}" '
    'stroke-width="0.75" fill="none" d="{path}"/>'
    f'<text x="{LEFT}" y="{TOP + HEIGHT + 16}">1</text>'
    f'<text x="{LEFT + WIDTH / 2}" y="{TOP + HEIGHT + 16}" text-anchor="middle">time step</text>'
    f'<text x="{LEFT + WIDTH}" y="{TOP + HEIGHT + 16}" text-anchor="end">{{steps}}</text></svg>'
)


@dataclass(frozen=True)
class Raster:
    """An image from 0 to 255, and its spikes under a code."""

    code: str
    image: UInt8[np.ndarray, "height width"]
    spikes: Bool[np.ndarray, "time pixel"]

    @property
    def shown(self) -> Bool[np.ndarray, "time pixel"]:
        """The spikes from the brightest pixel down. Black pixels are left out: no code lets them spike."""
        pixels = self.image.reshape(-1)
        order = np.argsort(-pixels.astype(int), kind="stable")
        return self.spikes[:, order[: max(1, np.count_nonzero(pixels))]]


def rasters(results: Results) -> list[Raster]:
    """The rasters in the runs' own summaries."""
    by_code: dict[str, list[RunSummary]] = {}
    for run in results.runs:
        if "code" in run.config:
            by_code.setdefault(str(run.config["code"]["kind"]), []).append(run)
    rasters = []
    for code, runs in by_code.items():
        run = min(runs, key=lambda run: abs((run.time_steps or 0) - USUAL_TIME_STEPS))
        raster = raster_of(in_full(results.directory, run))
        if raster is not None:
            rasters.append(Raster(code, *raster))
    return rasters


def strokes(spikes: Bool[np.ndarray, "time row"]) -> str:
    """An SVG path with a stroke for each unbroken column of spikes, a step wide and a row high.

    >>> strokes(np.array([[True, True, False], [False, False, True]]))
    'M0.5 0v2M1.5 2v1'
    """
    path = []
    for step, column in enumerate(spikes):
        ends = np.flatnonzero(np.diff(np.pad(column.astype(np.int8), 1)))
        path += [f"M{step}.5 {start}v{end - start}" for start, end in ends.reshape(-1, 2)]
    return "".join(path)


def _panel(raster: Raster) -> Panel:
    steps, rows = raster.shown.shape
    title = f"{raster.code}, T = {steps}"
    svg = SVG.format(
        title=title,
        image=png.data_uri(png.grey(raster.image)),
        spikes=number(float(raster.spikes.sum() / raster.image.size), 2),
        wide=WIDTH / steps,
        high=HEIGHT / rows,
        path=strokes(raster.shown),
        steps=steps,
    )
    return Panel(title, str(svg))


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
    note = "Mean over the samples that a round trained on, and over the seeds; logarithmic."
    limits = rates[0].limits
    if {"dead", "saturated"} <= limits.keys():
        note += (
            f" Shaded: dead, under {100 * limits['dead'].rate:g} % of the neurons of a layer spike in a "
            f"time step, and saturated, over {100 * limits['saturated'].rate:g} %. Networks with such a "
            "layer come first."
        )
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
        zones.mark_rect(color=LIGHT["rule"], opacity=0.55).encode(y2="high:Q"),
        zones.mark_text(x="width", align="right", baseline="bottom", dy=-2, fontSize=11).encode(
            text="text:N", color=alt.value(LIGHT["muted"])
        ),
    ]
    ends = []
    for place, (layer, curve) in enumerate(own.layers.items()):
        colour, dash = LIGHT["spiking"], DASHES[place % len(DASHES)]
        line = chart_of(*curve).mark_line(color=colour, strokeDash=dash, point=own.rounds == 1)
        layers.append(line.encode(x=x, y=y))
        last = {"round": own.rounds, "percent": curve[-1]["percent"]}
        ends.append((last, layer, colour))
    layers += end_labels(ends, x, y)
    return alt.layer(*layers).properties(width=RATES_WIDTH, height=RATES_HEIGHT, title=own.label)


def _zones(limits: Mapping[str, RateLimit]) -> list[dict[str, object]]:
    """Where a layer is dead or saturated, in percent, and the word for it."""
    zones: list[dict[str, object]] = []
    if "dead" in limits:
        zones.append({"low": LEAST_PERCENT, "high": 100 * limits["dead"].rate, "text": "dead"})
    if "saturated" in limits:
        zones.append({"low": 100 * limits["saturated"].rate, "high": 100, "text": "saturated"})
    return zones


SPIKE_RASTERS = Figure(
    "raster",
    lambda rasters: Panels(tuple(map(_panel, rasters)), 18, len(rasters)),
    Caption(
        "The first training image under each code",
        "A stroke is a spike. Black pixels, which do not spike under any code, are left out; the "
        "number of spikes is the mean over all pixels. Of each code, the run whose time steps are "
        "nearest to 10.",
    ),
    rasters,
)
FIRING_RATES = Figure(
    "firing-rates",
    lambda rates: Panels(
        charts((one.label, _chart(one)) for one in rates), 25, SHOWN, MORE_NETWORKS
    ),
    _caption,
    rates,
)
