"""What lies in folders of runs, and how far it is, for whoever looks while others train. Needs no torch.

Nothing is written or locked. Seals are checked, not the hash of every file: that is for whoever uses a run.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from fedspike.errors import InputError
from fedspike.records import reader
from fedspike.records.schema import Record
from fedspike.records.seal import content_of, demand_sealed
from fedspike.records.views import ExperimentView, RunView
from fedspike.records.watching import Watcher

State = Literal["waiting", "running", "stopped", "finished", "broken", "foreign"]
NO_RUN = "no run in it"
BLOCK = 512  # bytes, in which a disk counts


class ListedRun(Record, frozen=True, kw_only=True):
    """A run after `rounds_done` of its `rounds`; what is `broken` has a fault. `changed` is in ISO 8601."""

    run: str
    state: State
    rounds_done: int
    rounds: int | None
    accuracy: float | None
    changed: str
    bytes: int
    fault: str


class Listed(Record, frozen=True, kw_only=True):
    """An experiment's folder and its runs; one of something else is `foreign`."""

    folder: str
    state: State
    runs: tuple[ListedRun, ...]
    changed: str
    bytes: int
    fault: str


def listed(folders: Sequence[Path]) -> list[Listed]:
    """The experiments in these folders, which may be ones, or runs, themselves; and what else lies there.

    Raises InputError where there is no such folder.
    """
    for folder in folders:
        if not folder.is_dir():
            raise InputError(
                f"{folder}: no such folder",
                expected="a folder with experiments or runs",
                fix="name another one; `fedspike run` writes to runs/",
            )
    view = Watcher(folders).look(whole=True)
    experiments = [_experiment(one) for one in view.experiments]
    homes = [Path(one.folder) for one in experiments]
    others = [other for folder in folders for other in _others(folder, homes)]
    return sorted([*experiments, *map(_foreign, others)], key=lambda one: one.folder)


def _others(folder: Path, homes: Sequence[Path]) -> list[Path]:
    """The folders in one in which there is no experiment, unless it is one itself, or a run."""
    if folder in homes or (folder / reader.CONFIG).is_file():
        return []
    inside = (p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    return [p for p in inside if not any(home.is_relative_to(p) for home in homes)]


def _foreign(folder: Path) -> Listed:
    return Listed(
        folder=str(folder),
        state="foreign",
        runs=(),
        changed=_changed(folder),
        bytes=_size(folder),
        fault=NO_RUN,
    )


def _experiment(view: ExperimentView) -> Listed:
    folder = Path(view.folder)
    runs = tuple(_run(one, folder / one.run) for one in view.runs)
    broken = view.state != "running" and any(run.state == "broken" for run in runs)
    return Listed(
        folder=view.folder,
        state="broken" if broken else view.state,
        runs=runs,
        changed=max([_changed(folder / reader.SUMMARY), *(run.changed for run in runs)]),
        bytes=_size(folder),
        fault="; ".join(view.remarks),
    )


def _run(view: RunView, home: Path) -> ListedRun:
    fault = "" if view.state == "running" else _fault(view, home)
    names = (reader.CONFIG, reader.ROUNDS, reader.SUMMARY)
    return ListedRun(
        run=view.run,
        state="broken" if fault else view.state,
        rounds_done=view.rounds_done,
        rounds=view.rounds,
        accuracy=view.accuracy,
        changed=max(_changed(home / name) for name in names),
        bytes=_size(home),
        fault=fault,
    )


def _fault(view: RunView, home: Path) -> str:
    """What keeps a run from being used, or from going on; "" where nothing does."""
    if view.rounds is None:
        return f"{home / reader.CONFIG}: it does not say how many rounds there are"
    if view.rounds_done < (after := reader.rounds_done(home)):
        return f"{home / reader.ROUNDS}: no record of round {after}, of which there is a checkpoint"
    path = home / reader.SUMMARY
    if path.is_file():
        try:
            text = content_of(path, reader.RUN_AGAIN)
            reader.demand_version(text, path)
            demand_sealed(text, path, reader.RUN_AGAIN)
        except InputError as error:
            return error.passed
    return ""


def _changed(path: Path) -> str:
    """When, in ISO 8601; "" where it is not there."""
    with suppress(OSError):
        when = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        return when.isoformat(timespec="seconds")
    return ""


def _size(folder: Path) -> int:
    """Bytes that all in a folder takes on the disk; what goes meanwhile is left out."""
    total = 0
    for parent, folders, names in os.walk(folder):
        for name in (*folders, *names):
            with suppress(OSError):
                total += BLOCK * (Path(parent) / name).lstat().st_blocks
    return total
