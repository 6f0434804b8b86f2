"""Experiments are done here: one training, and all of a sweep, as an iterator of what happens."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from fedspike import part
from fedspike.data import Dataset, remarks
from fedspike.engine.choice import demand_device
from fedspike.errors import InputError
from fedspike.experiment import workers
from fedspike.experiment.describing import data_sha256
from fedspike.experiment.document import Document
from fedspike.experiment.leading import agreed, follow, leading
from fedspike.experiment.plans import placed
from fedspike.experiment.storing import Store
from fedspike.experiment.sweep import Experiment, Run
from fedspike.experiment.training import (
    MEMORIES,
    SIMULATED,
    Training,
    first_rounds,
    one_of_each,
    train,
)
from fedspike.federation import room
from fedspike.federation.devices import Held
from fedspike.federation.plan import Plan, demand_plan
from fedspike.files import claimed
from fedspike.own_files import used
from fedspike.records.environment import versions
from fedspike.records.events import Event, Finished, Skipped
from fedspike.records.schema import RunSummary

__all__ = ["run"]  # what `import fedspike` gives


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
    share = training.share
    store = Store(experiment, folder, command, dataset, training.device, share.of > 1)
    with leading(group), claimed(folder, shared=store.shared):
        finished, mine = store.finished(), share.runs(experiment.runs)
        for run in mine:
            if run.name in finished:
                yield Skipped(run.name, finished[run.name])
        left = [run for run in mine if run.name not in finished]
        if left and training.place is None:
            _demand_disk({store.home(run): plans[run.name] for run in left}, experiment.source)
        if left:
            store.announce()
        with store.at_part(share.number, share.of) if left else nullcontext():
            for event in _done(experiment, left, plans, store, training):
                if isinstance(event, Finished):
                    finished[event.run] = event.summary
                    store.store(finished)
                yield event
        store.store(finished)


def _done(
    experiment: Experiment,
    runs: Sequence[Run],
    plans: Mapping[str, Plan],
    store: Store,
    training: Training,
) -> Iterator[Event]:
    """What happens while these runs are done, one after another or by workers."""
    if training.workers and runs:
        homes = {run.name: store.home(run) for run in runs}
        yield from workers.trained(experiment, runs, homes, data_sha256(store.dataset), training)
        return
    for run in one_of_each(runs, training):
        yield from first_rounds(run, plans[run.name], store.home(run), training)
    for run in runs:
        summary = yield from train(run, plans[run.name], store.home(run), training)
        yield Finished(run.name, summary)


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
        room.demand([*needs, room.records(plan.rounds)])
    except InputError as error:
        raise placed(error, plan, source, "network") from error


def _demand_disk(plans: Mapping[Path, Plan], source: Document) -> None:
    """Raise InputError where there is no room for what clients will remember in the end of these runs."""
    needs = [
        room.memories(plan, plan.sized_network(), plan.site().devices.cohort_size)
        for plan in plans.values()
    ]
    files = [path for home in plans for path in home.glob(f"{MEMORIES}/*")]
    first = next(iter(plans))
    try:
        room.demand_disk(needs, first.parent, sum(path.lstat().st_size for path in files))
    except InputError as error:
        raise placed(error, plans[first], source, "fleet") from error


def _with(plan: Plan, dataset: Dataset, held: Held | None) -> Plan:
    return replace(plan, data=dataset, partition=held or plan.partition)
