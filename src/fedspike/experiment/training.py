"""One run: from its last checkpoint to its summary, as an iterator of what happens."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from dataclasses import replace as replaced
from functools import partial
from pathlib import Path
from typing import TypeVar

import tomli_w
from msgspec.structs import replace

from fedspike.data import Dataset
from fedspike.energy.description import MOST_COUNTED
from fedspike.energy.meters import Meter
from fedspike.errors import InputError
from fedspike.experiment import kept_files
from fedspike.experiment.describing import data_sha256, description
from fedspike.experiment.leading import Test, led, tell, tell_beginning
from fedspike.experiment.plans import toml_of
from fedspike.experiment.sweep import Run
from fedspike.federation import training_memory
from fedspike.federation.devices import Held
from fedspike.federation.final_tests import final_tests
from fedspike.federation.memories import Memories
from fedspike.federation.order import Place
from fedspike.federation.places.ranks.place import Ranks
from fedspike.federation.plan import Plan
from fedspike.federation.rounds import demand_state, rounds
from fedspike.federation.state import State
from fedspike.federation.tensor_bytes import pack
from fedspike.files import claimed, json_bytes, remove, write_whole
from fedspike.own_files import used
from fedspike.records import checkpoint, reader, schema, writer
from fedspike.records.environment import environment, versions
from fedspike.records.events import Event, Started, Trained
from fedspike.records.memory_files import MemoryFiles
from fedspike.records.schema import Fingerprint, RunSummary
from fedspike.records.seal import fingerprint, sealed
from fedspike.records.stored_rounds import StoredRounds

MANY_ROUNDS = 100  # of a run: two of them are soon done
MEMORIES = "memories"  # a folder of a run, for what its clients remember
T = TypeVar("T")


@dataclass(frozen=True)
class Workers:
    """So many processes train runs, each with so many threads; `use` are files with parts of one's own."""

    size: int
    threads: int
    use: tuple[str, ...] = ()


@dataclass(frozen=True)
class Share:
    """Of the runs of an experiment number `number`, and from there every one in `of`; from 1.

    >>> Share(2, 3).runs(("a", "b", "c", "d", "e"))
    ('b', 'e')
    """

    number: int = 1
    of: int = 1

    def runs(self, runs: tuple[T, ...]) -> tuple[T, ...]:
        """Those of the runs."""
        return runs[self.number - 1 :: self.of]


@dataclass(frozen=True)
class Training:
    """Where and how runs are trained.

    Torch computes on `device`. Real devices train at their `place`, with the data that they have `held`;
    without these devices are simulated, in the processes of `ranks`. `measure` asks this machine's energy
    sensors. Runs are trained one after another, or by `workers`, and only those of a `share`.
    """

    device: str = "cpu"
    measure: bool = False
    place: Place | None = None
    held: Held | None = None
    ranks: Ranks = field(default_factory=Ranks)
    workers: Workers | None = None
    share: Share = Share()

    @property
    def where(self) -> Place:
        """The place at which clients are trained."""
        return self.place or self.ranks


SIMULATED = Training()


def train(
    run: Run, plan: Plan, home: Path, training: Training
) -> Generator[Event, None, RunSummary]:
    """One run from its last checkpoint to its summary; nobody else may be at it meanwhile.

    Raises InputError where somebody is, where a checkpoint was damaged, and where there is no room.
    """
    with claimed(home, home.parent):
        return (yield from _train(run, plan, home, training))


def one_of_each(runs: Sequence[Run], training: Training) -> Sequence[Run]:
    """A run of each variant to begin with, so that whoever watches soon knows how long all will take.

    None where there is one variant, where devices would have to change their work, and where a sensor
    measures a run in one piece.
    """
    unlike: dict[str, Run] = {}
    for run in runs:
        unlike.setdefault(run.variant, run)
    in_pieces = training.place is None and not training.measure
    return tuple(unlike.values()) if in_pieces and len(unlike) > 1 else ()


def first_rounds(run: Run, plan: Plan, home: Path, training: Training) -> Iterator[Event]:
    """The next round of a run, or two of many: the first takes longer. It goes on when its turn comes."""
    left = 0
    with closing(train(run, plan, home, training)) as events:
        for event in events:
            yield event
            if isinstance(event, Started):
                rounds = plan.rounds - event.rounds_done
                left = min(rounds, 2 if rounds >= MANY_ROUNDS else 1)
            left -= isinstance(event, Trained)
            if not left:
                return


def _train(
    run: Run, plan: Plan, home: Path, training: Training
) -> Generator[Event, None, RunSummary]:
    dataset, meter = plan.data, Meter() if training.measure else None
    own = used(run.plan)
    about = _about(run, dataset, training.device)
    stored = checkpoint.newest(home / reader.CHECKPOINT, home / reader.ROUNDS, about)
    earlier = reader.run(home)  # of fewer rounds: it stays until there is another
    _demand_rounds(home, earlier, stored)
    root = home.parent  # the folder that somebody named: no link below it is followed
    state, memories = _begun(plan, stored, home, root)
    files = {f"{kept_files.FOLDER}/{file.name}": file.content for file in own}
    files[reader.CONFIG] = tomli_w.dumps(toml_of(run.plan)).encode()
    files["environment.json"] = json_bytes(environment(training.device))
    begun = {reader.MORE_ROUNDS: files[reader.CONFIG]} if earlier else files
    _write(begun, home)
    written = stored.rounds if stored else fingerprint(b"")
    journal = checkpoint.Journal(home / reader.ROUNDS, written, root)
    save = partial(_save, home / reader.CHECKPOINT, about, root)
    yield Started(run.name, stored.round if stored else 0)

    group = training.ranks.group
    tell_beginning(group, run.name, state)
    trained = led(group, rounds(plan, training.where, state, device=training.device))
    for round in meter.measured(trained) if meter else trained:
        state, record = round.state, writer.round_record(round)
        memories.store(round.number, Memories.of(state.clients), round.clients)
        journal.append(record)
        save(state, journal.fingerprint, memories.fingerprint)
        yield Trained(run.name, record)
    assert state is not None  # there is at least one round, done now or before

    last = {writer.MODEL: pack(state.tested)}
    site = plan.site()
    network = site.network
    tell(group, Test())
    summary = writer.of_run(
        description(run, site, dataset, plan.class_counts(MOST_COUNTED)),
        journal.records,
        dataset,
        network,
        {name: weights.numpy() for name, weights in state.model.items()},
        final_tests(plan, site, state, training.device, training.where),
        files={name: fingerprint(content) for name, content in (files | last).items()}
        | {journal.path.name: journal.fingerprint},
        measured=meter.result() if meter else None,
    )
    summary = replace(summary, training_bytes=training_memory.by_size(site))
    summary, content = sealed(summary)
    last[reader.SUMMARY] = content
    if earlier is not None:  # from here on the run is one that goes on from its last checkpoint
        remove(home / reader.SUMMARY, root)
        last = files | last
    _write(last, home)
    remove(home / reader.MORE_ROUNDS, root)
    return summary


def _about(run: Run, dataset: Dataset, device: str) -> dict[str, str]:
    """What must be the same when the run goes on."""
    return {
        "settings_sha256": run.rounds_sha256,
        "data_sha256": data_sha256(dataset),
        "schema version": str(schema.VERSION),
        **{file.name: file.sha256 for file in used(run.plan)},
        **versions(device),
    }


def _write(files: Mapping[str, bytes], home: Path) -> None:
    """Write files of a run, in this order."""
    for name, content in files.items():
        write_whole(home / name, content, home.parent)


def _demand_rounds(
    home: Path, earlier: RunSummary | None, stored: checkpoint.Checkpoint | None
) -> None:
    """Raise InputError where what is finished would be lost, as there is no checkpoint to go on from."""
    if earlier is not None and (stored is None or stored.round < earlier.rounds):
        raise InputError(
            f"{home} has {earlier.rounds} rounds, and no checkpoint after the last of them",
            expected="the checkpoint from which more rounds go on",
            fix=f"restore {home / reader.CHECKPOINT}, or name another folder with --output",
        )


def _save(
    folder: Path,
    about: dict[str, str],
    root: Path,
    state: State,
    rounds: Fingerprint,
    memories: Fingerprint | None,
) -> None:
    """Make the checkpoint of a state, without what clients remember, which is stored already."""
    tensors = replaced(state, clients={}).tensors()
    checkpoint.save(folder, state.round, tensors, rounds, about, root, memories)


def _begun(
    plan: Plan, stored: checkpoint.Checkpoint | None, home: Path, root: Path
) -> tuple[State | None, MemoryFiles]:
    """The state of a checkpoint, None before the first; and the files of what its clients remember.

    Raises InputError where the checkpoint, the records before it, or these files are not of this plan.
    """
    fix = stored.fix if stored else f"delete {home} to start this run again"
    memories = MemoryFiles(home / MEMORIES, root, checkpoint.KEPT, fix)
    if stored is None:
        memories.restore(0, None)
        return None, memories
    state = resumed(plan, stored)
    return replaced(state, clients=memories.restore(stored.round, stored.memories)), memories


def resumed(plan: Plan, stored: checkpoint.Checkpoint) -> State:
    """The state of a checkpoint, but for what clients remember.

    Raises InputError where it, or the records before it, are not of this plan.
    """
    try:
        records = len(StoredRounds.of(stored.records, stored.rounds.bytes))
        if not records == stored.round <= plan.rounds:
            raise InputError(
                f"round {stored.round} of {plan.rounds}, after the records of {records}",
                expected="a record for each round",
                fix=stored.fix,
            )
        state = State.from_tensors(stored.round, stored.tensors)
        demand_state(plan, plan.site(), state)
        if state.clients:
            raise InputError(
                "what clients remember",
                expected=f"it in {MEMORIES}/, where fedspike keeps it now",
                fix=stored.fix,
            )
        return state
    except InputError as error:
        raise InputError(
            f"{stored.path}: {error.passed}", expected=error.expected, fix=stored.fix
        ) from error
