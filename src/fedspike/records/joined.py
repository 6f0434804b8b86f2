"""Finished runs of several folders, read as one experiment."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from fedspike.energy.pairing import compared
from fedspike.errors import InputError
from fedspike.records import reader
from fedspike.records.schema import ExperimentSummary, RunSummary


def read(folders: Sequence[Path]) -> tuple[ExperimentSummary, dict[str, Path]]:
    """The runs of these folders, of experiments or of single runs, and the folder of each run by its name.

    A run that is there twice is taken once. Two runs of one name that are not the same get the names of their
    folders before theirs.

    Raises InputError where a folder is named twice, where two runs with the same settings, data and seed
    ended with different models, and what `reader.read` raises.
    """
    experiments = {folder: reader.read(folder) for folder in folders}
    if len(experiments) < len(folders):
        repeated = next(one for one in folders if folders.count(one) > 1)
        raise InputError(
            f"{repeated} is named twice", expected="different folders", fix="name each folder once"
        )
    first, *others = experiments.values()
    if not others:
        return first, {run.name: _home(folders[0], run) for run in first.runs}
    merged: dict[str, tuple[RunSummary, Path]] = {}
    same: dict[tuple[str, str], RunSummary] = {}
    for folder, experiment in experiments.items():
        for run in experiment.runs:
            earlier = same.setdefault((run.settings_sha256, run.data_sha256), run)
            if earlier is not run:
                _demand_same(earlier, run, folder)
                continue
            name = run.name if run.name not in merged else f"{folder.name}-{run.name}"
            if name in merged:
                raise InputError(
                    f"{folder}: another run is named {name}",
                    expected="folders with different names, or runs with different ones",
                    fix="rename a folder",
                )
            merged[name] = msgspec.structs.replace(run, name=name), _home(folder, run)
    runs = tuple(run for run, _ in merged.values())
    data = {msgspec.json.encode(one.dataset): one.dataset for one in experiments.values()}
    joined = ExperimentSummary(
        name=" and ".join(dict.fromkeys(one.name for one in experiments.values())),
        command="\n".join(filter(None, (one.command for one in experiments.values()))),
        created=max(one.created for one in experiments.values()),
        environment=first.environment
        if all(o.environment == first.environment for o in others)
        else None,
        dataset=next(iter(data.values())) if len(data) == 1 else None,
        runs=runs,
        comparisons=compared(runs),
        missing=tuple(name for one in experiments.values() for name in one.missing),
    )
    return joined, {name: home for name, (_, home) in merged.items()}


def repeated(folders: Sequence[Path], joined: ExperimentSummary) -> int:
    """How many of the runs in these folders are in several of them; what was read of all has each once."""
    if len(folders) == 1:
        return 0
    return sum(len(reader.read(folder).runs) for folder in folders) - len(joined.runs)


def _home(folder: Path, run: RunSummary) -> Path:
    """Where a run is: the folder itself, if it is a run's own."""
    alone = (folder / reader.ROUNDS).exists()
    return folder if alone else folder / run.name


def _demand_same(one: RunSummary, other: RunSummary, folder: Path) -> None:
    if one.model_sha256 != other.model_sha256:
        raise InputError(
            f"{folder}: {other.name} has the settings, data and seed of {one.name}, and another model",
            expected="runs that were told to do different things",
            fix="leave one folder out: they come from other versions or machines, see environment.json",
        )
