"""What was run, on what, and how to run it again: Tables 6 and 7, the command, the configuration, hashes."""

from collections.abc import Mapping, Sequence

import msgspec

from fedspike.records.schema import ExperimentSummary, RunSummary
from fedspike.report.analysis.naming import flat, shared_values
from fedspike.report.analysis.results import Results
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering.drawing import Prose
from fedspike.report.rendering.tables import (
    NO_FIGURE,
    Caption,
    Column,
    Table,
    first_few,
    table,
    words,
)

CITATION_FIELDS = {
    "author": "{The FedSpike contributors}",
    "title": "{FedSpike: should a fleet learn together with a spiking or a conventional network?}",
}
IN_NAME = ("name", "network", "seed")  # of a run


def _runs(results: Results) -> Table:
    accuracy, megabytes = "accuracy, %", "MB per round"
    own = any(run.accuracy_of != "global model" for run in results.runs)
    rows = (
        (
            *(run.name, run.algorithm, str(run.seed), run.rounds, run.time_steps),
            *(100 * run.final_accuracy, 100 * run.final_accuracy_mean_last_10),
            run.study_energy_mj_per_round,
            *(run.uplink_bytes_per_round / 1e6, run.downlink_bytes_per_round / 1e6),
            *([run.accuracy_of] if own else []),
            run.seconds,
        )
        for run in results.runs
    )
    return table(
        rows,
        *(words("run"), words("algorithm"), words("seed")),
        *(Column("rounds", "rounds"), Column("time_steps", "time steps")),
        Column("last_round_percent", "last round", None, accuracy, 1),
        Column("mean_last_10_percent", "last 10", None, accuracy, 1),
        Column("energy_mj_per_round", "forward pass, mJ per round", digits=None),
        Column("uplink_megabytes_per_round", "up", None, megabytes, None),
        Column("downlink_megabytes_per_round", "down", None, megabytes, None),
        *([words("accuracy_of", "accuracy of")] if own else []),
        Column("seconds", "seconds", digits=None),
    )


def _runs_caption(results: Results) -> Caption:
    missing = results.experiment.missing
    return Caption("All runs", *([f"Not finished: {first_few(missing)}."] if missing else []))


def _models(results: Results) -> Table:
    sha256 = words("model_sha256", "SHA-256 of model.safetensors", form="code")
    rows = ((run.name, run.parameters, run.model_sha256) for run in results.runs)
    return table(rows, words("run"), Column("parameters", "parameters"), sha256)


def _pairs(values: Mapping[str, object]) -> Table:
    """A table of names and values."""
    rows = ((name, _as_text(value)) for name, value in values.items())
    return table(rows, words("name"), words("value", form="code"))


def _differences(runs: Sequence[RunSummary]) -> Table:
    keys = differing(runs)
    rows = ((run.name, *(_as_text(flat(run.config).get(key)) for key in keys)) for run in runs)
    return table(rows, words("run"), *map(words, keys))


def differing(runs: Sequence[RunSummary]) -> list[str]:
    """The keys that are not the same in all runs, and are not in a run's name."""
    keys = dict.fromkeys(key for run in runs for key in flat(run.config))
    shared = shared_values(runs)
    return [key for key in keys if key not in shared and key not in IN_NAME]


def _as_text(value: object) -> str:
    """A value as it is read."""
    return NO_FIGURE if value is None else str(value)


def _citation(experiment: ExperimentSummary) -> str:
    """The software that trained these runs as an entry of BibTeX."""
    made_by, fields = experiment.environment, dict(CITATION_FIELDS)
    fields |= {"version": made_by.fedspike} if made_by else {}
    fields |= {"year": experiment.created[:4]} if experiment.created else {}
    lines = (f"  {name} = {{{value}}},\n" for name, value in fields.items())
    return f"@software{{fedspike,\n{''.join(lines)}}}"


RUNS_TABLE = Figure("runs", _runs, _runs_caption, number="6")
MODELS_TABLE = Figure("models", _models, Caption("The trained models"), number="7")
COMMAND = Figure(
    "command",
    lambda command: Prose((command,), "pre"),
    needs=lambda results: results.experiment.command,
)
CITATION = Figure(
    "citation",
    lambda results: Prose((_citation(results.experiment),), "pre"),
    summary="Cite FedSpike (BibTeX)",
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
