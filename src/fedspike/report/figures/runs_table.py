"""Table 6: all runs, with what they were and what they gave."""

from fedspike.report.analysis.results import Results
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering.tables import Caption, Column, Table, words


def _data(results: Results) -> Table:
    accuracy, megabytes = "accuracy, %", "MB per round"
    columns = (
        *(words("run", "run"), words("algorithm", "algorithm"), words("seed", "seed")),
        *(Column("rounds", "rounds"), Column("time_steps", "time steps")),
        Column("last_round_percent", "last round", accuracy, 1),
        Column("mean_last_10_percent", "last 10", accuracy, 1),
        Column("energy_mj_per_round", "forward pass, mJ per round", digits=4),
        Column("uplink_megabytes_per_round", "up", megabytes, 2),
        Column("downlink_megabytes_per_round", "down", megabytes, 2),
        Column("seconds", "seconds"),
    )
    rows = tuple(
        (
            *(run.name, run.algorithm, str(run.seed), len(run.accuracy), run.time_steps),
            *(100 * run.final_accuracy, 100 * run.final_accuracy_mean_last_10),
            run.study_energy_mj_per_round,
            *(run.uplink_bytes_per_round / 1e6, run.downlink_bytes_per_round / 1e6),
            run.seconds,
        )
        for run in results.runs
    )
    return Table(columns, rows)


def _caption(results: Results) -> Caption:
    missing = ", ".join(results.experiment.missing)
    return Caption("All runs", *([f"Not finished: {missing}."] if missing else []))


RUNS_TABLE = Figure("runs", _data, caption=_caption, number="6")
