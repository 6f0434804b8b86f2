"""Reads a run directory: summaries, the records of rounds, and what is large in a summary. Needs no torch."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from fedspike.errors import InputError
from fedspike.reading import nearest
from fedspike.records.schema import LARGE, VERSION, Agenda, ExperimentSummary, RunSummary
from fedspike.records.seal import content_of, demand_sealed, demand_written
from fedspike.records.stored_rounds import StoredRounds, again
from fedspike.records.stored_rounds import decode_rounds as decode_rounds

T = TypeVar("T")
ANOTHER_VERSION = "run the experiment again in a new folder, or use the fedspike that wrote it"
SUMMARY, ROUNDS, CHECKPOINT = "summary.json", "rounds.jsonl", "checkpoint"
CONFIG = "config.toml"
MORE_ROUNDS = "more-rounds.toml"  # the configuration with which a finished run goes on
AGENDA = "agenda.json"
NO_FOLDER = "name the folder of an experiment or of a run, for example runs/study"
RUN_AGAIN = "start the experiment's command again: it writes the summary anew"


class _Header(msgspec.Struct):
    schema: Any = None
    runs: Any = None


def read(directory: Path) -> ExperimentSummary:
    """The experiment in a directory; a directory of one run is an experiment of one.

    Raises InputError where `summary.json` is missing or of another schema version, and where it, or any file
    of a run that is there, is not as it was written.
    """
    path = directory / SUMMARY
    if not path.is_file():
        raise _not_finished(directory)
    text = content_of(path, NO_FOLDER)
    if demand_version(text, path).runs is None:
        return _of_one(_run(directory, text, RUN_AGAIN))
    experiment = _experiment(text, path)
    for run in experiment.runs:
        if (directory / run.name).exists():
            _demand_untouched(directory / run.name, run)
    names = [run.name for run in experiment.runs]
    missing = [name for name in _unfinished(directory) if name not in names]
    return msgspec.structs.replace(experiment, missing=tuple(missing))


def stored(directory: Path) -> ExperimentSummary:
    """An experiment's summary by itself. Raises InputError where it is not as it was written."""
    path = directory / SUMMARY
    text = content_of(path, NO_FOLDER)
    demand_version(text, path)
    return _experiment(text, path)


def _experiment(text: bytes, path: Path) -> ExperimentSummary:
    demand_sealed(text, path, RUN_AGAIN)
    experiment = decode(text, ExperimentSummary, path)
    names = [run.name for run in experiment.runs]
    if repeated := [name for name in names if names.count(name) > 1]:
        raise InputError(
            f"{path}: two runs are named {min(repeated)!r}",
            expected="every run once",
            fix=RUN_AGAIN,
        )
    return experiment


def agenda(directory: Path) -> Agenda | None:
    """What an experiment is going to do; None where it was begun without saying so.

    Raises InputError where that is damaged or of another schema version.
    """
    path = directory / AGENDA
    if not path.is_file():
        return None
    text = content_of(path, RUN_AGAIN)
    demand_version(text, path)
    return decode(text, Agenda, path)


def run(home: Path) -> RunSummary | None:
    """The whole summary of a run; None if the run is not finished. Raises what `read` raises."""
    path = home / SUMMARY
    if not path.exists():
        return None
    fix = f"delete {path}, and start the command again: it finishes the run from its checkpoint"
    text = content_of(path, fix)
    demand_version(text, path, damaged=fix)
    return _run(home, text, fix)


def _run(home: Path, text: bytes, fix: str) -> RunSummary:
    path = home / SUMMARY
    demand_sealed(text, path, fix)
    summary = decode(text, RunSummary, path, fix)
    _demand_files(home, summary)
    return summary


def _demand_untouched(home: Path, run: RunSummary) -> None:
    """Raise where a run of an experiment is not the one that its summary was made of."""
    path = home / SUMMARY
    if (
        demand_sealed(content_of(path, RUN_AGAIN), path, f"restore it, or {again(home)}")
        != run.seal
    ):
        raise InputError(
            f"{home} holds another run than the experiment's summary",
            expected="the run that the summary was made of",
            fix=RUN_AGAIN,
        )
    _demand_files(home, run)


def _demand_files(home: Path, run: RunSummary) -> None:
    """Raise where a file beside a run's summary is not as it was written.

    A run that goes on for more rounds keeps its summary, which is of the first ones, to the end.
    """
    goes_on = (home / MORE_ROUNDS).is_file()
    for name, expected in run.files.items():
        fix = f"restore it, or {again(home)}"
        demand_written(home / name, expected, fix, longer=goes_on and name == ROUNDS)


def in_full(home: Path, summary: RunSummary) -> RunSummary:
    """The run with what only its own summary has; without where that is not there."""
    if any(getattr(summary, field) is not None for field in LARGE):
        return summary
    return run(home) or summary


def rounds(home: Path, run: RunSummary | None = None) -> StoredRounds:
    """The records of a run's rounds, or of those that its summary is of.

    Raises InputError where they are missing or damaged.
    """
    of_summary = run.files.get(ROUNDS) if run else None
    return StoredRounds.of(home / ROUNDS, *([of_summary.bytes] if of_summary else []))


def rounds_done(home: Path) -> int:
    """After how many rounds a run can go on: that of its newest checkpoint."""
    return max((number for number, _ in checkpoints(home / CHECKPOINT)), default=0)


def checkpoints(folder: Path) -> list[tuple[int, Path]]:
    """The complete checkpoints in a folder, each with its round, the newest last."""
    complete = [path for path in folder.glob("round-*") if re.fullmatch(r"round-\d{6,}", path.name)]
    return sorted((int(path.name.removeprefix("round-")), path) for path in complete)


def with_rounds(directory: Path) -> list[tuple[RunSummary, StoredRounds]]:
    """The finished runs in a directory, an experiment's or a run's, and their rounds.

    Raises what `read` and `rounds` raise.
    """
    experiment = read(directory)
    alone = (directory / ROUNDS).exists()
    homes = {run.name: directory if alone else directory / run.name for run in experiment.runs}
    return [(run, rounds(homes[run.name], run)) for run in experiment.runs]


def demand_version(
    text: bytes, path: Path, *, damaged: str = RUN_AGAIN, other: str = ANOTHER_VERSION
) -> _Header:
    """Raise where a JSON text is damaged or was written under another schema, with the fix for each."""
    header = decode(text, _Header, path, damaged)
    if header.schema != VERSION:
        raise InputError(
            f"{path}: schema version {header.schema!r}, from another version of fedspike",
            expected=f"schema version {VERSION}, the only one that this fedspike reads",
            fix=other,
        )
    return header


def decode(text: bytes, kind: type[T], path: Path, fix: str = RUN_AGAIN) -> T:
    """A JSON text as a record; `path` is only named in the error."""
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(
            f"{path}: cannot be read ({error})",
            expected=f"a file of schema version {VERSION}, as fedspike wrote it",
            fix=fix,
        ) from error


def weight_images(summary: RunSummary) -> Float[np.ndarray, "image height width"] | None:
    """The first layer's weights as images; None if the run has none.

    Neurons without an image shape become images one pixel high; channels become separate images.
    """
    if summary.hidden_weights is None:
        return None
    hidden = summary.hidden_weights
    values = _numbers(
        summary, "hidden_weights", hidden.int8_base64, np.dtype(np.int8), hidden.shape
    )
    height, width = (1, *hidden.shape[1:])[-2:]
    return values.reshape(-1, height, width) * hidden.scale


def raster_of(
    summary: RunSummary,
) -> tuple[UInt8[np.ndarray, "height width"], Bool[np.ndarray, "time pixel"]] | None:
    """An image, from 0 to 255, and its spikes; None if the run has none."""
    if summary.raster is None:
        return None
    raster, byte = summary.raster, np.dtype(np.uint8)
    image = _numbers(summary, "raster", raster.image_base64, byte, raster.shape)
    size = raster.time_steps * image.size
    packed = _numbers(summary, "raster", raster.spikes_base64, byte, [-(-size // 8)])
    spikes = np.unpackbits(packed, count=size).reshape(raster.time_steps, image.size)
    return image, spikes.astype(bool)


def predictions_of(
    summary: RunSummary,
) -> tuple[Int[np.ndarray, " sample"], Int[np.ndarray, " sample"]] | None:
    """The label of each test sample and what the final model said; None if the run does not have them."""
    if summary.predictions is None:
        return None
    kept = summary.predictions
    count, kind = len(kept.labels_base64) // kept.bytes_each, np.dtype(f"<u{kept.bytes_each}")
    labels, predicted = (
        _numbers(summary, field, content, kind, [count]).astype(np.int64)
        for field, content in (
            ("labels", kept.labels_base64),
            ("predicted", kept.predicted_base64),
        )
    )
    if not count or (labels == predicted).sum() / count != summary.final_accuracy:
        raise InputError(
            f"run {summary.name}: predictions of {count} samples with another accuracy than the run's",
            expected="what the final model said of each test sample",
            fix=RUN_AGAIN,
        )
    return labels, predicted


def _not_finished(folder: Path) -> InputError:
    """The error for a folder without a finished run."""
    fix = "name a folder that `fedspike run` wrote to"
    if (folder / CONFIG).exists() or list(folder.glob(f"*/{CONFIG}")):
        passed, fix = "the runs in it are not finished", "give the command of the experiment again"
    elif folder.exists():
        passed = f"no {SUMMARY} in it"
    else:
        passed = "no such folder"
        if beside := [path.parent.name for path in folder.parent.glob(f"*/{SUMMARY}")]:
            fix = nearest(folder.name, beside)
    return InputError(
        f"{folder}: {passed}",
        expected="the folder of an experiment or of a finished run, such as runs/study",
        fix=fix,
    )


def _of_one(summary: RunSummary) -> ExperimentSummary:
    return ExperimentSummary(
        name=summary.name,
        command="",
        created="",
        environment=None,
        dataset=None,
        runs=(summary,),
        comparisons=[],
    )


def _numbers(
    summary: RunSummary, field: str, content: bytes, kind: np.dtype[Any], shape: Sequence[int]
) -> np.ndarray:
    """The numbers of a field, as many as its shape says."""
    values = np.frombuffer(content, dtype=kind)
    if values.size != np.prod(shape, dtype=object):
        raise InputError(
            f"run {summary.name}: {field} holds {values.size} numbers",
            expected=" x ".join(map(str, shape)) + ", its shape",
            fix=RUN_AGAIN,
        )
    return values.reshape(shape)


def _unfinished(directory: Path) -> Iterator[str]:
    """Folders that hold a run's configuration and no summary yet."""
    for path in sorted(directory.glob(f"*/{CONFIG}")):
        if not (path.parent / SUMMARY).exists():
            yield path.parent.name
