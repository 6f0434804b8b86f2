"""Experiments are done here: one training, and all of a sweep, as an iterator of what happens."""

import hashlib
import json
from collections.abc import Callable, Generator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import tomli_w

from fedspike import data as datasets
from fedspike.data import Dataset
from fedspike.energy.meters import Meter
from fedspike.errors import InputError
from fedspike.experiment import build, check, document
from fedspike.experiment.sweep import Experiment, Run
from fedspike.federation.devices import Held
from fedspike.federation.order import Place
from fedspike.federation.plan import Plan
from fedspike.federation.rounds import State, rounds
from fedspike.records import checkpoint, ledger, summary
from fedspike.records.directory import (
    append_line,
    claimed,
    json_bytes,
    read_json,
    storing,
    write_whole,
)
from fedspike.records.environment import environment, versions
from fedspike.records.events import Event, Finished, Record, Skipped, Started, Trained


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
    place: Place | None = None,
    held: Held | None = None,
) -> Iterator[Event]:
    """Do the runs of an experiment that `folder` does not hold yet, and tell what happens.

    What was told is stored: stop asking, or kill the process, and the next call goes on after the
    last round that was stored, with the same bits. `command` is what the summary says would
    reproduce it, `device` where torch computes; `measure` asks this machine's energy sensors (see
    energy/meters.py), which takes 10 s more for each run. Real devices train at their `place`, with the data
    that they have `held`; without it devices are simulated.

    Raises InputError, before anything is written, where settings, data and folder do not go
    together; after that only where the folder can no longer be written to.
    """
    if held is None:
        for run in experiment.runs:
            build.devices(run.settings, dataset, experiment.source)
    with claimed(folder):
        homes = {run.name: folder / run.name for run in experiment.runs}
        for run in experiment.runs:
            _demand_same_settings(run, homes[run.name], dataset)
        found = {name: _summary(home) for name, home in homes.items()}
        finished = {name: done for name, done in found.items() if done is not None}
        for run in experiment.runs:
            if run.name in finished:
                yield Skipped(run, finished[run.name])
                continue
            plan = build.plan(run.settings, dataset, held)
            finished[run.name] = yield from _train(
                run, plan, homes[run.name], place, device, Meter() if measure else None
            )
            _store(experiment, folder, command, dataset, finished, device)
            yield Finished(run, finished[run.name])
        _store(experiment, folder, command, dataset, finished, device)


def _train(
    run: Run,
    plan: Plan,
    home: Path,
    place: Place | None,
    device: str,
    meter: Meter | None,
) -> Generator[Event, None, Record]:
    """One run from its last checkpoint to its summary."""
    settings, dataset, rounds_file = run.settings, plan.data, home / "rounds.jsonl"
    about = {
        "settings_sha256": run.settings_sha256,
        "data_sha256": _data_sha256(dataset),
        "round records": "with activity and firing rates",  # those of before cannot be summed up
        **versions(device),
    }
    found = checkpoint.newest(home / "checkpoint", rounds_file, about)
    state = State.from_tensors(found.round, found.tensors) if found else None
    lines = found.rounds if found else b""
    with storing(home):
        home.mkdir(exist_ok=True)
    write_whole(home / "config.toml", tomli_w.dumps(summary.settings_toml(settings)).encode())
    write_whole(home / "environment.json", json_bytes(environment(device)))
    write_whole(rounds_file, lines)  # without the line of a round that has no checkpoint
    yield Started(run, found.round if found else 0)

    trained = rounds(plan, place, state, device=device)
    for round in meter.measured(trained) if meter else trained:
        state, record = round.state, summary.record(round)
        line = json.dumps(record, allow_nan=False).encode()
        append_line(rounds_file, line)
        lines += line + b"\n"
        checkpoint.save(home / "checkpoint", round.number, state.tensors(), lines, about)
        yield Trained(run, record)
    assert state is not None  # there is at least one round, done now or before

    model = checkpoint.pack(state.tested)
    write_whole(home / "model.safetensors", model)
    records = [json.loads(line) for line in lines.splitlines()]
    network = build.network(settings, dataset)
    done = summary.of_run(
        run,
        records,
        dataset,
        network,
        plan.learner.optimiser,
        {name: weights.numpy() for name, weights in state.model.items()},
        class_counts=plan.class_counts(),
        model_sha256=hashlib.sha256(model).hexdigest(),
        data_sha256=_data_sha256(dataset),
        measured=meter.result() if meter else None,
    )
    done |= ledger.of_run(done, records)
    write_whole(home / "summary.json", json_bytes(done))
    return done


def _summary(home: Path) -> Record | None:
    """The summary of a finished run."""
    path = home / "summary.json"
    if not path.exists():
        return None
    return read_json(path, fix=f"delete {path}; the run is then finished from its checkpoint")


def _demand_same_settings(run: Run, home: Path, dataset: Dataset) -> None:
    """Raise where the folder of a run holds another one."""
    differences, file = [], home / "config.toml"
    if file.exists():
        here = summary.settings_toml(run.settings)
        there = _settings(file, here["target_accuracy"])
        differences += [
            f"{key} is {_of(there, key)} there and {_of(here, key)} here"
            for key in sorted({*document.leaves(there), *document.leaves(here)} - {"name"})
            if _of(there, key) != _of(here, key)
        ]
    done = _summary(home)
    if done is not None and not differences:
        if done.get("settings_sha256") != run.settings_sha256:
            differences.append("its summary is of another run")
        elif done.get("data_sha256") != _data_sha256(dataset):
            differences.append("the data set had other contents")
    if differences:
        raise InputError(
            f"{home} holds a run with other settings: {'; '.join(differences)}",
            expected="a new folder, or one with runs of the same settings",
            fix=f"name another folder with --output, or delete {home}",
        )


def _settings(file: Path, target_accuracy: float) -> dict[str, Any]:
    """The settings of an earlier run. What it does not say, for it is new since, was the default then."""
    try:
        there = document.read(file)
        values = {"target_accuracy": target_accuracy, **there.values}
        return summary.settings_toml(check.configuration(there, values))
    except InputError as error:
        raise InputError(
            error.passed,
            expected="the settings as fedspike wrote them",
            fix=f"delete {file.parent} to do this run again",
        ) from error


def _of(values: dict[str, Any], key: str) -> object:
    return document.leaves(values).get(key, "not set")


def _store(
    experiment: Experiment,
    folder: Path,
    command: str,
    dataset: Dataset,
    finished: dict[str, Record],
    device: str,
) -> None:
    """Store the experiment's summary, unless it is there already."""
    path = folder / "summary.json"
    runs = [finished[run.name] for run in experiment.runs if run.name in finished]
    new = summary.of_experiment(experiment.name, command, environment(device), dataset, runs)
    if path.exists():
        old = read_json(path, fix=f"delete {path}; it is made again from the runs")
        if {k: v for k, v in old.items() if k != "created"} == json.loads(json_bytes(new)):
            return
    created = datetime.now(UTC).isoformat(timespec="seconds")
    write_whole(path, json_bytes({**new, "created": created}))


def _data_sha256(dataset: Dataset) -> str:
    """One hash for a data set's files, whatever they are called here."""
    return hashlib.sha256(json.dumps(sorted(dataset.sha256.values())).encode()).hexdigest()
