"""Spikes beside the thresholds below which a spiking network would be cheaper: a chart, Tables E6 and E7."""

from __future__ import annotations  # altair is not looked up before it is used

from fedspike.energy.break_even import PUBLISHED
from fedspike.report.analysis.other_prices import OtherPrices
from fedspike.report.analysis.results import Results
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering import vega as alt
from fedspike.report.rendering.axes import chart_of, log_scale, rows
from fedspike.report.rendering.drawing import Panels, charts
from fedspike.report.rendering.palette import LIGHT
from fedspike.report.rendering.tables import Caption, Column, Table, table, three_digits, words

WIDTH, ROW = 280, 22  # pixels
PER_SYNAPSE = "spikes per synapse and inference"


def _standing(results: Results) -> OtherPrices | None:
    """Where a layer has a break-even."""
    other = results.other_prices
    return other if other and any(other.standings.values()) else None


def _draw(other: OtherPrices) -> Panels:
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
    chart = _chart(other.spiking.events_per_synapse, published + own)
    return Panels(charts([("thresholds", chart)]), 30, 1)


def _caption(other: OtherPrices) -> Caption:
    return Caption(
        f"Spikes per synapse beside the thresholds, {other.view.main.label}",
        "The spiking network is cheaper where its line is left of the mark. Bars, and marks without "
        "the name of a profile: published thresholds. With the name of a profile: where the first "
        "layer would break even with the dense conventional network at inference, with memory where "
        "the profile prices it. Logarithmic.",
    )


def _chart(spikes: float, thresholds: list[tuple[str, float, float]]) -> alt.LayerChart:
    """The network's spikes, and (name, lowest, highest) of each threshold."""
    values = [spikes, *(end for _, *ends in thresholds for end in ends)]
    x = log_scale("low", min(values) / 1.6, max(values) * 2, PER_SYNAPSE)
    names = [name for name, _, _ in thresholds]
    marks = [
        {"name": name, "low": low, "high": high, "says": f"{name}: {_ends(low, high)}"}
        for name, low, high in thresholds
    ]
    base = chart_of(*marks).encode(x=x, y=rows("name", names))
    here = chart_of({"low": spikes, "text": f"here {three_digits(spikes)}"}).encode(x=x)
    dots = base.mark_point(color=LIGHT["count"], filled=True, size=50, opacity=1)
    colour = LIGHT["spiking"]
    layers: list[alt.Chart] = [
        base.mark_rule(color=LIGHT["count"], strokeWidth=3).encode(x2=alt.X2("high:Q")),
        dots,
        dots.encode(x=alt.X("high:Q", scale=x["scale"])),
        here.mark_rule(color=colour, strokeWidth=2),
        here.mark_text(
            color=colour, align="center", dy=-8, fontSize=12, fontWeight=600, y=0
        ).encode(text=alt.Text("text:N")),
    ]
    return alt.layer(*layers).properties(width=WIDTH, height=ROW * len(names))


def _table(other: OtherPrices) -> Table:
    """This network, then every threshold: spikes of a synapse or of a neuron, whichever it is of."""
    spikes = other.spiking.events_per_synapse
    rate = f"{_ends(100 * spikes / other.time_steps)} %"
    rows: list[tuple[str | None, ...]] = [("this network", _ends(spikes), rate, None)]
    for one in PUBLISHED:
        source = f"{one.source} ({one.note})" if one.note else one.source
        per_synapse = _ends(one.low, one.high) if one.unit == PER_SYNAPSE else None
        percent = None if per_synapse else f"{_ends(100 * one.low, 100 * one.high)} %"
        rows.append(("published", per_synapse, percent, source))
    return table(
        rows,
        *(words("what", ""), words("spikes", "per synapse and inference")),
        *(words("rate", "per neuron and time step"), words("source", form="long")),
    )


def _table_caption(other: OtherPrices) -> Caption:
    return Caption(
        "Spikes, and the thresholds below which a spiking network is said to be cheaper",
        "This network: mean over its synapses, of a sample shown for "
        f"{other.time_steps} time steps.",
    )


def _ends(low: float, high: float | None = None) -> str:
    """One number with three digits, or from the lower to the higher.

    >>> _ends(0.15, 1.38), _ends(28.52)
    ('0.15 to 1.38', '28.5')
    """
    ends = [f"{end:.3g}" for end in (low, low if high is None else high)]
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)


def _break_even(other: OtherPrices) -> Table:
    spikes, even = "spikes per synapse", "must be under"
    return table(
        (one for layers in other.standings.values() for one in layers),
        words("profile"),
        words("layer"),
        words("level", "up to level"),
        Column("spikes", "here", None, spikes, 2),
        Column("spikes_even", even, lambda one: _reachable(one.spikes_even), spikes, 2),
        Column("rate_percent", "here", lambda one: 100 * one.rate, "rate, %", 1),
        Column(
            "rate_even_percent", even, lambda one: _reachable(100 * one.rate_even), "rate, %", 1
        ),
        Column("time_steps", "here", lambda one: one.time_steps, "time steps"),
        Column("time_steps_even", even, lambda one: one.time_steps_even, "time steps", 1),
    )


def _reachable(threshold: float) -> float | str:
    return threshold if threshold > 0 else "never"


SPIKE_THRESHOLDS = Figure("spikes", _draw, _caption, _standing)
THRESHOLDS_TABLE = Figure(
    "thresholds", _table, _table_caption, lambda results: results.other_prices, "E6"
)
BREAK_EVEN_TABLE = Figure(
    "break-even",
    _break_even,
    Caption(
        "Where each layer would break even with the dense conventional network, at inference",
        "Spikes and rate at these time steps; time steps at this rate. Never: the updates of the "
        "neurons alone cost more than the conventional network. The formula is in docs/energy.md.",
    ),
    _standing,
    "E7",
    summary="Spikes, rate and time steps at which each layer would break even",
)
