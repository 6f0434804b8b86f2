"""The configuration: what all runs share."""

from fedspike.report.analysis.naming import shared_values
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering.tables import NO_FIGURE, Caption, Table, words


def pairs(values: dict[str, object]) -> Table:
    """A table of names and values."""
    rows = tuple((name, as_text(value)) for name, value in values.items())
    return Table((words("name", "name"), words("value", "value", "code")), rows)


def as_text(value: object) -> str:
    """A value as it is read."""
    return NO_FIGURE if value is None else str(value)


CONFIGURATION = Figure(
    "configuration",
    pairs,
    caption=Caption("Configuration that all runs share"),
    needs=lambda results: shared_values(results.runs),
)
