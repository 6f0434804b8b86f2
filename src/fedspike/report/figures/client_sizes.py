"""How many samples the clients of a large fleet have: a histogram for every setting, of all clients."""

from __future__ import annotations  # altair is not looked up before it is used

from collections.abc import Sequence

import numpy as np

from fedspike.data.owners import five_numbers, five_numbers_in_words
from fedspike.report.analysis.results import Results
from fedspike.report.figures.data_per_client import MOST_CLIENTS, Partition, partitions
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering import vega as alt
from fedspike.report.rendering.axes import chart_of
from fedspike.report.rendering.drawing import Panels, charts
from fedspike.report.rendering.palette import LIGHT
from fedspike.report.rendering.tables import Caption, number

WIDTH, ROW = 260, 20  # pixels
MOST_BINS = 10
UNEVEN = 8  # times as many samples as another client, from which on bins double


def bins(sizes: Sequence[int]) -> list[tuple[int, int, int]]:
    """The least size of each bin, its greatest, and how many clients lie between.

    Bins are of equal width; of very unequal clients each is twice as wide as the one before.

    >>> bins([1, 1, 2, 3, 9]), bins([50, 51, 51])
    ([(1, 1, 2), (2, 3, 2), (4, 7, 0), (8, 15, 1)], [(50, 50, 1), (51, 51, 2)])
    """
    low, high = min(sizes), max(sizes)
    if high < UNEVEN * max(low, 1):
        wide = -(-(high - low + 1) // MOST_BINS)
        ends = [(start, start + wide - 1) for start in range(low, high + 1, wide)]
    else:
        doubled = [(0, 0), *((2**n, 2 ** (n + 1) - 1) for n in range(high.bit_length()))]
        ends = [(start, end) for start, end in doubled if end >= low]
    own = np.asarray(sizes)
    return [(start, end, int(((own >= start) & (own <= end)).sum())) for start, end in ends]


def _large(results: Results) -> list[Partition]:
    """The partitions of which not every client can be drawn."""
    return [one for one in partitions(results) if len(one.class_counts) > MOST_CLIENTS]


def _chart(partition: Partition) -> alt.LayerChart:
    sizes = [sum(counts) for counts in partition.class_counts]
    rows = [
        {
            **{"samples": f"{low:,}" if low == high else f"{low:,} to {high:,}"},
            **{"clients": count, "text": number(count, 0)},
            **{"says": f"{low:,} to {high:,} samples: {number(count, 0)} clients"},
        }
        for low, high, count in bins(sizes)
    ]
    base = chart_of(*rows).encode(
        x=alt.X("clients:Q", title="clients", axis=alt.Axis(tickCount=4)),
        y=alt.Y("samples:O", sort=None, title="samples", axis=alt.Axis(grid=False)),
    )
    layers = [
        base.mark_bar(color=LIGHT["count"], opacity=0.6),
        base.mark_text(align="left", dx=4, fontSize=11, color=LIGHT["ink"]).encode(
            text=alt.Text("text:N")
        ),
    ]
    title = alt.TitleParams(
        partition.title,
        subtitle=[f"samples: {five_numbers_in_words(five_numbers(sizes))}"],
        subtitleColor=LIGHT["muted"],
        subtitleFontSize=12,
    )
    return alt.layer(*layers).properties(width=WIDTH, height={"step": ROW}, title=title)


CLIENT_SIZES = Figure(
    "client-sizes",
    lambda all: Panels(charts((one.title, _chart(one)) for one in all), 25, len(all)),
    Caption(
        "Samples of a client",
        "How many clients have so many training samples, of the first seed. All are in "
        "tables/table8-partition.csv.",
    ),
    _large,
)
