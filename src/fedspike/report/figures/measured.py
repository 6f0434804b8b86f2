"""Table E9: what the sensors of the simulating host read."""

from fedspike.energy.estimate import Estimate
from fedspike.records.schema import Interval, RunSummary
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering.tables import Caption, Column, Table, table, words


def _table(runs: list[RunSummary]) -> Table:
    per_round = "J per round"
    rows = (
        (
            *(run.name, one.sensor, one.domain),
            _joules(one.joules_per_round, one.windows),
            _joules(one.above_idle_joules_per_round, one.windows),
            *(one.idle_watts, one.seconds),
            one.note if one.unavailable is None else f"unavailable: {one.unavailable}",
        )
        for run in runs
        for one in run.measured or []
    )
    return table(
        rows,
        *map(words, ("run", "sensor", "domain")),
        Column("joule_per_round", "all", None, per_round, None),
        Column("above_idle_joule_per_round", "above idle", None, per_round, None),
        Column("idle_watt", "idle, W", digits=None),
        Column("seconds", "seconds", digits=1),
        words("note", "", form="long"),
    )


def _joules(read: Interval | None, windows: int | None) -> Estimate | None:
    if read is None:
        return None
    return Estimate(read.mean, None if read.high is None else read.high - read.mean, windows or 1)


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
