"""Table E12: every bill of every run."""

from fedspike.records.schema import RunSummary
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering.tables import Caption, Column, Table, words


def _data(runs: list[RunSummary]) -> Table:
    columns = (
        *(words(key, key) for key in ("run", "hardware", "profile", "level")),
        *(Column(f"{end}_mj", end, "mJ per round", 6) for end in ("low", "nominal", "high")),
        Column("to_target_mj", "to target", "mJ", 6),
        Column("run_mj", "whole run", "mJ", 6),
        words("not_priced", "not priced", "long"),
    )
    rows = tuple(
        (
            *(run.name, hardware, profile, level),
            *(one.low_mj, one.nominal_mj, one.high_mj),
            None if one.to_target is None else one.to_target.nominal_mj,
            *(one.run.nominal_mj, ", ".join(one.not_priced) or None),
        )
        for run in runs
        for hardware, bills in (("dense", run.bill), ("zero-skipping", run.bill_skip_zeros))
        for profile, levels in bills.items()
        for level, one in levels.items()
    )
    return Table(columns, rows)


ALL_BILLS = Figure(
    "bills",
    _data,
    caption=Caption("All bills"),
    needs=lambda results: [run for run in results.runs if run.bill],
    number="E12",
    only_as_file=True,
)
