"""Server and nodes as processes on loopback, with TLS and node keys, beside the simulator: `make fleet`.

The first test writes runs/fleet, which stays; the others work elsewhere.
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from shutil import copy, copytree, rmtree
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from fedspike.cli.fleet import QUIET
from fedspike.deploy import control
from fedspike.deploy.door import REVOKED
from fedspike.deploy.folder import FleetFolder
from fedspike.deploy.knocks import UNREGISTERED
from fedspike.experiment import sweep
from replaying import replayed

pytestmark = pytest.mark.fleet
FEDSPIKE = Path(sys.executable).parent / "fedspike"
ROOT = Path(__file__).parents[1]
MOST_S = 900.0
OWN = """
name = "own"
network = "mine.py:Net"
rounds = 3
[data]
kind = "fashion-mnist-sample"
[fleet]
clients = 4
samples_per_round = 48
[learner]
batch_size = 8
[snn]
time_steps = 5
[Net]
input = "spikes"
shape = [784]
in_turn = true
"""


def fedspike(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [FEDSPIKE, *words], capture_output=True, text=True, timeout=MOST_S, cwd=ROOT
    )


@contextmanager
def running(log: Path, *words: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    """A command in the background, ended at the end by its process id."""
    with log.open("ab") as output:
        program = subprocess.Popen([FEDSPIKE, *words], stdout=output, stderr=output, cwd=ROOT)
        try:
            yield program
        finally:
            if program.poll() is None:
                program.terminate()
                program.wait(60)


def until(true: Callable[[], bool], what: str, within_s: float = 300.0) -> None:
    end = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.1)


def kill(program: subprocess.Popen[bytes]) -> None:
    """SIGKILL to a command and to what it started, by their ids; nobody can say good-bye."""
    children = Path(f"/proc/{program.pid}/task/{program.pid}/children").read_text().split()
    for process in (program.pid, *map(int, children)):
        os.kill(process, signal.SIGKILL)
    program.wait(60)


def records(home: Path) -> list[dict[str, Any]]:
    file = home / "rounds.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def says(log: Path, words: str) -> bool:
    return words in text(log)


def text(file: Path) -> str:
    return file.read_text(errors="replace") if file.exists() else ""


def test_a_fleet_of_four_is_its_simulation(tmp_path: Path) -> None:
    """The founding network, 3 classes per node, 5 rounds: the same spikes, and weights within 1e-5."""
    output = ROOT / "runs" / "fleet"
    if output.exists():
        rmtree(output)
    done = fedspike("fleet", "local", "4", "fleet", "--output", output)
    assert done.returncode == 0, done.stderr
    assert fedspike("run", "fleet", "--output", tmp_path / "simulated").returncode == 0
    (name,) = (run.name for run in sweep.read("fleet").runs)
    ours, simulated = output / "run" / name, tmp_path / "simulated" / name
    one, other = load_file(ours / "model.safetensors"), load_file(simulated / "model.safetensors")
    assert one.keys() == other.keys()
    differences = {key: float((one[key] - other[key]).abs().max()) for key in one}
    assert max(differences.values()) <= 1e-5, differences
    for real, thought in zip(records(ours), records(simulated), strict=True):
        for key in ("activity", "tested", "accuracy", "clients", "uplink_bytes", "downlink_bytes"):
            assert real[key] == thought[key], key
        assert {entry["node"] for entry in real["nodes"]} == {f"node-{i}" for i in range(4)}
    for file in ("summary.json", "report.html"):
        copy(output / "run" / file, output / file)
    seconds = [record["seconds"] for record in records(ours)]
    print(f"\nlargest difference of a weight: {max(differences.values())}")
    for part in seconds[0]:
        print(f"{part}: {np.median([each[part] for each in seconds]):.2f} s a round (median)")


def demand_replayed(
    home: Path, experiment: sweep.Experiment, shards: Sequence[np.ndarray] | None = None
) -> None:
    """The model is, bit for bit, that of a simulation with the same clients in each round."""
    (run,) = experiment.runs
    plan = run.plan.loaded()
    happened = [(record["clients"], record["missing"]) for record in records(home / run.name)]
    expected = replayed(plan, shards or plan.devices().shards, happened).model
    model = load_file(home / run.name / "model.safetensors")
    assert all(model[key].equal(expected[key]) for key in expected)


def test_a_killed_node_is_a_drop_out_and_a_killed_server_goes_on(tmp_path: Path) -> None:
    """SIGKILL to a node in round 2, which comes back, and to the server in a round after it."""
    home, logs = tmp_path / "fleet", tmp_path
    options = ["--set", "rounds=6", "--set", "snn.time_steps=20", "--port", "18471"]
    assert fedspike("fleet", "init", home, "fleet", "--nodes", "4", *options).returncode == 0
    folder = FleetFolder(home)
    (name,) = (run.name for run in folder.experiment.runs)
    nodes = [home / "nodes" / f"node-{i}" for i in range(4)]

    def asked(node: int, round: int) -> Callable[[], bool]:
        return lambda: f"round {round}: asked" in text(logs / f"node-{node}.log")

    def rounds() -> int:
        return len(records(home / "run" / name))

    def serving(started: int) -> Callable[[], bool]:
        return lambda: text(logs / "server.log").count("The server listens") == started

    with (
        running(logs / "node-0.log", "fleet", "node", nodes[0]),
        running(logs / "node-1.log", "fleet", "node", nodes[1]),
        running(logs / "node-2.log", "fleet", "node", nodes[2]),
    ):
        with (
            running(logs / "server.log", "fleet", "server", home) as server,
            running(logs / "node-3.log", "fleet", "node", nodes[3]) as victim,
        ):
            until(serving(1), "the server did not start")
            with running(logs / "run.log", "fleet", "run", home):
                until(asked(3, 2), "round 2 did not begin")
                kill(victim)
                until(lambda: rounds() >= 2, "round 2 did not end without the node")
            until(asked(0, 3), "round 3 did not begin")
            kill(server)
        before = rounds()
        with (
            running(logs / "server.log", "fleet", "server", home),
            running(logs / "node-3.log", "fleet", "node", nodes[3]),
        ):
            until(serving(2), "the server did not start again")
            assert "The training that was going on goes on" in text(logs / "server.log")
            done = fedspike("fleet", "run", home)
            assert done.returncode == 0, done.stderr
    found = records(home / "run" / name)
    assert [record["round"] for record in found] == [1, 2, 3, 4, 5, 6]
    assert before == 2
    missing = {record["round"]: record["missing"] for record in found}
    print(f"\nmissing in each round: {missing}")
    assert missing[1] == []
    assert missing[2] == [3]
    assert missing[6] == []  # it came back
    demand_replayed(home / "run", folder.experiment)


def test_a_fleet_begins_with_two_and_goes_on_with_who_comes(tmp_path: Path) -> None:
    """Four seats and data of their own: a third joins, one leaves and comes back, one never comes."""
    home, logs = tmp_path / "fleet", tmp_path
    options = ["--set", "rounds=40", "--set", "algorithm.kind=scaffold", "--port", "18475"]
    options += ["--set", "optimiser.kind=sgd", "--set", "optimiser.learning_rate=0.05"]
    made = fedspike("fleet", "init", home, "fleet", "--own-data", "--nodes", "4", *options)
    assert made.returncode == 0, made.stderr
    experiment = FleetFolder(home).experiment
    (run,) = experiment.runs
    dataset = run.plan.loaded().data
    shards = [np.arange(500 * client, 500 * client + 200 + 50 * client) for client in range(4)]
    for client, shard in enumerate(shards):
        x, y = dataset.x_train[shard], dataset.y_train[shard]
        np.savez(tmp_path / f"mine-{client}.npz", x_train=x, y_train=y, axes="sample height width")

    def node(client: int) -> Any:
        folder, data = home / "nodes" / f"node-{client}", tmp_path / f"mine-{client}.npz"
        return running(logs / f"node-{client}.log", "fleet", "node", folder, "--data", data)

    def newest(key: str) -> list[int]:
        found = records(home / "run" / run.name)
        return sorted(found[-1][key]) if found else []

    with (
        running(logs / "server.log", "fleet", "server", home),
        node(0),
        ExitStack() as third,
    ):
        until(lambda: "The server listens" in text(logs / "server.log"), "the server did not start")
        with running(logs / "run.log", "fleet", "run", home, "--at-least", "2") as watching:
            waiting = "1 of 4 clients are there; the training begins when 2 are"
            until(partial(says, logs / "run.log", waiting), "it does not say who is there")
            with node(1):
                until(lambda: len(records(home / "run" / run.name)) >= 2, "round 2 did not end")
                third.enter_context(node(2))
                until(lambda: newest("clients") == [0, 1, 2], "the third did not join")
            until(lambda: newest("missing") == [1], "the second did not leave")
            with node(1):
                until(lambda: newest("clients") == [0, 1, 2], "the second did not come back")
                assert watching.wait(MOST_S) == 0, text(logs / "run.log")
    happened = [(sorted(r["clients"]), r["missing"]) for r in records(home / "run" / run.name)]
    steps = [happened[0]] + [two for one, two in pairwise(happened) if one != two]
    print(f"\nclients and missing: {steps}")
    assert steps == [([0, 1], []), ([0, 1, 2], []), ([0, 2], [1]), ([0, 1, 2], [])]
    assert happened[1] == happened[0]  # the third came in round 3 at the earliest
    demand_replayed(home / "run", experiment, shards)


def test_two_nodes_that_host_ten_clients_are_one_machine(tmp_path: Path) -> None:
    """Stopped once in between, as `fedspike fleet stop` does, and looked at with `status` and `logs`."""
    home, logs = tmp_path / "fleet", tmp_path
    options = ["--set", "rounds=8", "--set", "fleet.clients=10"]
    made = fedspike("fleet", "init", home, "fleet", "--nodes", "2", *options, "--port", "18473")
    assert made.returncode == 0, made.stderr
    (name,) = (run.name for run in FleetFolder(home).experiment.runs)
    with (
        running(logs / "server.log", "fleet", "server", home),
        running(logs / "node-0.log", "fleet", "node", home / "nodes" / "node-0"),
        running(logs / "node-1.log", "fleet", "node", home / "nodes" / "node-1"),
    ):
        until(lambda: "The server listens" in text(logs / "server.log"), "the server did not start")
        with running(logs / "run.log", "fleet", "run", home):
            until(lambda: len(records(home / "run" / name)) >= 1, "round 1 did not end")
        status = json.loads(fedspike("fleet", "status", home, "--json").stdout)
        assert status["training"] == "running"
        assert [node["node"] for node in status["nodes"]] == ["node-0", "node-1"]
        assert all(node["online"] and node["seconds_ago"] < 20 for node in status["nodes"])
        assert all(node["samples_per_second"] > 0 for node in status["nodes"])
        stopped = fedspike("fleet", "stop", home)
        assert stopped.returncode == 0, stopped.stderr
        said = fedspike("fleet", "logs", home)
        assert f"{name} round 1: accuracy" in said.stdout + said.stderr
        done = fedspike("fleet", "run", home)
        assert done.returncode == 0, done.stderr
    simulated = tmp_path / "simulated"
    assert fedspike("run", "fleet", *options, "--output", simulated).returncode == 0
    ours, theirs = records(home / "run" / name), records(simulated / name)
    assert [one["activity"] for one in ours] == [other["activity"] for other in theirs]
    model = load_file(home / "run" / name / "model.safetensors")
    expected = load_file(simulated / name / "model.safetensors")
    differences = {key: float((model[key] - expected[key]).abs().max()) for key in expected}
    assert max(differences.values()) <= 1e-5, differences
    print(f"\nlargest difference of a weight: {max(differences.values())}")


def test_a_module_of_ones_own_is_trained_where_its_file_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The simulation's model, to the hash, on nodes whose folders lie elsewhere."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # torch adds up in as many parts as it has threads
    own, home, logs = tmp_path / "mine.py", tmp_path / "fleet", tmp_path
    copy(ROOT / "tests" / "modules" / "usual.py", own)
    file, simulated = tmp_path / "own.toml", tmp_path / "simulated"
    file.write_text(OWN)
    assert fedspike("run", file, "--use", own, "--output", simulated).returncode == 0
    init = ("fleet", "init", home, file, "--use", own, "--nodes", "2", "--port", "18476")
    made = fedspike(*init)
    assert made.returncode == 0, made.stderr
    own.unlink()  # each folder has what it needs
    (name,) = (run.name for run in FleetFolder(home).experiment.runs)
    nodes = [home / "nodes" / f"node-{i}" for i in (0, 1)]
    devices = [node.rename(tmp_path / node.name) for node in nodes]
    with (
        running(logs / "server.log", "fleet", "server", home),
        running(logs / "node-0.log", "fleet", "node", devices[0]),
        running(logs / "node-1.log", "fleet", "node", devices[1]),
    ):
        until(lambda: "The server listens" in text(logs / "server.log"), "the server did not start")
        done = fedspike("fleet", "run", home)
        assert done.returncode == 0, done.stderr
    models = [
        json.loads((folder / name / "summary.json").read_text())["model_sha256"]
        for folder in (home / "run", simulated)
    ]
    assert models[0] == models[1]


def test_who_does_not_belong_is_refused(tmp_path: Path) -> None:
    home, logs, port = tmp_path / "fleet", tmp_path, "18472"
    assert fedspike("fleet", "init", home, "fleet", "--nodes", "2", "--port", port).returncode == 0
    assert fedspike("fleet", "init", tmp_path / "other", "fleet", "--nodes", "1").returncode == 0
    (home / "nodes" / "node-1").rename(tmp_path / "removed")
    with running(logs / "server.log", "fleet", "server", home):
        until(lambda: "The server listens" in text(logs / "server.log"), "the server did not start")

        with pytest.raises(ConnectionError):  # no TLS: a plain request gets no answer
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10)

        wrong = copytree(tmp_path / "other" / "nodes" / "node-0", tmp_path / "wrong-ca")
        config = (home / "nodes" / "node-0" / "node.toml").read_text()
        (wrong / "node.toml").write_text(config)
        refused = fedspike("fleet", "node", wrong)
        assert refused.returncode == 2
        assert "is not this fleet's server" in refused.stderr

        copy(home / "server" / "ca.crt", wrong / "ca.crt")  # now the right authority, another key
        (home / "server" / "nodes" / "node-1.toml").unlink()  # a node is removed
        assert {node.name for node in control.register(FleetFolder(home)).values()} == {"node-0"}
        unregistered, removed = logs / "unregistered.log", logs / "removed.log"
        with (
            running(unregistered, "fleet", "node", wrong) as one,
            running(removed, "fleet", "node", tmp_path / "removed") as other,
        ):
            words = ((unregistered, 0, UNREGISTERED), (removed, 1, REVOKED))
            for log, node, why in words:
                reason = f"node-{node} is not let in: {why}"
                until(partial(says, log, QUIET), "the node did not start")
                until(partial(says, log, reason), "no reason", 10)
            assert one.poll() is other.poll() is None  # they may be let in later

    (home / "server" / "server.crt").unlink()  # a server without TLS does not start
    refused = fedspike("fleet", "server", home)
    assert refused.returncode == 2
    assert "without TLS and a token there is no fleet" in refused.stderr
