"""Experiments are done here: one training, and all of a sweep, as an iterator of what happens."""

from collections.abc import Callable, Container, Generator, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import tomli_w
from msgspec.structs import replace

from fedspike import part
from fedspike.data import Dataset, remarks
from fedspike.energy.meters import Meter
from fedspike.engine.choice import demand_device
from fedspike.errors import InputError
from fedspike.experiment import document, kept_files
from fedspike.experiment.describing import data_sha256, description
from fedspike.experiment.document import Document
from fedspike.experiment.leading import Begin, Test, agreed, follow, leading, led, tell
from fedspike.experiment.plans import placed, toml_of
from fedspike.experiment.sweep import Experiment, Run
from fedspike.federation import room, training_memory
from fedspike.federation.devices import Held
from fedspike.federation.final_tests import final_tests
from fedspike.federation.order import Place
from fedspike.federation.places.ranks.place import Ranks
from fedspike.federation.plan import Plan, demand_plan
from fedspike.federation.rounds import demand_state, rounds
from fedspike.federation.state import State
from fedspike.federation.tensor_bytes import pack
from fedspike.files import claimed, json_bytes, write_whole
from fedspike.own_files import used
from fedspike.reading import digested
from fedspike.records import checkpoint, reader, schema, writer
from fedspike.records.environment import environment, versions
from fedspike.records.events import Event, Finished, Skipped, Started, Trained
from fedspike.records.schema import ExperimentSummary, RoundRecord, RunSummary
from fedspike.records.seal import fingerprint, sealed

__all__ = ["run"]  # what `import fedspike` gives


@dataclass(frozen=True)
class Training:
    """Where and how runs are trained.

    Torch computes on `device`. Real devices train at their `place`, with the data that they have `held`;
    without these devices are simulated, in the processes of `ranks`. `measure` asks this machine's energy
    sensors.
    """

    device: str = "cpu"
    measure: bool = False
    place: Place | None = None
    held: Held | None = None
    ranks: Ranks = field(default_factory=Ranks)

    @property
    def where(self) -> Place:
        """The place at which clients are trained."""
        return self.place or self.ranks


SIMULATED = Training()
LONGEST_SHOWN = 60  # characters of a setting in an error
MOST_LOOKED_AT = 10_000  # rounds, for one in which anybody trains


def load(experiment: Experiment, say: Callable[[str], None]) -> Dataset:
    """The experiment's data set; `say` hears where it is looked for.

    Raises InputError, naming where the data set's name was written, if it cannot be had.
    """
    try:
        data = experiment.runs[0].plan.data
        data = data if isinstance(data, Dataset) else data.load(say)
    except InputError as error:
        raise placed(error, experiment.runs[0].plan, experiment.source, "data") from error
    for remark in remarks(data):
        say(f"worth knowing: {remark}")
    return data


def run(plan: Plan, folder: str | Path, training: Training = SIMULATED) -> RunSummary:
    """Train a plan that was written in Python, and store it as `fedspike run` stores one of a file.

    Stop it, or kill the process, and the next call goes on after the last round that was stored, with the
    same bits. `fedspike report FOLDER` makes its page. Raises what `perform` raises.
    """
    demand_plan(plan)
    part.demand_fit(
        "folder",
        folder,
        isinstance(folder, str | Path),
        expected="a path",
        fix='write run(plan, "runs/mine")',
    )
    part.demand_fit(
        "training",
        training,
        isinstance(training, Training),
        expected="where and how to train",
        fix="leave it out to train in this process",
    )
    demand_device(training.device)
    experiment = Experiment(plan.name, (Run(plan.name, plan),), Document("the plan", "", {}))
    dataset = plan.loaded().data
    summaries = [
        event.summary
        for event in perform(experiment, dataset, Path(folder), "fedspike.run", training)
        if isinstance(event, Skipped | Finished)
    ]
    return summaries[-1]


def perform(
    experiment: Experiment,
    dataset: Dataset,
    folder: Path,
    command: str,
    training: Training = SIMULATED,
) -> Generator[Event, None, None]:
    """Do the runs of an experiment that `folder` does not hold yet, and tell what happens.

    What was told is stored: stop asking, or kill the process, and the next call goes on after the
    last round that was stored, with the same bits. `command` is what the summary says would
    reproduce it. To measure energy takes 10 s more for each run (see energy/meters.py).

    Raises InputError, before anything is written, where settings, data and folder do not go
    together; after that only where the folder can no longer be written to.
    """
    plans = {run.name: _with(run.plan, dataset, training.held) for run in experiment.runs}
    group = training.ranks.group
    agreed(group, partial(_facts, experiment, plans, training.device))
    if group.rank:
        follow(plans, training.ranks, training.device)
        return
    with leading(group), claimed(folder):
        _demand_same_experiment(experiment, folder)
        homes = {run.name: folder / run.name for run in experiment.runs}
        finished: dict[str, RunSummary] = {}
        for run in experiment.runs:
            home = homes[run.name]
            kept_files.demand_same(used(run.plan), home)
            summary = reader.run(home)
            _demand_same_settings(run, home, dataset, summary)
            if summary is not None:
                finished[run.name] = summary
        for run in _one_of_each(experiment, finished, training):
            yield from _one_round(run, plans[run.name], homes[run.name], training)
        for run in experiment.runs:
            if run.name in finished:
                yield Skipped(run.name, finished[run.name])
                continue
            finished[run.name] = yield from _train(run, plans[run.name], homes[run.name], training)
            _store(experiment, folder, command, dataset, finished, training.device)
            yield Finished(run.name, finished[run.name])
        _store(experiment, folder, command, dataset, finished, training.device)


def _facts(experiment: Experiment, plans: Mapping[str, Plan], device: str) -> dict[str, str]:
    """What must be the same wherever a part of the experiment is trained, once it can be trained."""
    facts = versions(device)
    for run in experiment.runs:
        demand_trainable(plans[run.name], experiment.source)
        facts |= {
            f"{run.name}'s settings": run.settings_sha256,
            "data": data_sha256(plans[run.name].data),
        }
        facts |= {file.name: file.sha256 for file in used(run.plan)}
    return facts


def demand_trainable(plan: Plan, source: Document) -> None:
    """Raise InputError, naming the key in `source`, where data, network and algorithm do not go together."""
    _demand_devices(plan, source)
    _demand_network(plan, source)


def _demand_devices(plan: Plan, source: Document) -> None:
    """Raise InputError where the data cannot be divided like that."""
    try:
        devices = plan.devices()
    except InputError as error:
        raise placed(error, plan, source, "partition") from error
    looked_at = min(plan.rounds, MOST_LOOKED_AT)
    if not any(len(devices.there(plan.seed, round)) for round in range(1, looked_at + 1)):
        raise source.error(
            ("availability", "kind"),
            f"availability.kind = {plan.fleet.availability.kind}: nobody is there in {looked_at} rounds",
            expected="a client, at least, that is there in a round, at least",
            fix="make them more likely, or do more rounds",
        )
    if not any(devices.present(plan.seed, round) for round in range(1, looked_at + 1)):
        raise source.error(
            ("fleet", "dropout"),
            f"fleet.dropout = {plan.fleet.dropout}: all clients of the first {looked_at} rounds drop out",
            expected="a client, at least, that trains in a round, at least",
            fix="lower fleet.dropout, or do more rounds",
        )


def _demand_network(plan: Plan, source: Document) -> None:
    """Raise InputError where data, memory, remedies or algorithm do not suit the network."""
    try:
        site = plan.site()
        clients = site.devices.cohort_size
        needs = room.training(plan, site.network, clients)
        room.demand([*needs, room.records(plan.rounds, clients)])
    except InputError as error:
        raise placed(error, plan, source, "network") from error


def _with(plan: Plan, dataset: Dataset, held: Held | None) -> Plan:
    return replace(plan, data=dataset, partition=held or plan.partition)


def _train(
    run: Run, plan: Plan, home: Path, training: Training
) -> Generator[Event, None, RunSummary]:
    """One run from its last checkpoint to its summary."""
    dataset, meter = plan.data, Meter() if training.measure else None
    own = used(run.plan)
    about = {
        "settings_sha256": run.settings_sha256,
        "data_sha256": data_sha256(dataset),
        "schema version": str(schema.VERSION),
        **{file.name: file.sha256 for file in own},
        **versions(training.device),
    }
    stored = checkpoint.newest(home / "checkpoint", home / "rounds.jsonl", about)
    state, records = _resumed(plan, stored) if stored else (None, [])
    root = home.parent  # the folder that somebody named: no link below it is followed
    files = {f"{kept_files.FOLDER}/{file.name}": file.content for file in own}
    files["config.toml"] = tomli_w.dumps(toml_of(run.plan)).encode()
    files["environment.json"] = json_bytes(environment(training.device))
    for name, content in files.items():
        write_whole(home / name, content, root)
    journal = checkpoint.Journal(home / "rounds.jsonl", stored.rounds if stored else b"", root)
    yield Started(run.name, stored.round if stored else 0)

    group = training.ranks.group
    tell(group, Begin(run.name, state.round if state else 0), state)
    trained = led(group, rounds(plan, training.where, state, device=training.device))
    for round in meter.measured(trained) if meter else trained:
        state, record = round.state, writer.round_record(round)
        journal.append(record)
        records.append(record)
        checkpoint.save(
            home / "checkpoint", round.number, state.tensors(), journal.fingerprint, about, root
        )
        yield Trained(run.name, record)
    assert state is not None  # there is at least one round, done now or before

    files[writer.MODEL] = pack(state.tested)
    write_whole(home / writer.MODEL, files[writer.MODEL], root)
    site = plan.site()
    network = site.network
    tell(group, Test())
    summary = writer.of_run(
        description(run, site, dataset, plan.class_counts()),
        records,
        dataset,
        network,
        {name: weights.numpy() for name, weights in state.model.items()},
        final_tests(plan, site, state, training.device, training.where),
        files={name: fingerprint(content) for name, content in files.items()}
        | {journal.path.name: journal.fingerprint},
        measured=meter.result() if meter else None,
    )
    summary = replace(summary, training_bytes=training_memory.by_size(site))
    summary, content = sealed(summary)
    write_whole(home / reader.SUMMARY, content, root)
    return summary


def _resumed(plan: Plan, stored: checkpoint.Checkpoint) -> tuple[State, list[RoundRecord]]:
    """The state of a checkpoint and the records before it; InputError where they are not of this plan."""
    try:
        records = reader.decode_rounds(stored.rounds, stored.path)
        if not len(records) == stored.round <= plan.rounds:
            raise InputError(
                f"round {stored.round} of {plan.rounds}, after the records of {len(records)}",
                expected="a record for each round",
                fix=stored.fix,
            )
        state = State.from_tensors(stored.round, stored.tensors)
        demand_state(plan, plan.site(), state)
        return state, records
    except InputError as error:
        raise InputError(
            f"{stored.path}: {error.passed}", expected=error.expected, fix=stored.fix
        ) from error


def _one_of_each(
    experiment: Experiment, finished: Container[str], training: Training
) -> Iterable[Run]:
    """A run of each variant to begin with, so that whoever watches soon knows how long all will take.

    None where there is one variant, where devices would have to change their work, and where a sensor
    measures a run in one piece.
    """
    unlike: dict[str, Run] = {}
    for run in experiment.runs:
        if run.name not in finished:
            unlike.setdefault(run.variant, run)
    in_pieces = training.place is None and not training.measure
    return unlike.values() if in_pieces and len(unlike) > 1 else ()


def _one_round(run: Run, plan: Plan, home: Path, training: Training) -> Iterator[Event]:
    """A round of a run, which goes on from there when its turn comes."""
    with closing(_train(run, plan, home, training)) as events:
        for event in events:
            yield event
            if isinstance(event, Trained):
                return


def _demand_same_experiment(experiment: Experiment, folder: Path) -> None:
    """Raise where the folder holds the summary of another experiment, which this one's would replace."""
    before = _summary(folder)
    if before is not None and before.name != experiment.name:
        raise InputError(
            f"{folder} holds the experiment {before.name}, and this one is {experiment.name}",
            expected="a new folder, or one with runs of the same experiment",
            fix=f"name another folder with --output, or delete {folder}",
        )


def _summary(folder: Path) -> ExperimentSummary | None:
    """The one that is stored; None where there is none, or a damaged one, which is written anew."""
    with suppress(InputError):
        return reader.stored(folder)
    return None


def _demand_same_settings(
    run: Run, home: Path, dataset: Dataset, summary: RunSummary | None
) -> None:
    """Raise where the folder of a run holds another one, or its `summary` is another one's."""
    differences, file = [], home / "config.toml"
    if file.exists():
        here = toml_of(run.plan)
        there = document.read(file).values
        differences += [
            f"{key} is {_shown(there, key)} there and {_shown(here, key)} here"
            for key in sorted({*document.leaves(there), *document.leaves(here)} - {"name"})
            if _of(there, key) != _of(here, key)
        ]
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


def _shown(values: dict[str, Any], key: str) -> str:
    return digested(str(_of(values, key)), LONGEST_SHOWN)


def _store(
    experiment: Experiment,
    folder: Path,
    command: str,
    dataset: Dataset,
    finished: dict[str, RunSummary],
    device: str,
) -> None:
    """Store the experiment's summary, unless it is there already."""
    runs = [finished[run.name] for run in experiment.runs if run.name in finished]
    created = datetime.now(UTC).isoformat(timespec="seconds")
    summary = writer.of_experiment(
        experiment.name, command, environment(device), dataset, runs, created
    )
    old = _summary(folder)
    if old is not None and replace(summary, created=old.created, seal=old.seal) == old:
        return
    write_whole(folder / reader.SUMMARY, sealed(summary)[1], folder)
