"""Table E9: what the sensors of the simulating host read."""

from fedspike.energy.estimate import Estimate
from fedspike.records.schema import Interval, Measured, RunSummary
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering.tables import Caption, Column, Table, table, words


def _table(runs: list[RunSummary]) -> Table:
    per_round = "J per round"
    return table(
        ((run.name, one) for run in runs for one in run.measured or []),
        words("run", None, lambda row: row[0]),
        words("sensor", None, lambda row: row[1].sensor),
        words("domain", None, lambda row: row[1].domain),
        Column(
            "joule_per_round", "all", lambda r: _joules(r[1].joules_per_round, r[1]), per_round, 2
        ),
        Column(
            "above_idle_joule_per_round",
            "above idle",
            lambda row: _joules(row[1].above_idle_joules_per_round, row[1]),
            per_round,
            2,
        ),
        Column("idle_watt", "idle, W", lambda row: row[1].idle_watts, digits=1),
        Column("seconds", "seconds", lambda row: row[1].seconds, digits=1),
        words("note", "", lambda row: _note(row[1]), "long"),
    )


def _joules(read: Interval | None, one: Measured) -> Estimate | None:
    if read is None:
        return None
    half = None if read.high is None else read.high - read.mean
    return Estimate(read.mean, half, one.windows or 1)


def _note(one: Measured) -> str:
    return one.note if one.unavailable is None else f"unavailable: {one.unavailable}"


MEASURED_TABLE = Figure(
    "measured",
    _table,
    Caption(
        "Measured energy of the host that simulated",
        "The energy of a computer that simulates says nothing about a chip that runs either network, "
        "and is in no other table or chart of this page.",
    ),
    lambda results: [run for run in results.runs if run.measured],
    "E9",
)
