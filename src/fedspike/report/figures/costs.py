"""What each method of a sweep costs beside its accuracy: Table A3, and until an accuracy, Table A5."""

from collections.abc import Callable
from dataclasses import dataclass

from fedspike.energy.estimate import Estimate, estimate
from fedspike.records.schema import RunSummary
from fedspike.report.analysis import tested
from fedspike.report.analysis.equal_accuracy import Effort, EqualMethod
from fedspike.report.analysis.results import Results
from fedspike.report.analysis.settings import note_on_seeds
from fedspike.report.analysis.side_by_side import Row, SideBySide
from fedspike.report.figures.energy_spent import SIMULATED, effort_columns, effort_note
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering.tables import Caption, Cell, Column, Table, scaled, table, words

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
        *(
            [Column("simulated_s", "simulated time", lambda one: scaled(one.of(_simulated), "s"))]
            if any(_simulated(run) for one in costs for run in one.row.runs[one.method])
            else []
        ),
    )


def _simulated(run: RunSummary) -> float | None:
    return run.simulated_s


def _megabytes(bytes_per_round: Callable[[RunSummary], float]) -> Read:
    """Of a device in the whole training: those of all devices, divided by how many there are."""
    return lambda run: bytes_per_round(run) * run.rounds / run.clients / 1e6


def _caption(side: SideBySide) -> Caption:
    runs = [run for row in side.rows for own in row.runs.values() for run in own]
    return Caption(
        f"Loss, bytes and time of each {side.what}",
        *tested.notes(side.accuracy_of.values()),
        "Loss: of the last round; losses of different kinds cannot be compared. MB: sent and received by a "
        "device in the whole training, on average. Time: of the computer that trained, not of a "
        f"device.{SIMULATED if any(map(_simulated, runs)) else ''}",
    )


def _equal(results: Results) -> Table:
    """A row for each method in each setting."""
    made = results.equal_methods

    def needed(of: Callable[[Effort], Cell]) -> Callable[[EqualMethod], Cell]:
        return lambda one: of(one.effort)

    return table(
        made,
        words("setting", None, lambda one: one.row.label),
        words("method", _what(results), lambda one: one.method),
        Column("target_percent", "accuracy, %", lambda one: 100 * one.target, digits=1),
        *(
            Column(key, label, needed(of), digits=digits)
            for key, label, digits, of in effort_columns([one.effort for one in made])
        ),
    )


def _what(results: Results) -> str:
    side = results.side_by_side
    assert side is not None, "methods are those of a table of them"
    return side.what


def _equal_caption(results: Results) -> Caption:
    efforts = [one.effort for one in results.equal_methods]
    return Caption(
        f"Until the highest accuracy that each {_what(results)} reaches, at the prices of {results.profile}",
        effort_note(efforts),
        note_on_seeds(effort.rounds.count for effort in efforts),
    )


EQUAL_METHODS_TABLE = Figure(
    *("equal-methods", _equal, _equal_caption),
    *(lambda results: results if results.equal_methods else None, "A5"),
    summary="Until an accuracy that all reach",
)
COSTS_TABLE = Figure(
    *("costs", _table, _caption, lambda results: results.side_by_side, "A3"),
    summary="Loss, bytes and time",
)
