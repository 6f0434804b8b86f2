"""The commands of docs/fleet.md from nothing, on machines of their own: namespaces with an address each."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from fedspike.deploy import door, knocks
from fedspike.deploy.folder import FleetFolder
from fedspike.deploy.headers import TOKEN_HEADER
from test_fleet import demand_replayed

pytestmark = pytest.mark.fleet
ROOT = Path(__file__).parents[1]
FEDSPIKE = Path(sys.executable).parent / "fedspike"
NETWORK, SERVER = "10.77.0", "10.77.0.1"
MOST_S = 300.0
SMALL = ("--set", "snn.time_steps=10")
CUT_S, BACK_WITHIN_S = 40.0, 10.0  # Flower gives a node up when it has not been heard for 20 s
ASK = """
import ssl, sys, urllib.error, urllib.request
authority, token_header, token, *urls = sys.argv[1:]
context = ssl.create_default_context(cafile=authority)
for url in urls:
    asked = urllib.request.Request(url, headers={token_header: token})
    try:
        print(urllib.request.urlopen(asked, timeout=20, context=context).status)
    except urllib.error.HTTPError as error:
        print(error.code)
"""


@dataclass(frozen=True)
class Machine:
    """A namespace with an address, and a folder in which its user is."""

    namespace: str
    home: Path

    def words(self, *words: str | Path) -> list[str]:
        return ["ip", "netns", "exec", self.namespace, *map(str, words)]

    def run(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.words(*words), cwd=self.home, capture_output=True, text=True, timeout=MOST_S
        )

    @contextmanager
    def running(self, log: str, *words: str | Path) -> Iterator[subprocess.Popen[bytes]]:
        """A command in the background, ended at the end by its process id."""
        with (self.home / log).open("ab") as output:
            program = subprocess.Popen(
                self.words(*words), cwd=self.home, stdout=output, stderr=output
            )
            try:
                yield program
            finally:
                program.terminate()
                program.wait(60)

    def said(self, log: str) -> str:
        file = self.home / log
        return file.read_text(errors="replace") if file.exists() else ""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=20)


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[list[Machine]]:
    """A server and two devices, which reach each other through a bridge and nobody else."""
    names = [f"fedspike{os.getpid()}-{number}" for number in range(3)]
    try:
        ip("netns", "add", names[0])
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no network namespaces for who runs the tests: {error}")
    with ExitStack() as stack:
        stack.callback(ip, "netns", "del", names[0])
        ip("-n", names[0], "link", "set", "lo", "up")
        ip("-n", names[0], "link", "add", "bridge", "type", "bridge")
        ip("-n", names[0], "addr", "add", f"{SERVER}/24", "dev", "bridge")
        ip("-n", names[0], "link", "set", "bridge", "up")
        for number, name in enumerate(names[1:], 2):
            ip("netns", "add", name)
            stack.callback(ip, "netns", "del", name)
            ip("-n", name, "link", "set", "lo", "up")
            port = f"to-{number}"
            ip("-n", names[0], "link", "add", port, "type", "veth", "peer", "eth0", "netns", name)
            ip("-n", names[0], "link", "set", port, "master", "bridge")
            ip("-n", names[0], "link", "set", port, "up")
            ip("-n", name, "addr", "add", f"{NETWORK}.{number}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
        homes = [tmp_path / name for name in ("server", "device-0", "device-1")]
        for home in homes:
            home.mkdir()
        yield [Machine(*pair) for pair in zip(names, homes, strict=True)]


def until(true: Callable[[], bool], what: Callable[[], str]) -> None:
    end = time.monotonic() + MOST_S
    while not true():
        assert time.monotonic() < end, what()
        time.sleep(0.5)


def documented(action: str, examples: Mapping[str, str] = MappingProxyType({})) -> list[str | Path]:
    """The words of docs/fleet.md's first `fedspike fleet ACTION ...`, for the fedspike that is tested.

    In the place of its `examples` stand the names that are theirs here.
    """
    text = (ROOT / "docs" / "fleet.md").read_text(encoding="utf-8")
    command = re.findall(rf"^fedspike fleet {action} .*$", text, re.MULTILINE)[0]
    words = shlex.split(command)[1:]
    assert examples.keys() <= {*words}, command
    return [FEDSPIKE, *(examples.get(word, word) for word in words)]


def logs(machines: Sequence[Machine]) -> str:
    found = [file for machine in machines for file in machine.home.glob("*.log")]
    return "\n".join(file.read_text(errors="replace") for file in found)


def rounds(folder: Path) -> list[dict[str, Any]]:
    """The records of a fleet's one run, as far as they are written."""
    files = [*folder.glob("run/*/rounds.jsonl")]
    lines = files[0].read_text().splitlines(keepends=True) if files else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def nodes_of(record: Mapping[str, Any]) -> set[str]:
    return {node["node"] for node in record["nodes"]}


def test_the_readmes_fleet_runs_on_machines_of_its_own(machines: list[Machine]) -> None:
    """Devices train, reach nothing but what is for them, and need nothing when the certificate is renewed."""
    server, *devices = machines
    log = partial(logs, machines)
    init = documented("init", {"server.example": SERVER, "4": "2"})
    made = server.run(*init, *SMALL, "--set", "rounds=2")
    assert made.returncode == 0, made.stderr
    folder = server.home / "my-fleet"
    for number, device in enumerate(devices):
        shutil.move(folder / "nodes" / f"node-{number}", device.home)

    def online() -> bool:
        asked = server.run(FEDSPIKE, "fleet", "status", "my-fleet", "--json")
        assert asked.returncode == 0, asked.stderr
        states = [node["online"] for node in json.loads(asked.stdout)["nodes"]]
        return states == [True] * len(devices)

    def takes_part_again() -> bool:
        return all(device.said("node.log").count("takes part at") > 1 for device in devices)

    with ExitStack() as stack:
        for number, device in enumerate(devices):
            node = documented("node", {"node-0": f"node-{number}"})
            stack.enter_context(device.running("node.log", *node))
        with server.running("server.log", *documented("server")):
            until(online, log)
            token = (folder / "server" / "token").read_text()
            own = f"https://{SERVER}:8000"
            owners = [
                f"{own}/v1/control/list-runs",
                f"{own}/docs",
                f"{own}/v1/runtime/acquire-task",
            ]
            asking = ["node-0/ca.crt", TOKEN_HEADER, token, f"{own}/health", *owners]
            asked = devices[0].run(sys.executable, "-c", ASK, *asking)
            assert asked.stdout.split() == ["200", "403", "403", "403"], asked.stderr
            nobody = ["my-fleet/server/ca.crt", TOKEN_HEADER, token, "https://127.0.0.1:8000/docs"]
            assert server.run(sys.executable, "-c", ASK, *nobody).stdout.split() == ["200"]
            trained = server.run(*documented("run"))
            assert trained.returncode == 0, trained.stderr + log()
        assert [nodes_of(record) for record in rounds(folder)] == [{"node-0", "node-1"}] * 2
        assert (folder / "run" / "report.html").exists()

        renewed = server.run(FEDSPIKE, "fleet", "renew", "my-fleet", "--host", f"{NETWORK}.9")
        assert renewed.returncode == 0, renewed.stderr
        with server.running("server.log", *documented("server")):
            until(takes_part_again, log)


def test_the_readmes_devices_enrol_from_an_invitation_alone(machines: list[Machine]) -> None:
    """Each has its own samples and makes its own key; the owner lets both in, and keeps one out later."""
    server, *devices = machines
    log = partial(logs, machines)
    init = documented("init my-fleet fleet --own-data", {"server.example": SERVER})
    made = server.run(*init, *SMALL, "--set", "rounds=12")
    assert made.returncode == 0, made.stderr
    folder = server.home / "my-fleet"
    (run,) = FleetFolder(folder).experiment.runs
    samples = run.plan.loaded().data
    codes = {}
    with ExitStack() as stack:
        stack.enter_context(server.running("server.log", *documented("server")))
        for number, (name, device) in enumerate(zip(("kitchen", "hall"), devices, strict=True)):
            shutil.copy(folder / "invitation.toml", device.home)
            own = slice(200 * number, 200 * (number + 1))
            x, y = samples.x_train[own], samples.y_train[own]
            np.savez(device.home / "mine.npz", x_train=x, y_train=y, axes="sample height width")
            enrolled = device.run(*documented("enrol", {"kitchen": name}))
            assert enrolled.returncode == 0, enrolled.stderr
            (codes[name],) = re.findall(r"^Its code: +(\S+)$", enrolled.stderr, re.MULTILINE)
            node = documented("node kitchen", {"kitchen": name})
            stack.enter_context(device.running("node.log", *node))
        until(lambda: all(knocks.UNREGISTERED in each.said("node.log") for each in devices), log)
        for name, code in codes.items():
            admitted = server.run(*documented("admit", {"7KQF-2M9X-RD4T": code}))
            assert f"{name} is let in" in admitted.stderr
        training = server.running("run.log", *documented("run"), "--at-least", "2")
        watching = stack.enter_context(training)
        until(lambda: len(rounds(folder)) >= 2 or watching.poll() is not None, log)
        revoked = server.run(FEDSPIKE, "fleet", "revoke", "my-fleet", "kitchen")
        assert "The key of kitchen is revoked" in revoked.stderr, log()
        until(lambda: door.REVOKED in devices[0].said("node.log"), log)
        assert watching.wait(MOST_S) == 0, log()
    trained = [nodes_of(record) for record in rounds(folder)]
    assert trained[:2] == [{"kitchen", "hall"}] * 2
    assert trained[-1] == {"hall"}
    assert rounds(folder)[-1]["clients"] == [1]
    assert door.REVOKED not in devices[1].said("node.log")
    assert (folder / "run" / "report.html").exists()


@contextmanager
def hole(server: Machine, device: int) -> Iterator[None]:
    """What is sent to this device, and by it, is lost without a word."""
    ip("-n", server.namespace, "link", "set", f"to-{device}", "nomaster")
    try:
        yield
    finally:
        ip("-n", server.namespace, "link", "set", f"to-{device}", "master", "bridge")


@contextmanager
def pulled(server: Machine, device: int) -> Iterator[None]:
    """The cable, which the device notices."""
    ip("-n", server.namespace, "link", "set", f"to-{device}", "down")
    try:
        yield
    finally:
        ip("-n", server.namespace, "link", "set", f"to-{device}", "up")


@pytest.mark.parametrize(
    ("cut", "steps"), [(hole, 10), (hole, 100), (pulled, 10)], ids=["hole", "at work", "pulled"]
)
def test_a_node_comes_back_when_its_network_does(
    machines: list[Machine], cut: Callable[[Machine, int], Any], steps: int
) -> None:
    """The others go on without it, its late answer changes no bit, and what it says is heard again soon."""
    server, *devices = machines
    log = partial(logs, machines)
    init = documented("init", {"server.example": SERVER, "4": "2"})
    rounds_of = ("--set", "rounds=60", "--set", f"snn.time_steps={steps}")
    made = server.run(*init, *rounds_of)
    assert made.returncode == 0, made.stderr
    folder = server.home / "my-fleet"
    for number, device in enumerate(devices):
        shutil.move(folder / "nodes" / f"node-{number}", device.home)

    def took_part(record: Mapping[str, Any], name: str) -> bool:
        return any(node["node"] == name and node["error"] is None for node in record["nodes"])

    def of_node_1() -> dict[str, Any]:
        asked = server.run(FEDSPIKE, "fleet", "status", "my-fleet", "--json")
        assert asked.returncode == 0, asked.stderr
        (found,) = [node for node in json.loads(asked.stdout)["nodes"] if node["node"] == "node-1"]
        return dict(found)

    with ExitStack() as stack:
        stack.enter_context(server.running("server.log", *documented("server")))
        until(lambda: "The server listens" in server.said("server.log"), log)
        for number, device in enumerate(devices):
            node = documented("node", {"node-0": f"node-{number}"})
            stack.enter_context(device.running("node.log", *node))
        training = stack.enter_context(server.running("run.log", *documented("run")))
        until(lambda: len(rounds(folder)) >= 2, log)
        asked = devices[1].said("node.log").count("asked to train")
        until(lambda: devices[1].said("node.log").count("asked to train") > asked, log)
        with cut(server, 3):
            began = time.monotonic()
            until(lambda: not took_part(rounds(folder)[-1], "node-1"), log)
            given_up = time.monotonic() - began
            alone = len(rounds(folder))
            status = of_node_1()
            time.sleep(max(0.0, CUT_S - (time.monotonic() - began)))
            before = len(rounds(folder))
        there, asked = time.monotonic(), devices[1].said("node.log").count("asked to train")
        until(lambda: devices[1].said("node.log").count("asked to train") > asked, log)
        back = time.monotonic() - there  # with what was left of the others' round
        assert training.wait(MOST_S) == 0, log()
    found = rounds(folder)
    errors = [node for record in found for node in record["nodes"] if node["error"] is not None]
    print(
        f"\ngiven up after {given_up:.1f} s, back {back:.1f} s after the network; {errors} {status}"
    )
    print(devices[1].said("node.log"))
    assert before > alone
    assert status["online"] is False
    assert all(took_part(record, "node-0") for record in found)
    assert all(took_part(record, "node-1") for record in (*found[:2], *found[-3:]))
    assert {node["node"] for node in errors} == {"node-1"}
    assert status["last_failure"]["reason"] == errors[0]["error"]
    demand_replayed(folder / "run", FleetFolder(folder).experiment)
    assert back < BACK_WITHIN_S
