"""Spikes per synapse beside the thresholds below which a spiking network would be cheaper."""

from dataclasses import dataclass

import altair as alt

from fedspike.energy.break_even import PUBLISHED
from fedspike.report.analysis.other_prices import OtherPrices
from fedspike.report.analysis.results import Results
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering.axes import chart_of, log_scale, rows
from fedspike.report.rendering.drawing import LIGHT, Panels, charts
from fedspike.report.rendering.tables import Caption, three_digits

WIDTH, ROW = 280, 22  # pixels
PER_SYNAPSE = "spikes per synapse and inference"


@dataclass(frozen=True)
class Thresholds:
    """This network's spikes per synapse and inference, and (name, lowest, highest) of each threshold."""

    spikes: float
    thresholds: list[tuple[str, float, float]]


def needs(results: Results) -> OtherPrices | None:
    """A layer with a break-even."""
    other = results.other_prices
    return other if other and any(other.standings.values()) else None


def _data(other: OtherPrices) -> Thresholds:
    published = [
        (one.source.split(",")[0], one.low, one.high)
        for one in PUBLISHED
        if one.unit == PER_SYNAPSE
    ]
    own = [
        (profile, layers[0].spikes_even, layers[0].spikes_even)
        for profile, layers in other.standings.items()
        if layers and layers[0].spikes_even > 0
    ]
    return Thresholds(other.spiking.events_per_synapse, published + own)


def _draw(data: Thresholds) -> Panels:
    return Panels(charts([("thresholds", _chart(data))]), 30, 1)


def _caption(other: OtherPrices) -> Caption:
    return Caption(
        f"Spikes per synapse beside the thresholds, {other.view.main.label}",
        "The spiking network is cheaper where its line is left of the mark. Bars, and marks without "
        "the name of a profile: published thresholds. With the name of a profile: where the first "
        "layer would break even with the dense conventional network at inference, with memory where "
        "the profile prices it. Logarithmic.",
    )


def _chart(shown: Thresholds) -> alt.LayerChart:
    values = [shown.spikes, *(end for _, *ends in shown.thresholds for end in ends)]
    x = log_scale("low", min(values) / 1.6, max(values) * 2, PER_SYNAPSE)
    names = [name for name, _, _ in shown.thresholds]
    marks = [{"name": name, "low": low, "high": high} for name, low, high in shown.thresholds]
    base = chart_of(*marks).encode(x=x, y=rows("name", names))
    here = chart_of({"low": shown.spikes, "text": f"here {three_digits(shown.spikes)}"}).encode(x=x)
    dots = base.mark_point(color=LIGHT["count"], filled=True, size=50, opacity=1)
    colour = LIGHT["spiking"]
    layers: list[alt.Chart] = [
        base.mark_rule(color=LIGHT["count"], strokeWidth=3).encode(x2="high:Q"),
        dots,
        dots.encode(x=alt.X("high:Q", scale=x["scale"])),
        here.mark_rule(color=colour, strokeWidth=2),
        here.mark_text(
            color=colour, align="center", dy=-8, fontSize=12, fontWeight=600, y=0
        ).encode(text="text:N"),
    ]
    return alt.layer(*layers).properties(width=WIDTH, height=ROW * len(names))


SPIKE_THRESHOLDS = Figure("spikes", _data, draw=_draw, caption=_caption, needs=needs)
