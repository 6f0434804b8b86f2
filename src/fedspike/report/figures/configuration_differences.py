"""The configuration: what differs between runs."""

from collections.abc import Sequence

from fedspike.records.schema import RunSummary
from fedspike.report.analysis.naming import flat, shared_values
from fedspike.report.figures.configuration import as_text
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering.tables import Caption, Table, words

IN_NAME = ("name", "network", "seed")  # of a run


def _data(runs: Sequence[RunSummary]) -> Table:
    keys = differing(runs)
    rows = [(run.name, *(as_text(flat(run.config).get(key)) for key in keys)) for run in runs]
    return Table((words("run", "run"), *(words(key, key) for key in keys)), tuple(rows))


def differing(runs: Sequence[RunSummary]) -> list[str]:
    """The keys that are not the same in all runs, and are not in a run's name."""
    keys = dict.fromkeys(key for run in runs for key in flat(run.config))
    shared = shared_values(runs)
    return [key for key in keys if key not in shared and key not in IN_NAME]


CONFIGURATION_DIFFERENCES = Figure(
    "differences",
    _data,
    caption=Caption("Configuration that differs between runs"),
    needs=lambda results: results.runs if differing(results.runs) else (),
    summary="What differs between runs",
)
