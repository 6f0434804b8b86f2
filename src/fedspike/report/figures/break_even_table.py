"""Table E7: each layer beside its own break-even."""

from fedspike.report.analysis.other_prices import OtherPrices
from fedspike.report.figures.figure import Figure
from fedspike.report.figures.spike_thresholds import needs
from fedspike.report.rendering.tables import Caption, Column, Table, words


def _data(other: OtherPrices) -> Table:
    spikes, even = "spikes per synapse", "must be under"
    columns = (
        words("profile", "profile"),
        *(words("layer", "layer"), words("level", "up to level")),
        Column("spikes", "here", spikes, 2),
        Column("spikes_even", even, spikes, 2),
        Column("rate_percent", "here", "rate, %", 1),
        Column("rate_even_percent", even, "rate, %", 1),
        Column("time_steps", "here", "time steps"),
        Column("time_steps_even", even, "time steps", 1),
    )
    rows = tuple(
        (
            *(profile, one.layer, one.level, one.spikes, _reachable(one.spikes_even)),
            *(100 * one.rate, _reachable(100 * one.rate_even)),
            *(one.time_steps, one.time_steps_even),
        )
        for profile, layers in other.standings.items()
        for one in layers
    )
    return Table(columns, rows)


def _reachable(threshold: float) -> float | str:
    return threshold if threshold > 0 else "never"


BREAK_EVEN_TABLE = Figure(
    "break-even",
    _data,
    caption=Caption(
        "Where each layer would break even with the dense conventional network, at inference",
        "Spikes and rate at these time steps; time steps at this rate. Never: the updates of the "
        "neurons alone cost more than the conventional network. The formula is in docs/energy.md.",
    ),
    needs=needs,
    number="E7",
    summary="Spikes, rate and time steps at which each layer would break even",
)
