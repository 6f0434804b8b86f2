"""The folder of an experiment: it holds runs of one, and its summary is of those that are finished."""

import dataclasses
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from fedspike.data import Dataset
from fedspike.errors import InputError
from fedspike.experiment import document, kept_files
from fedspike.experiment.describing import data_sha256
from fedspike.experiment.plans import toml_of
from fedspike.experiment.sweep import Experiment, Run
from fedspike.files import claimed, content_of, json_bytes, write_whole
from fedspike.own_files import used
from fedspike.reading import digested
from fedspike.records import reader, writer
from fedspike.records.environment import environment
from fedspike.records.parts_at_work import folder_of
from fedspike.records.schema import Agenda, ExperimentSummary, PlannedRun, RunSummary
from fedspike.records.seal import sealed

STORING = ".storing"  # a folder that parts of an experiment hold while they store for all
LONGEST_SHOWN = 60  # characters of a setting in an error


@dataclass(frozen=True)
class Store:
    """The folder of an experiment, and what its summary says beside its runs.

    Others may be at other runs of it if it is `shared`.
    """

    experiment: Experiment
    folder: Path
    command: str
    dataset: Dataset
    device: str
    shared: bool = False

    def home(self, run: Run) -> Path:
        """The folder of a run."""
        return self.folder / run.name

    def finished(self) -> dict[str, RunSummary]:
        """The summaries of the runs that are there.

        Raises InputError where the folder, or that of a run, holds something else.
        """
        _demand_same_experiment(self.experiment, self.folder)
        finished: dict[str, RunSummary] = {}
        for run in self.experiment.runs:
            home = self.home(run)
            kept_files.demand_same(used(run.plan), home)
            summary = reader.run(home)
            _demand_same_settings(run, home, self.dataset, summary)
            if summary is not None and summary.rounds == run.plan.rounds:
                finished[run.name] = summary
        return finished

    def announce(self) -> None:
        """Store what is going to be done, unless that is there already."""
        runs = {
            run.name: PlannedRun(
                rounds=run.plan.rounds, variant=run.variant_sha256, network=run.plan.network.kind
            )
            for run in self.experiment.runs
        }
        agenda = Agenda(name=self.experiment.name, command=self.command, runs=runs)
        path, content = self.folder / reader.AGENDA, json_bytes(agenda)
        with self.by_turns():
            if not path.is_file() or content_of(path) != content:
                write_whole(path, content, self.folder)

    def store(self, finished: dict[str, RunSummary]) -> None:
        """Store the experiment's summary, unless it is there already.

        What others finished meanwhile is added to what is `finished`.
        """
        with self.by_turns():
            for run in self.experiment.runs if self.shared else ():
                if run.name not in finished and (summary := reader.run(self.home(run))):
                    finished[run.name] = summary
            self._store(
                [finished[run.name] for run in self.experiment.runs if run.name in finished]
            )

    def by_turns(self) -> AbstractContextManager[None]:
        """Keeps out others that store something of all runs."""
        if not self.shared:
            return nullcontext()
        return claimed(self.folder / STORING, self.folder, wait=True)

    def at_part(self, part: int, parts: int) -> AbstractContextManager[None]:
        """Says to whoever watches that a process is at this part of the runs."""
        if parts == 1:
            return nullcontext()
        return claimed(self.folder / folder_of(part, parts), self.folder, shared=True)

    def _store(self, runs: list[RunSummary]) -> None:
        experiment, folder = self.experiment, self.folder
        created = datetime.now(UTC).isoformat(timespec="seconds")
        here = environment(self.device)
        summary = writer.of_experiment(
            experiment.name, self.command, here, self.dataset, runs, created
        )
        old = _stored_summary(folder)
        if old is not None and replace(summary, created=old.created, seal=old.seal) == old:
            return
        write_whole(folder / reader.SUMMARY, sealed(summary)[1], folder)


def _demand_same_experiment(experiment: Experiment, folder: Path) -> None:
    """Raise where the folder holds the summary of another experiment, which this one's would replace."""
    before = _stored_summary(folder)
    if before is not None and before.name != experiment.name:
        raise InputError(
            f"{folder} holds the experiment {before.name}, and this one is {experiment.name}",
            expected="a new folder, or one with runs of the same experiment",
            fix=f"name another folder with --output, or delete {folder}",
        )


def _stored_summary(folder: Path) -> ExperimentSummary | None:
    """The one that is stored; None where there is none, or a damaged one, which is written anew."""
    with suppress(InputError):
        return reader.stored(folder)
    return None


def _demand_same_settings(
    run: Run, home: Path, dataset: Dataset, summary: RunSummary | None
) -> None:
    """Raise where the folder of a run holds another one, or its `summary` is another one's."""
    differences, file = [], home / reader.CONFIG
    if file.exists():
        here = toml_of(run.plan)
        there = document.read(file).values
        differences += [
            f"{key} is {_shown(there, key)} there and {_shown(here, key)} here"
            for key in sorted(
                {*document.leaves(there), *document.leaves(here)} - {"name", "rounds"}
            )
            if _of(there, key) != _of(here, key)
        ]
    if summary is not None and not differences:
        plan = replace(run.plan, rounds=summary.rounds)
        if summary.settings_sha256 != dataclasses.replace(run, plan=plan).settings_sha256:
            differences.append("its summary is of another run")
        elif summary.data_sha256 != data_sha256(dataset):
            differences.append("the data set had other contents")
    if differences:
        raise InputError(
            f"{home} holds a run with other settings: {'; '.join(differences)}",
            expected="a new folder, or one with runs of the same settings",
            fix=f"name another folder with --output, or delete {home}",
        )
    if summary is None or summary.rounds != run.plan.rounds:
        _demand_no_more(home, run.plan.rounds)


def _demand_no_more(home: Path, rounds: int) -> None:
    """Raise where a run has more rounds than it is to have: what is stored is not cut off."""
    most = reader.rounds_done(home)
    if most > rounds:
        raise InputError(
            f"{home} has {most} rounds, and is to have {rounds}",
            expected=f"rounds = {most} or more, with which it goes on",
            fix=f"--set rounds={most}, or name another folder with --output",
        )


def _of(values: dict[str, Any], key: str) -> object:
    return document.leaves(values).get(key, "not set")


def _shown(values: dict[str, Any], key: str) -> str:
    return digested(str(_of(values, key)), LONGEST_SHOWN)
