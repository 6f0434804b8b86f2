"""What is asked of a running server: which nodes may come, and to train; and how the training goes."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from fedspike.deploy.certificates import public_key
from fedspike.deploy.control_client import connected
from fedspike.deploy.folder import FleetFolder
from fedspike.errors import InputError
from fedspike.experiment.sweep import Experiment
from fedspike.federation.places.flower.hosted import ABSENT
from fedspike.files import (
    MOST_JSON,
    claimed,
    content_of,
    json_bytes,
    read_json,
    remove,
    write_whole,
)
from fedspike.records import reader
from fedspike.records.events import Event, Finished, Skipped, Started, Trained
from fedspike.records.schema import RoundRecord

LOOK_EVERY_S, ASK_EVERY_S = 0.2, 5.0
ENDED = "finished"
REGISTERED = "registered.json"


class Absent(msgspec.Struct, frozen=True):
    """Nodes that are there and take no part, with why, and the clients that a training waits for."""

    refused: dict[str, str] = {}
    waiting_for: list[int] = []


def register(folder: FleetFolder) -> dict[str, int]:
    """Let in the nodes whose public keys are in server/keys, no others; node -> its number in Flower.

    Flower's command line does this for one node, and takes seconds; here all are done at once.
    """
    file, nodes = folder.server / REGISTERED, registered(folder)
    keys = {path.stem: path for path in sorted((folder.server / "keys").glob("*.pub"))}
    if nodes.keys() == keys.keys():
        return nodes
    with connected(folder) as server:
        for name in sorted(nodes.keys() - keys.keys()):
            server.unregister(nodes.pop(name))
            write_whole(file, json_bytes(nodes), folder.path)
        for name in sorted(keys.keys() - nodes.keys()):
            nodes[name] = server.register(name, public_key(keys[name]))
            write_whole(file, json_bytes(nodes), folder.path)
    return nodes


def registered(folder: FleetFolder) -> dict[str, int]:
    """The nodes that were let in: node -> its number in Flower."""
    file = folder.server / REGISTERED
    if not file.exists():
        return {}
    fix = f"delete {folder.server / 'flower.db'} and {file}, and start the server again"
    nodes: dict[str, int] = _typed(read_json(file, fix=fix), dict[str, int], file, fix)
    return nodes


def absent(folder: FleetFolder) -> Absent:
    """Who takes no part in the training, and who is waited for, as its process wrote it last."""
    file = folder.server / ABSENT
    if not file.exists():
        return Absent()
    fix = f"delete {file}"
    absent: Absent = _typed(read_json(file, fix=fix), Absent, file, fix)
    return absent


def submit(folder: FleetFolder) -> None:
    """Start the training, or what is left of it; one that still runs is left alone."""
    with claimed(folder.server, wait=True):  # two that start at once would start two
        if state(folder) in ("", ENDED):
            _start(folder)


def resume(folder: FleetFolder) -> bool:
    """After a restart of the server: go on with a training that was going on. Whether there was one."""
    with claimed(folder.server, wait=True):  # two that start at once would start two
        if run_id(folder) is None or is_done(folder):
            return False
        stop(folder)  # its process ended with the server before
        _start(folder)
        return True


def stop(folder: FleetFolder) -> bool:
    """End the training; what is done is stored. Whether there was one."""
    number = run_id(folder)
    if number is None:
        return False
    with connected(folder) as server:
        if server.status(number) != ENDED:
            server.stop(number)
    return True


def _start(folder: FleetFolder) -> None:
    if (folder.server / ABSENT).exists():
        remove(folder.server / ABSENT, folder.path)
    with connected(folder) as server:
        number = server.start()
    write_whole(_run_file(folder), json_bytes({"run-id": number}), folder.path)


def run_id(folder: FleetFolder) -> int | None:
    """Flower's number of the training, if it was started."""
    file = _run_file(folder)
    if not file.exists():
        return None
    fix = f"delete {file}"
    stored: dict[str, int] = _typed(read_json(file, fix=fix), dict[str, int], file, fix)
    return stored.get("run-id")


def state(folder: FleetFolder) -> str:
    """What Flower says of the training: "running", "finished", ...; "" before it was started."""
    number = run_id(folder)
    if number is None:
        return ""
    with connected(folder) as server:
        return server.status(number)


def status(folder: FleetFolder) -> dict[str, Any]:
    """The training in Flower's word, the rounds of each run, and the nodes: online or not, or why refused."""
    names, out = {number: name for name, number in register(folder).items()}, absent(folder)
    with connected(folder) as server:
        listed = server.nodes()
    return {
        "training": state(folder),
        "rounds": {
            run.name: len(_records(folder.run / run.name / "rounds.jsonl"))
            for run in folder.experiment.runs
        },
        "nodes": {names[number]: status for number, status in listed.items() if number in names},
        "refused": out.refused,
        "waiting_for": out.waiting_for,
    }


def is_done(folder: FleetFolder) -> bool:
    """Whether all runs have their summaries."""
    return all((folder.run / run.name / "summary.json").exists() for run in folder.experiment.runs)


def follow(
    folder: FleetFolder, experiment: Experiment, say: Callable[[str], None]
) -> Iterator[Event]:
    """What happens in the run folder, until everything is done.

    Raises InputError where the training ends before that. A server that is away is waited for.
    """
    asked_at, told = time.monotonic(), Absent()
    for run in experiment.runs:
        home, finished = folder.run / run.name, -1
        while finished < run.plan.rounds or not (home / "summary.json").exists():
            records = _records(home / "rounds.jsonl")
            if finished < 0 and (home / "config.toml").exists():
                finished = len(records)
                yield Started(run.name, finished)
            for record in records[max(finished, 0) :]:
                yield Trained(run.name, record)
            finished = max(finished, len(records)) if finished >= 0 else finished
            if (now := absent(folder)) != told:
                _tell(now, told, say)
                told = now
            if time.monotonic() - asked_at > ASK_EVERY_S:
                _demand_running(folder, say)
                asked_at = time.monotonic()
            time.sleep(LOOK_EVERY_S)
        summary = reader.run(home)
        assert summary is not None  # it was there a moment ago
        yield Finished(run.name, summary) if finished >= 0 else Skipped(run.name, summary)
    while not _stored(folder, len(experiment.runs)):
        time.sleep(LOOK_EVERY_S)


def _tell(now: Absent, before: Absent, say: Callable[[str], None]) -> None:
    """Say who is newly absent, and who came back."""
    if now.waiting_for and now.waiting_for != before.waiting_for:
        say(f"waiting for the nodes of clients {', '.join(map(str, now.waiting_for))}")
    for node, reason in now.refused.items():
        if before.refused.get(node) != reason:
            say(f"{node} takes no part: {reason}")
    for node in before.refused.keys() - now.refused.keys():
        say(f"{node} is not refused any more")


def _typed(value: object, kind: Any, source: object, fix: str) -> Any:
    """What was read from our file, or Flower said, as its type. Raises InputError where it is another."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise InputError(
            f"{source}: {error}", expected="the file as fedspike wrote it", fix=fix
        ) from error


def _stored(folder: FleetFolder, runs: int) -> bool:
    """Whether the summary of all runs is there."""
    return (folder.run / "summary.json").exists() and len(reader.read(folder.run).runs) == runs


def _demand_running(folder: FleetFolder, say: Callable[[str], None]) -> None:
    try:
        status = state(folder)
    except InputError as error:
        say(f"the server is away, waiting for it ({error.passed.splitlines()[0][:100]})")
        return
    if status == ENDED and not is_done(folder):
        raise InputError(
            "the training ended before all rounds were done",
            expected="all rounds",
            fix=f"see why: fedspike fleet logs {folder.path}; then fedspike fleet run {folder.path}",
        )


def _records(file: Path) -> list[RoundRecord]:
    """The whole lines of a file that another process is writing."""
    if not file.exists():
        return []
    content = content_of(file, MOST_JSON)
    return reader.decode_rounds(content[: content.rfind(b"\n") + 1], file)


def _run_file(folder: FleetFolder) -> Path:
    return folder.server / "run.json"
