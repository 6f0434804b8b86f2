"""Nodes as processes that sleep, are spoilt, are stopped or have no room: `make fleet`."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fedspike.deploy import flower
from fedspike.deploy.folder import FleetFolder
from test_fleet import fedspike, records, running, text, until

pytestmark = pytest.mark.fleet
GONE = [2, 3]  # the clients of node-1
ASLEEP_S = 25.0  # Flower gives a node up when it has not been heard for 20 s


@dataclass
class Running:
    """A server, two nodes and a training, as processes."""

    home: Path
    nodes: list[subprocess.Popen[bytes]]

    def log(self, name: str) -> Path:
        return self.home.parent / f"{name}.log"

    def records(self) -> list[dict[str, Any]]:
        (name,) = (run.name for run in FleetFolder(self.home).experiment.runs)
        return records(self.home / "run" / name)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(fedspike("fleet", "status", self.home, "--json").stdout)
        return found


@contextmanager
def fleet_of_two(folder: Path, rounds: int, *more: str) -> Iterator[Running]:
    home = folder / "fleet"
    options = ["--set", f"rounds={rounds}", *more]
    port = str(flower.free_port())
    made = fedspike("fleet", "init", home, "fleet", "--nodes", "2", *options, "--port", port)
    assert made.returncode == 0, made.stderr
    with ExitStack() as stack:
        stack.enter_context(running(folder / "server.log", "fleet", "server", home))
        until(lambda: "The server listens" in text(folder / "server.log"), "no server")
        it = Running(home, [])
        for name in ("node-0", "node-1"):
            node = running(it.log(name), "fleet", "node", home / "nodes" / name)
            it.nodes.append(stack.enter_context(node))
        stack.enter_context(running(it.log("run"), "fleet", "run", home))
        until(lambda: len(it.records()) >= 1, "no round")
        yield it


@pytest.mark.parametrize("moment", ["between two rounds", "while it trains"])
def test_a_node_that_slept_comes_back_by_itself(moment: str, tmp_path: Path) -> None:
    """As when the lid of a laptop is shut: its connections are dead, and the server has given it up."""
    long = ["--set", "snn.time_steps=200"] if moment == "while it trains" else []
    with fleet_of_two(tmp_path, 60, *long) as it:
        node, log = it.nodes[1], it.log("node-1")
        if moment == "while it trains":
            before = text(log).count("asked to train")
            until(lambda: text(log).count("asked to train") > before, "not asked")
        os.kill(node.pid, signal.SIGSTOP)
        try:
            time.sleep(ASLEEP_S)
            until(lambda: it.records()[-1]["missing"] == GONE, "the round waited for it", 60)
            before = len(it.records())
        finally:
            os.kill(node.pid, signal.SIGCONT)
        awake = time.monotonic()
        until(lambda: it.records()[-1]["missing"] == [], "it did not come back", 60)
        back = time.monotonic() - awake
        print(f"\n{moment}: takes part {back:.1f} s after it woke up\n{text(log)}")
        assert node.poll() is None
        done = len(it.records())
        until(lambda: len(it.records()) > done + 2, "the training does not go on", 60)
        assert all(each["missing"] == [] for each in it.records()[done:])
        assert back < 10
