"""Table 8: the samples of each class on each client, in every run."""

from fedspike.report.analysis.results import Results
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering.tables import Caption, Column, Table, words


def _data(results: Results) -> Table:
    columns = (
        words("run", "run"),
        *(Column(key, key) for key in ("client", "class", "samples")),
    )
    rows = tuple(
        (run.name, client, label, samples)
        for run in results.runs
        for client, counts in enumerate(run.class_counts)
        for label, samples in enumerate(counts)
        if samples
    )
    return Table(columns, rows)


SAMPLES_PER_CLIENT = Figure(
    "partition",
    _data,
    caption=Caption("Data per client: samples of each class on each client"),
    number="8",
    only_as_file=True,
)
