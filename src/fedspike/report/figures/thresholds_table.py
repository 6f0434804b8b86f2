"""Table E6: the network's spikes beside published thresholds."""

from fedspike.energy.break_even import PUBLISHED
from fedspike.report.analysis.other_prices import OtherPrices
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering.tables import Caption, Cell, Table, words

PER_STEP = "spikes per neuron and time step"


def _data(other: OtherPrices) -> Table:
    spikes = other.spiking.events_per_synapse
    rate = f"{_ends(100 * spikes / other.time_steps)} %"
    rows: list[tuple[Cell, ...]] = [("this network", _ends(spikes), rate, None)]
    for one in PUBLISHED:
        source = f"{one.source} ({one.note})" if one.note else one.source
        if one.unit == PER_STEP:
            percent = f"{_ends(100 * one.low, 100 * one.high)} %"
            rows.append(("published", None, percent, source))
        else:
            rows.append(("published", _ends(one.low, one.high), None, source))
    columns = (
        *(words("what", ""), words("spikes", "per synapse and inference")),
        *(words("rate", "per neuron and time step"), words("source", "source", "long")),
    )
    return Table(columns, tuple(rows))


def _caption(other: OtherPrices) -> Caption:
    return Caption(
        "Spikes, and the thresholds below which a spiking network is said to be cheaper",
        "This network: mean over its synapses, of an image shown for "
        f"{other.time_steps} time steps.",
    )


def _ends(low: float, high: float | None = None) -> str:
    """One number with three digits, or from the lower to the higher.

    >>> _ends(0.15, 1.38), _ends(28.52)
    ('0.15 to 1.38', '28.5')
    """
    ends = [f"{end:.3g}" for end in (low, low if high is None else high)]
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)


THRESHOLDS_TABLE = Figure(
    "thresholds", _data, caption=_caption, needs=lambda results: results.other_prices, number="E6"
)
