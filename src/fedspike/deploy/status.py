"""How a fleet is: its training, and each node, from its folder and, where that runs, from its server.

The one record of it is what `fedspike fleet status` shows, its `--json` prints, and Prometheus is told.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from flwr.common.constant import Status as FlowerStatus
from flwr.common.constant import SubStatus
from msgspec.structs import replace

from fedspike.deploy import control, knocks
from fedspike.deploy.control_client import Presence, ServerAway, connected
from fedspike.deploy.folder import FleetFolder
from fedspike.errors import InputError
from fedspike.federation.places.flower import absent, seats
from fedspike.federation.places.flower.absent import Refusal
from fedspike.records.fleet_status import Failure, NodeStatus, RunStatus, Status, Training
from fedspike.records.ledger import NodeRounds, rounds_by_node
from fedspike.records.reader import ROUNDS, SUMMARY
from fedspike.records.schema import NodeRound, RoundRecord

NEWEST = 10  # answers, over which a node's speed is taken


@dataclass(frozen=True)
class View:
    """What the server sees and the folder does not: the training in Flower's words, and who is there."""

    training: tuple[str, str]
    nodes: dict[int, Presence]


def read(folder: FleetFolder) -> Status:
    """How a fleet is, whether its server runs or not.

    Raises InputError where the server refuses to say, or the folder is damaged.
    """
    number, view, away = control.run_id(folder), None, None
    try:
        with connected(folder) as server:
            training = ("", "") if number is None else server.progress(number)
            view = View(training, server.nodes())
    except ServerAway as error:
        away = error
    return Observer(folder, folder.experiment.rounds).status(view, away)


class Observer:
    """Looks at a fleet again and again, whose runs have so many rounds; finished ones are read once."""

    def __init__(self, folder: FleetFolder, rounds: Mapping[str, int]) -> None:
        self._folder, self._rounds = folder, rounds
        self._so_far = {run: control.RoundsSoFar(folder.run / run) for run in rounds}

    def status(self, view: View | None, away: InputError | None = None) -> Status:
        """How the fleet is, with what its server sees, or why it is away. InputError for a damaged file."""
        now, folder = datetime.now(UTC), self._folder
        out = absent.read(folder.server)
        at_door = knocks.refused(folder.register) if view else {}
        names = sorted(self._rounds, key=lambda run: _written_at(folder.run / run))
        records = {run: self._so_far[run].read() for run in names}
        runs = [_run(folder.run / run, most, records[run]) for run, most in self._rounds.items()]
        left = [run.run for run in runs if not run.finished]
        begun = [run for run in names if records[run] and run in left]
        return Status(
            at=now,
            server_away=away.passed if away else None,
            server_fix=away.fix if away else None,
            training=_training(control.run_id(folder), left, out.waiting_for, view),
            run=begun[-1] if begun else next(iter(left), None),
            runs=runs,
            waiting_for=out.waiting_for,
            waiting=out.waiting,
            nodes=_nodes(folder, records, view, out.refused | at_door, now),
            knocking=[knock.told(now) for knock in knocks.waiting(folder.register)] if view else [],
        )


def _run(home: Path, rounds: int, records: Sequence[RoundRecord]) -> RunStatus:
    return RunStatus(
        run=home.name,
        rounds=rounds,
        rounds_done=len(records),
        finished=(home / SUMMARY).exists(),
        accuracy=records[-1].accuracy if records else None,
        seconds=dict(records[-1].seconds) if records else {},
    )


def _training(
    number: int | None, left: Sequence[str], waiting_for: Sequence[int], view: View | None
) -> Training:
    if not left:
        return "done"
    if number is None:
        return "not started"
    if view is None:
        return "paused"
    state, how = view.training
    if state == FlowerStatus.FINISHED:
        return "stopped" if how == SubStatus.STOPPED else "failed"
    return "waiting" if waiting_for else "running"


def _nodes(
    folder: FleetFolder,
    records: Mapping[str, Sequence[RoundRecord]],
    view: View | None,
    refusals: Mapping[str, Refusal],
    now: datetime,
) -> list[NodeStatus]:
    """Each node that may come, took part, is refused or is revoked, in the order of their names."""
    work = rounds_by_node(record for each in records.values() for record in each)
    failures = _failures(records)
    counts = seats.read(folder.server)
    numbers = {node.name: number for number, node in control.registered(folder).items()}
    own = {member.name: sorted(member.clients) for member in folder.register.members()}
    revoked = {node.name for node in folder.register.revoked()} - own.keys()
    nodes = []
    for name in sorted({*own, *revoked, *work, *refusals}, key=_natural):
        refusal = refusals.get(name)
        presence = view.nodes.get(numbers.get(name, 0)) if view else None
        last_seen = presence.last_seen if presence else None
        did = work.get(name, NodeRounds())
        clients = own.get(name, did.clients)
        nodes.append(
            NodeStatus(
                node=name,
                online=presence.online if presence else None if view is None else False,
                last_seen=last_seen,
                seconds_ago=max(0.0, (now - last_seen).total_seconds()) if last_seen else None,
                revoked=name in revoked,
                clients=clients,
                samples={k: sum(counts[k]) for k in clients if k in counts},
                rounds=len(did.answered),
                failed=did.failed,
                samples_per_second=_speed(did.answered[-NEWEST:]),
                joules=did.joules,
                refused=refusal.reason if refusal else None,
                refused_since=refusal.since if refusal else None,
                last_failure=failures.get(name),
            )
        )
    return nodes


def _speed(answers: Sequence[tuple[RoundRecord, NodeRound]]) -> float | None:
    """Samples that were shown, by seconds of training; None where no answer was taken."""
    samples, seconds = 0, 0.0
    for round, entry in answers:
        shown = [round.activity[k].samples for k in entry.clients if k in round.activity]
        if shown:
            samples, seconds = samples + sum(shown), seconds + entry.seconds["training"]
    return samples / seconds if seconds else None


def _failures(records: Mapping[str, Sequence[RoundRecord]]) -> dict[str, Failure]:
    """Node -> the last that went wrong with it."""
    failures: dict[str, Failure] = {}
    for run, rounds in records.items():
        for record in rounds:
            for entry in record.nodes:
                if entry.error is not None:
                    before = failures.get(entry.node)
                    goes_on = before is not None and not before.mended and before.run == run
                    failures[entry.node] = Failure(
                        reason=entry.error,
                        run=run,
                        round=record.round,
                        since=before.since if before is not None and goes_on else record.round,
                        mended=False,
                    )
                elif entry.node in failures:
                    failures[entry.node] = replace(failures[entry.node], mended=True)
    return failures


def _written_at(home: Path) -> float:
    """When a run's newest round was written; runs of an experiment may take turns."""
    file = home / ROUNDS
    return file.stat().st_mtime if file.exists() else 0.0


def _natural(name: str) -> list[tuple[str, int]]:
    """node-10 comes behind node-9."""
    return [(text, int(digits or 0)) for text, digits in re.findall(r"(\D*)(\d*)", name)]
