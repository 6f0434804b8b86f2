"""What is asked of a running server: which nodes may come, and to train; and how the training goes."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fedspike.deploy.certificates import AUTHORITY
from fedspike.deploy.flower import ask
from fedspike.deploy.folder import FleetFolder
from fedspike.errors import InputError
from fedspike.experiment.sweep import Experiment
from fedspike.files import claimed, json_bytes, read_json, write_whole
from fedspike.records import reader
from fedspike.records.events import Event, Finished, Skipped, Started, Trained
from fedspike.records.schema import RoundRecord

LOOK_EVERY_S, ASK_EVERY_S = 0.2, 5.0
ENDED = "finished"


def register(folder: FleetFolder) -> dict[str, int]:
    """Let in the nodes whose public keys are in server/keys, no others; node -> its number in Flower.

    Flower's command line does this for one node, and takes seconds; here all are done at once.
    """
    file = folder.server / "registered.json"
    registered = read_json(file, fix=f"restore {file}") if file.exists() else {}
    keys = {path.stem: path for path in sorted((folder.server / "keys").glob("*.pub"))}
    if registered.keys() == keys.keys():
        return registered
    from flwr.cli.supernode.register import try_load_public_key
    from flwr.proto.control_pb2 import RegisterNodeRequest, UnregisterNodeRequest

    with connected(folder) as server:
        for name in sorted(registered.keys() - keys.keys()):
            server.UnregisterNode(UnregisterNodeRequest(node_id=registered.pop(name)))
            write_whole(file, json_bytes(registered), folder.path)
        for name in sorted(keys.keys() - registered.keys()):
            key = try_load_public_key(keys[name])
            answer = server.RegisterNode(RegisterNodeRequest(public_key=key, name=name))
            registered[name] = int(answer.node_id)
            write_whole(file, json_bytes(registered), folder.path)
    return registered


@contextmanager
def connected(folder: FleetFolder) -> Iterator[Any]:
    """The server's control interface, as Flower's command line uses it. InputError where it refuses."""
    import httpx
    from flwr.supercore.control import ControlHttpClient
    from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor

    authority = (folder.server / AUTHORITY).read_bytes()
    version = RuntimeVersionHttpInterceptor(component_name="flwr CLI")
    address = f"127.0.0.1:{folder.settings.port}"
    client = ControlHttpClient.from_server_address(address, False, authority, [version])
    try:
        yield client
    except httpx.HTTPError as error:
        answer = error.response.text if isinstance(error, httpx.HTTPStatusError) else error
        raise InputError(
            f"the server at {address}: {answer}",
            expected="a server that runs and agrees",
            fix=f"fedspike fleet server {folder.path}",
        ) from error
    finally:
        client.close()


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
        if state(folder) != ENDED:
            ask(folder, "stop", str(run_id(folder)))  # its process ended with the server before
        _start(folder)
        return True


def _start(folder: FleetFolder) -> None:
    answer = ask(folder, "run", str(folder.path / "app"))
    write_whole(_run_file(folder), json_bytes({"run-id": int(answer["run-id"])}), folder.path)


def run_id(folder: FleetFolder) -> int | None:
    """Flower's number of the training, if it was started."""
    file = _run_file(folder)
    return int(read_json(file, fix=f"delete {file}")["run-id"]) if file.exists() else None


def state(folder: FleetFolder) -> str:
    """What Flower says of the training: "running", "finished", ...; "" before it was started."""
    number = run_id(folder)
    if number is None:
        return ""
    (run,) = ask(folder, "list", "--run-id", str(number))["runs"]
    return str(run["status"]).partition(":")[0]


def status(folder: FleetFolder) -> dict[str, Any]:
    """The training in Flower's word, the rounds of each run, and the nodes, which are online or not."""
    listed = ask(folder, "supernode", "list", "--verbose")["nodes"]
    names = {str(number): name for name, number in register(folder).items()}
    return {
        "training": state(folder),
        "rounds": {
            run.name: len(_records(folder.run / run.name / "rounds.jsonl"))
            for run in folder.experiment.runs
        },
        "nodes": {names[n["node-id"]]: n["status"] for n in listed if n["node-id"] in names},
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
    asked_at = time.monotonic()
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
            if time.monotonic() - asked_at > ASK_EVERY_S:
                _demand_running(folder, say)
                asked_at = time.monotonic()
            time.sleep(LOOK_EVERY_S)
        summary = reader.run(home)
        assert summary is not None  # it was there a moment ago
        yield Finished(run.name, summary) if finished >= 0 else Skipped(run.name, summary)
    while not _stored(folder, len(experiment.runs)):
        time.sleep(LOOK_EVERY_S)


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
    content = file.read_bytes()
    return reader.decode_rounds(content[: content.rfind(b"\n") + 1], file)


def _run_file(folder: FleetFolder) -> Path:
    return folder.server / "run.json"
