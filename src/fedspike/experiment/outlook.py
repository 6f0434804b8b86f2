"""What an experiment would take, before anything is stored: time, memory, disk, this machine's energy.

Time is measured: two rounds of each kind of run are trained, and the second one counts. Rounds of few samples
come first; where a whole one would by them take longer than PROBE_S, it is not trained, and the time is the
one that they project: what a round takes without samples, and what a sample adds.
"""

import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from fedspike.data import Dataset
from fedspike.energy import meters
from fedspike.experiment.run import demand_trainable
from fedspike.experiment.storing import Store
from fedspike.experiment.sweep import Experiment, Run
from fedspike.federation import room
from fedspike.federation.plan import Plan
from fedspike.federation.rounds import Round, rounds
from fedspike.federation.tensor_bytes import pack
from fedspike.files import json_bytes
from fedspike.machine import bytes_here
from fedspike.records import checkpoint, reader, writer
from fedspike.records.schema import Record
from fedspike.records.time_left import side_by_side

PROBE_S = 10.0  # a round that may take longer is not tried
FEW = 32  # samples of a client in the round that comes first


class RunOutlook(Record, frozen=True, kw_only=True):
    """A run: `seconds` are of the rounds that are left, None where no whole one was tried.

    `projected_s` are by rounds of few samples then. `memory_bytes` is a lower bound, beside Python, torch and
    the data; `disk_bytes` is of all its rounds.
    """

    run: str
    rounds: int
    rounds_done: int
    finished: bool
    round_seconds: float | None
    seconds: float | None
    projected_s: float | None
    memory_bytes: int
    disk_bytes: int
    joules: dict[str, float]


class Outlook(Record, frozen=True, kw_only=True):
    """An experiment in its folder, by so many processes side by side; `joules` are by sensor and domain."""

    name: str
    folder: str
    runs: tuple[RunOutlook, ...]
    finished: int
    rounds_left: int
    at_once: int
    seconds: float | None
    projected_s: float | None
    memory_bytes: int
    data_bytes: int
    memory_here_bytes: int
    disk_bytes: int
    disk_free_bytes: int
    joules: dict[str, float]


class _Probe(NamedTuple):
    """What a round of a kind of run takes."""

    seconds: float | None
    projected_s: float
    stored: int  # bytes of a round's record
    state: int  # bytes of a checkpoint
    joules: dict[str, float]


def outlook(
    experiment: Experiment,
    dataset: Dataset,
    folder: Path,
    *,
    device: str,
    at_once: int = 1,
    say: Callable[[str], None],
) -> Outlook:
    """What the runs that `folder` does not hold yet would take; nothing is written.

    Raises InputError where `perform` would before it begins.
    """
    plans = {run.name: replace(run.plan, data=dataset) for run in experiment.runs}
    for plan in plans.values():
        demand_trainable(plan, experiment.source)
    finished = Store(experiment, folder, "", dataset, device).finished()
    left = [run for run in experiment.runs if run.name not in finished]
    probes: dict[str, _Probe] = {}
    for run in left:
        if run.variant not in probes:
            say(f"trying a round of {run.name}")
            probes[run.variant] = _probe(plans[run.name], device)
    outlooks = tuple(
        _of_run(run, plans[run.name], folder / run.name, probes.get(run.variant))
        for run in experiment.runs
    )
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    memory = sorted((one.memory_bytes for one in outlooks if not one.finished), reverse=True)
    sensors = {sensor for one in outlooks for sensor in one.joules}
    return Outlook(
        name=experiment.name,
        folder=str(folder),
        runs=outlooks,
        finished=len(finished),
        rounds_left=sum(one.rounds - one.rounds_done for one in outlooks),
        at_once=at_once,
        seconds=_together([one.seconds for one in outlooks], at_once),
        projected_s=_together([one.projected_s for one in outlooks], at_once),
        memory_bytes=sum(memory[:at_once]),
        data_bytes=sum(
            part.nbytes
            for part in (dataset.x_train, dataset.y_train, dataset.x_test, dataset.y_test)
        ),
        memory_here_bytes=bytes_here(),
        disk_bytes=sum(one.disk_bytes for one in outlooks if not one.finished),
        disk_free_bytes=shutil.disk_usage(there).free,
        joules={name: math.fsum(one.joules.get(name, 0.0) for one in outlooks) for name in sensors},
    )


def _of_run(run: Run, plan: Plan, home: Path, probe: _Probe | None) -> RunOutlook:
    """A run by the probe of its kind; one without is finished."""
    size = reader.rounds_done(home) if probe else plan.rounds
    left = plan.rounds - size
    site = plan.site()
    clients = site.devices.cohort_size
    needs = [*room.training(plan, site.network, clients), room.records(plan.rounds)]
    remembered = room.memories(plan, site.network, clients).bytes
    seconds = probe.seconds if probe else 0.0
    return RunOutlook(
        run=run.name,
        rounds=plan.rounds,
        rounds_done=size,
        finished=probe is None,
        round_seconds=probe.seconds if probe else None,
        seconds=None if seconds is None else left * seconds,
        projected_s=left * probe.projected_s if probe else 0.0,
        memory_bytes=sum(need.bytes for need in needs),
        disk_bytes=plan.rounds * probe.stored + (checkpoint.KEPT + 1) * probe.state + remembered
        if probe
        else 0,
        joules={name: left * joules for name, joules in probe.joules.items()} if probe else {},
    )


def _probe(plan: Plan, device: str) -> _Probe:
    """Train rounds of a plan in memory."""
    whole = max(1, plan.site().devices.samples(0))
    few, more = min(FEW, whole), min(4 * FEW, whole)
    small, seconds, _ = _second_round(_of(plan, few), device)
    projected, joules, measured = seconds, dict[str, float](), None
    if more > few:
        _, longer, _ = _second_round(_of(plan, more), device)
        projected += max(0.0, longer - seconds) / (more - few) * (whole - few)
    if projected <= PROBE_S:
        small, projected, joules = _second_round(plan, device)
        measured = projected
    record = json_bytes(writer.round_record(small), indent=None)
    return _Probe(measured, projected, len(record), len(pack(small.state.tensors())), joules)


def _of(plan: Plan, samples: int) -> Plan:
    """The plan with so many samples of each client in a round."""
    return replace(plan, fleet=replace(plan.fleet, samples_per_round=samples))


def _second_round(plan: Plan, device: str) -> tuple[Round, float, dict[str, float]]:
    """The second round of a plan, its seconds, and what this machine's sensors counted in it."""
    sensors = [one for one in meters.sensors() if not isinstance(one, meters.Unavailable)]
    training = rounds(replace(plan, rounds=2), device=device)
    next(training)
    before, began = _joules(sensors), time.monotonic()
    second = next(training)
    seconds, after = time.monotonic() - began, _joules(sensors)
    return second, seconds, {name: after[name] - before[name] for name in after if name in before}


def _joules(sensors: list[meters.Sensor]) -> dict[str, float]:
    return {
        f"{sensor.name} {domain}": joules
        for sensor in sensors
        for domain, joules in sensor.joules().items()
    }


def _together(seconds: list[float | None], at_once: int) -> float | None:
    """How long runs take of which so many are trained side by side; None where one is unknown."""
    if None in seconds:
        return None
    return side_by_side([one for one in seconds if one], at_once)
