"""Experiments are done here: one training, and all of a sweep, as an iterator of what happens."""

import hashlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import tomli_w
from msgspec.structs import replace

from fedspike import data as datasets
from fedspike.data import Dataset
from fedspike.data.partition import class_counts
from fedspike.energy.meters import Meter
from fedspike.errors import InputError
from fedspike.experiment import build, document
from fedspike.experiment.config import Configuration
from fedspike.experiment.describing import data_sha256, description, settings_toml
from fedspike.experiment.document import Document
from fedspike.experiment.sweep import Experiment, Run
from fedspike.federation.devices import Fleet
from fedspike.federation.rounds import Round, State, simulate
from fedspike.networks import SizedNetwork
from fedspike.records import checkpoint, reader, schema, writer
from fedspike.records.directory import claimed, json_bytes, storing, write_whole
from fedspike.records.environment import environment, versions
from fedspike.records.events import Event, Finished, Skipped, Started, Trained
from fedspike.records.schema import RunSummary


@runtime_checkable
class Devices(Protocol):
    """Who trains: devices that are simulated here, or real ones (see deploy/)."""

    def fleet(self, settings: Configuration) -> Fleet:
        """The clients of a run; InputError where they cannot be had."""
        ...

    def class_counts(self, fleet: Fleet) -> list[list[int]]:
        """How many samples of each class every client holds."""
        ...

    def rounds(
        self, settings: Configuration, network: SizedNetwork, fleet: Fleet, state: State | None
    ) -> Iterator[Round]:
        """The rounds that are left after `state`."""
        ...


@dataclass(frozen=True)
class Simulated:
    """Devices that are simulated here, on `device`, with the data set dealt out to them."""

    dataset: Dataset
    source: Document
    device: str = "cpu"

    def fleet(self, settings: Configuration) -> Fleet:
        """The clients of a run; InputError, naming the key, where the data cannot be dealt out so."""
        return build.fleet(settings, self.dataset, self.source)

    def class_counts(self, fleet: Fleet) -> list[list[int]]:
        """How many samples of each class every client holds."""
        counts = class_counts(self.dataset.y_train, fleet.shards, self.dataset.classes)
        return cast(list[list[int]], counts.tolist())

    def rounds(
        self, settings: Configuration, network: SizedNetwork, fleet: Fleet, state: State | None
    ) -> Iterator[Round]:
        """The rounds that are left."""
        return simulate(
            network=network,
            algorithm=build.algorithm(settings),
            fleet=fleet,
            training=build.local_training(settings),
            dataset=self.dataset,
            seed=settings.seed,
            rounds=settings.rounds,
            state=state,
            device=self.device,
        )


def load(experiment: Experiment, say: Callable[[str], None]) -> Dataset:
    """The experiment's data set; `say` hears where it is looked for.

    Raises InputError, naming where the data set's name was written, if it cannot be had.
    """
    data = experiment.runs[0].settings.data
    try:
        return datasets.load(
            data.name, data_dir=Path(data.data_dir) if data.data_dir else None, say=say
        )
    except InputError as error:
        key = ("data", "data_dir" if data.data_dir else "name")
        raise experiment.source.error(
            key, error.passed, expected=error.expected, fix=error.fix
        ) from error


def perform(
    experiment: Experiment,
    dataset: Dataset,
    folder: Path,
    *,
    command: str,
    device: str = "cpu",
    measure: bool = False,
    devices: Devices | None = None,
) -> Iterator[Event]:
    """Do the runs of an experiment that `folder` does not hold yet, and tell what happens.

    What was told is stored: stop asking, or kill the process, and the next call goes on after the
    last round that was stored, with the same bits. `command` is what the summary says would
    reproduce it, `device` where torch computes; `measure` asks this machine's energy sensors (see
    energy/meters.py), which takes 10 s more for each run. `devices` are those that train, if real ones do.

    Raises InputError, before anything is written, where settings, data and folder do not go
    together; after that only where the folder can no longer be written to.
    """
    devices = devices or Simulated(dataset, experiment.source, device)
    for run in experiment.runs:
        devices.fleet(run.settings)
    with claimed(folder):
        homes = {run.name: folder / run.name for run in experiment.runs}
        for run in experiment.runs:
            _demand_same_settings(run, homes[run.name], dataset)
        summaries = {name: reader.run(home) for name, home in homes.items()}
        finished = {name: summary for name, summary in summaries.items() if summary is not None}
        for run in experiment.runs:
            if run.name in finished:
                yield Skipped(run.name, finished[run.name])
                continue
            finished[run.name] = yield from _train(
                run, homes[run.name], dataset, devices, device, Meter() if measure else None
            )
            _store(experiment, folder, command, dataset, finished, device)
            yield Finished(run.name, finished[run.name])
        _store(experiment, folder, command, dataset, finished, device)


def _train(
    run: Run,
    home: Path,
    dataset: Dataset,
    devices: Devices,
    device: str,
    meter: Meter | None,
) -> Generator[Event, None, RunSummary]:
    """One run from its last checkpoint to its summary."""
    settings = run.settings
    about = {
        "settings_sha256": run.settings_sha256,
        "data_sha256": data_sha256(dataset),
        "schema version": str(schema.VERSION),
        **versions(device),
    }
    stored = checkpoint.newest(home / "checkpoint", home / "rounds.jsonl", about)
    state = State.from_tensors(stored.round, stored.tensors) if stored else None
    with storing(home):
        home.mkdir(exist_ok=True)
    write_whole(home / "config.toml", tomli_w.dumps(settings_toml(settings)).encode())
    write_whole(home / "environment.json", json_bytes(environment(device)))
    journal = checkpoint.Journal(home / "rounds.jsonl", stored.rounds if stored else b"")
    records = reader.decode_rounds(stored.rounds, journal.path) if stored else []
    yield Started(run.name, stored.round if stored else 0)

    network = build.network(settings, dataset)
    fleet = devices.fleet(settings)
    rounds = devices.rounds(settings, network, fleet, state)
    for round in meter.measured(rounds) if meter else rounds:
        state, record = round.state, writer.round_record(round)
        journal.append(record)
        records.append(record)
        checkpoint.save(
            home / "checkpoint", round.number, state.tensors(), journal.fingerprint, about
        )
        yield Trained(run.name, record)
    assert state is not None  # there is at least one round, done now or before

    model = checkpoint.pack(state.tested)
    write_whole(home / "model.safetensors", model)
    summary = writer.of_run(
        description(run, network, dataset, devices.class_counts(fleet)),
        records,
        dataset,
        network,
        {name: weights.numpy() for name, weights in state.model.items()},
        model_sha256=hashlib.sha256(model).hexdigest(),
        measured=meter.result() if meter else None,
    )
    write_whole(home / "summary.json", json_bytes(summary))
    return summary


def _demand_same_settings(run: Run, home: Path, dataset: Dataset) -> None:
    """Raise where the folder of a run holds another one."""
    differences, file = [], home / "config.toml"
    if file.exists():
        here = settings_toml(run.settings)
        there = document.read(file).values
        differences += [
            f"{key} is {_of(there, key)} there and {_of(here, key)} here"
            for key in sorted({*document.leaves(there), *document.leaves(here)} - {"name"})
            if _of(there, key) != _of(here, key)
        ]
    summary = reader.run(home)
    if summary is not None and not differences:
        if summary.settings_sha256 != run.settings_sha256:
            differences.append("its summary is of another run")
        elif summary.data_sha256 != data_sha256(dataset):
            differences.append("the data set had other contents")
    if differences:
        raise InputError(
            f"{home} holds a run with other settings: {'; '.join(differences)}",
            expected="a new folder, or one with runs of the same settings",
            fix=f"name another folder with --output, or delete {home}",
        )


def _of(values: dict[str, Any], key: str) -> object:
    return document.leaves(values).get(key, "not set")


def _store(
    experiment: Experiment,
    folder: Path,
    command: str,
    dataset: Dataset,
    finished: dict[str, RunSummary],
    device: str,
) -> None:
    """Store the experiment's summary, unless it is there already."""
    path = folder / "summary.json"
    runs = [finished[run.name] for run in experiment.runs if run.name in finished]
    created = datetime.now(UTC).isoformat(timespec="seconds")
    summary = writer.of_experiment(
        experiment.name, command, environment(device), dataset, runs, created
    )
    if path.exists():
        old = reader.read(folder)
        if replace(summary, created=old.created, missing=old.missing) == old:
            return
    write_whole(path, json_bytes(summary))
