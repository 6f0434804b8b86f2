"""What was run, on what, and how to run it again: Tables 6 and 7, the command, the configuration, hashes."""

from collections.abc import Mapping, Sequence
from operator import itemgetter

import msgspec

from fedspike.records.schema import RunSummary
from fedspike.report.analysis.naming import flat, shared_values
from fedspike.report.analysis.results import Results
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering.drawing import Prose
from fedspike.report.rendering.tables import NO_FIGURE, Caption, Column, Table, table, words

IN_NAME = ("name", "network", "seed")  # of a run


def _runs(results: Results) -> Table:
    accuracy, megabytes = "accuracy, %", "MB per round"
    return table(
        results.runs,
        words("run", "run", lambda run: run.name),
        words("algorithm"),
        words("seed", "seed", lambda run: str(run.seed)),
        Column("rounds", "rounds"),
        Column("time_steps", "time steps"),
        Column("last_round_percent", "last round", lambda r: 100 * r.final_accuracy, accuracy, 1),
        Column(
            "mean_last_10_percent",
            "last 10",
            lambda run: 100 * run.final_accuracy_mean_last_10,
            accuracy,
            1,
        ),
        Column(
            "energy_mj_per_round",
            "forward pass, mJ per round",
            lambda run: run.study_energy_mj_per_round,
            digits=4,
        ),
        Column(
            "uplink_megabytes_per_round",
            "up",
            lambda run: run.uplink_bytes_per_round / 1e6,
            megabytes,
            2,
        ),
        Column(
            "downlink_megabytes_per_round",
            "down",
            lambda run: run.downlink_bytes_per_round / 1e6,
            megabytes,
            2,
        ),
        Column("seconds", "seconds"),
    )


def _runs_caption(results: Results) -> Caption:
    missing = ", ".join(results.experiment.missing)
    return Caption("All runs", *([f"Not finished: {missing}."] if missing else []))


def _models(results: Results) -> Table:
    return table(
        results.runs,
        words("run", "run", lambda run: run.name),
        Column("parameters", "parameters"),
        words("model_sha256", "SHA-256 of model.safetensors", form="code"),
    )


def _pairs(values: Mapping[str, object]) -> Table:
    """A table of names and values."""
    value = words("value", "value", lambda pair: _as_text(pair[1]), "code")
    return table(values.items(), words("name", "name", itemgetter(0)), value)


def _differences(runs: Sequence[RunSummary]) -> Table:
    keys = differing(runs)
    rows = [(run.name, *(_as_text(flat(run.config).get(key)) for key in keys)) for run in runs]
    columns = (words(key, key, itemgetter(place)) for place, key in enumerate(keys, 1))
    return table(rows, words("run", "run", itemgetter(0)), *columns)


def differing(runs: Sequence[RunSummary]) -> list[str]:
    """The keys that are not the same in all runs, and are not in a run's name."""
    keys = dict.fromkeys(key for run in runs for key in flat(run.config))
    shared = shared_values(runs)
    return [key for key in keys if key not in shared and key not in IN_NAME]


def _as_text(value: object) -> str:
    """A value as it is read."""
    return NO_FIGURE if value is None else str(value)


RUNS_TABLE = Figure("runs", _runs, _runs_caption, number="6")
MODELS_TABLE = Figure("models", _models, Caption("The trained models"), number="7")
COMMAND = Figure(
    "command",
    lambda command: Prose((command,), "pre"),
    needs=lambda results: results.experiment.command,
)
DATA_FILES = Figure(
    "data-files",
    lambda dataset: _pairs(dataset.sha256),
    lambda dataset: Caption("SHA-256 of the data files", f"{dataset.name}, {dataset.source}."),
    lambda results: results.experiment.dataset,
)
CONFIGURATION = Figure(
    "configuration",
    _pairs,
    Caption("Configuration that all runs share"),
    lambda results: shared_values(results.runs),
)
CONFIGURATION_DIFFERENCES = Figure(
    "differences",
    _differences,
    Caption("Configuration that differs between runs"),
    lambda results: results.runs if differing(results.runs) else (),
    summary="What differs between runs",
)
VERSIONS = Figure(
    "environment",
    lambda environment: _pairs(msgspec.structs.asdict(environment)),
    Caption("Environment"),
    lambda results: results.experiment.environment,
)
