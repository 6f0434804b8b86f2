"""What each method of a sweep costs beside its accuracy: loss, bytes and time, Table A3."""

from collections.abc import Callable
from dataclasses import dataclass

from fedspike.energy.estimate import Estimate, estimate
from fedspike.records.schema import RunSummary
from fedspike.report.analysis import tested
from fedspike.report.analysis.side_by_side import Row, SideBySide
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering.tables import Caption, Column, Table, table, words

Read = Callable[[RunSummary], float | None]
UNITS = {"hours": 3600, "minutes": 60, "seconds": 1}


@dataclass(frozen=True)
class Cost:
    """What a method took in a setting."""

    row: Row
    method: str

    def of(self, read: Read) -> Estimate | None:
        """The mean over its seeds; None where one of them has no number."""
        values = [read(run) for run in self.row.runs[self.method]]
        numbers = [value for value in values if value is not None]
        return estimate(numbers) if len(numbers) == len(values) else None


def _table(side: SideBySide) -> Table:
    costs = [Cost(row, name) for row in side.rows for name in side.columns if name in row.runs]
    longest = max(run.seconds for one in costs for run in one.row.runs[one.method])
    unit = next((unit for unit, seconds in UNITS.items() if longest >= seconds), "seconds")

    def column(key: str, label: str, read: Read, group: str = "") -> Column:
        return Column(key, label, lambda one: one.of(read), group, digits=None)

    return table(
        costs,
        words("setting", None, lambda one: one.row.label),
        words("method", side.what, lambda one: side.headings[one.method]),
        Column("accuracy_percent", "accuracy, %", lambda o: o.row.accuracy[o.method], digits=1),
        column("training_loss", "training loss", lambda run: run.training_loss[-1]),
        column("up_megabytes", "up", _megabytes(lambda run: run.uplink_bytes_per_round), "MB"),
        column(
            "down_megabytes", "down", _megabytes(lambda run: run.downlink_bytes_per_round), "MB"
        ),
        column(unit, unit, lambda run: run.seconds / UNITS[unit]),
    )


def _megabytes(bytes_per_round: Callable[[RunSummary], float]) -> Read:
    """Of a device in the whole training: those of all devices, divided by how many there are."""
    return lambda run: bytes_per_round(run) * run.rounds / len(run.class_counts) / 1e6


def _caption(side: SideBySide) -> Caption:
    return Caption(
        f"Loss, bytes and time of each {side.what}",
        *tested.notes(side.accuracy_of),
        "Loss: of the last round; losses of different kinds cannot be compared. MB: sent and received by a "
        "device in the whole training, on average. Time: of the computer that trained, not of a device.",
    )


COSTS_TABLE = Figure(
    *("costs", _table, _caption, lambda results: results.side_by_side, "A3"),
    summary="Loss, bytes and time",
)
