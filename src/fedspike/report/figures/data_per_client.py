"""How many samples of each class each client has: a chart for every setting, and Table 8 of every run."""

from __future__ import annotations  # altair is not looked up before it is used

import json
from collections.abc import Callable
from dataclasses import dataclass

from fedspike.energy.description import MOST_COUNTED
from fedspike.records.skew import skew
from fedspike.report.analysis.results import Results
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering import vega as alt
from fedspike.report.rendering.axes import chart_of
from fedspike.report.rendering.drawing import Panels, charts
from fedspike.report.rendering.palette import LIGHT
from fedspike.report.rendering.tables import Caption, Column, Table, number, table, words

CELL = 26  # pixels
MOST_NUMBERED = 12  # clients or classes, beyond which a number in each cell is too small to read
MOST_CLIENTS = 100  # of one partition that are drawn one by one
MOST_CELLS = 1000  # of one partition; a fleet of thousands would be a page of many megabytes


@dataclass(frozen=True)
class Partition:
    """Samples by client and class."""

    title: str
    class_counts: list[list[int]]
    clients: int
    called: Callable[[int], str | int]  # by the number of a class

    @property
    def classes(self) -> int:
        """The number of classes."""
        return max(map(len, self.class_counts))

    @property
    def measures(self) -> list[str]:
        """How skewed it is, in two lines."""
        own = skew(self.class_counts)
        return [
            f"label entropy {own.label_entropy:.2f} of {own.entropy_of_all:.2f} bits",
            f"total variation {own.total_variation:.2f}; {own.samples} samples",
        ]

    @property
    def drawn(self) -> int:
        """The number of clients that there is room for."""
        return min(len(self.class_counts), MOST_CLIENTS, max(1, MOST_CELLS // self.classes))


def partitions(results: Results) -> list[Partition]:
    """The partitions of the first seed, each once."""
    federated = [s for s in results.settings if not s.first_run.centralised]
    # Settings that differ in the algorithm share a partition; the first of them gives it its name.
    first = {json.dumps(s.first_run.class_counts): s for s in reversed(federated)}
    if not federated:
        return []
    return [
        Partition(f"{s.label} (seed {run.seed})", run.class_counts, run.clients, results.class_name)
        for s, run in ((s, s.first_run) for s in reversed(first.values()))
    ]


def _caption(partitions: list[Partition]) -> Caption:
    note = (
        "Samples of each class on each client, for all networks of the seed; all seeds are in "
        "tables/table8-partition.csv. Label entropy: of a client’s classes, of that of all together. Total "
        "variation: of a client’s classes from those of all; 0 is even, below 1 the most."
    )
    if any(one.clients > len(one.class_counts) for one in partitions):
        note += f" Of more than {MOST_COUNTED:,} clients it is all of the first {MOST_COUNTED:,}."
    if any(one.drawn < len(one.class_counts) for one in partitions):
        note += " Only the first clients are drawn."
    if not all(any(counts) for one in partitions for counts in one.class_counts):
        note += " A client without samples is a seat that nobody took."
    return Caption("Data per client", note)


def _chart(partition: Partition) -> alt.LayerChart:
    clients, classes = partition.drawn, partition.classes
    largest = max(map(sum, partition.class_counts))
    cells = [
        {
            **{"client": client, "class": label, "samples": samples},
            **{"share": samples / largest},
            **{
                "says": f"client {client}, class {partition.called(label)}: {number(samples, 0)} samples"
            },
        }
        for client, counts in enumerate(partition.class_counts[:clients])
        for label, samples in enumerate(counts)
        if samples
    ]
    numbered = max(clients, classes) <= MOST_NUMBERED
    axis = alt.Axis(grid=False, labelAngle=0, labelOverlap=True)
    shade = alt.Scale(domain=[0, 1], range=[0.08, 0.6])
    base = chart_of(*cells).encode(
        x=alt.X("class:O", title="class", scale=_whole_numbers(classes), axis=axis),
        y=alt.Y("client:O", title="client", scale=_whole_numbers(clients), axis=axis),
    )
    layers = [
        base.mark_rect(color=LIGHT["count"], stroke=LIGHT["paper"]).encode(
            opacity=alt.Opacity("share:Q", scale=shade, legend=None)
        )
    ]
    if numbered:
        layers.append(
            base.mark_text(fontSize=9.5, color=LIGHT["ink"]).encode(text=alt.Text("samples:Q"))
        )
    title = alt.TitleParams(
        partition.title,
        subtitle=partition.measures,
        subtitleColor=LIGHT["muted"],
        subtitleFontSize=12,
    )
    return alt.layer(*layers).properties(width=_side(classes), height=_side(clients), title=title)


def _side(count: int) -> dict[str, int]:
    """The pixels of one of so many cells in a line."""
    return {"step": min(CELL, max(3, CELL * MOST_NUMBERED // count))}


def _whole_numbers(count: int) -> alt.Scale:
    return alt.Scale(domain=list(range(count)))


def _table(results: Results) -> Table:
    return table(
        (
            (run.name, client, label, samples)
            for run in results.runs
            for client, counts in enumerate(run.class_counts)
            for label, samples in enumerate(counts)
            if samples
        ),
        words("run"),
        *(Column(key, key) for key in ("client", "class", "samples")),
    )


DATA_PER_CLIENT = Figure(
    "partition",
    lambda all: Panels(charts((one.title, _chart(one)) for one in all), 18, len(all)),
    _caption,
    partitions,
)
SAMPLES_PER_CLIENT = Figure(
    "partition",
    _table,
    Caption("Data per client: samples of each class on each client"),
    number="8",
    only_as_file=True,
)
