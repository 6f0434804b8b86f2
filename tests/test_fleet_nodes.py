"""Nodes as processes that sleep, are spoilt, are stopped or have no room: `make fleet`."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest

from fedspike.deploy import flower, keys, status
from fedspike.deploy.folder import FleetFolder, NodeFolder
from fedspike.deploy.knocks import CLOCK, STRANGERS, TWICE, UNREGISTERED
from test_fleet import fedspike, records, running, says, text, until

pytestmark = pytest.mark.fleet
GONE = [2, 3]  # the clients of node-1
ASLEEP_S = 25.0  # Flower gives a node up when it has not been heard for 20 s


@dataclass
class Running:
    """A server, two nodes and a training, as processes."""

    home: Path
    logs: Path
    nodes: list[subprocess.Popen[bytes]]

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def records(self) -> list[dict[str, Any]]:
        (name,) = (run.name for run in FleetFolder(self.home).experiment.runs)
        return records(self.home / "run" / name)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(fedspike("fleet", "status", self.home, "--json").stdout)
        return found


@contextmanager
def fleet_of_two(
    folder: Path,
    rounds: int,
    *more: str,
    logs: Path | None = None,
    before: Callable[[Path], None] = lambda _: None,
) -> Iterator[Running]:
    """Two nodes that train; `before` they start, something may be done to the fleet's folder."""
    home, logs = folder / "fleet", logs or folder
    options = ["--set", f"rounds={rounds}", *more]
    port = str(flower.free_port())
    made = fedspike("fleet", "init", home, "fleet", "--nodes", "2", *options, "--port", port)
    assert made.returncode == 0, made.stderr
    before(home)
    with ExitStack() as stack:
        stack.enter_context(running(logs / "server.log", "fleet", "server", home))
        until(lambda: "The server listens" in text(logs / "server.log"), "no server")
        it = Running(home, logs, [])
        for name in ("node-0", "node-1"):
            node = running(it.log(name), "fleet", "node", home / "nodes" / name)
            it.nodes.append(stack.enter_context(node))
        stack.enter_context(running(it.log("run"), "fleet", "run", home))
        yield it


@pytest.mark.parametrize("moment", ["between two rounds", "while it trains"])
def test_a_node_that_slept_comes_back_by_itself(moment: str, tmp_path: Path) -> None:
    """As when the lid of a laptop is shut: its connections are dead, and the server has given it up."""
    long = ["--set", "snn.time_steps=200"] if moment == "while it trains" else []
    with fleet_of_two(tmp_path, 60, *long) as it:
        until(lambda: len(it.records()) >= 1, "no round")
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


SHAPE = {"corrupt": (28, 28), "labels": (28, 28), "shape": (8, 8)}
DATA_REASONS = {
    "corrupt": "client-2.npz",
    "labels": "labels from 0 to 99",
    "shape": "images of shape (8, 8)",
    "missing": "no .npz file in it",
}
SHOWN_WITHIN_S = 10.0
# A node in whose process something is another: what a machine with that fault would run.
AS_IF = """
import sys
import datetime, fedspike.deploy.flower as flower
import flwr.supernode.node_auth_http_interceptor as signing
import fedspike.federation.places.flower.messages as messages
from fedspike.cli import main

class Ahead(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + datetime.timedelta(seconds=1000)

{change}
sys.exit(main(["fleet", "node", sys.argv[1]]))
"""
OTHER_VERSION = AS_IF.format(change="messages.INSTALLED = '0.0.9'")
CLOCK_AHEAD = AS_IF.format(
    change="flower.datetime = Ahead; signing.now = lambda: Ahead.now(datetime.timezone.utc)"
)


def spoil(data: Path, kind: str) -> None:
    """Bad samples in the place of a node's own, in one step each."""
    for file in data.glob("*.npz"):
        file.unlink()
    if kind == "missing":
        return
    partial = data.parent / "partial"
    if kind == "corrupt":
        partial.write_bytes(b"PK no zip")
    else:
        x, y = np.zeros((3, *SHAPE[kind]), np.float32), [0, 1, 99 if kind == "labels" else 2]
        with partial.open("wb") as whole:
            np.savez(whole, x_train=x, y_train=np.array(y), axes="sample height width")
    partial.rename(data / "client-2.npz")


def mend(data: Path, good: dict[str, bytes]) -> None:
    for name, content in good.items():
        (data.parent / name).write_bytes(content)
        (data.parent / name).rename(data / name)


def says_again(log: Path, words: str) -> Callable[[], bool]:
    """Whether the words stand there more often than now."""
    now = text(log).count(words)
    return lambda: text(log).count(words) > now


def seconds_until(true: Callable[[], bool], what: str) -> float:
    began = time.monotonic()
    until(true, what, SHOWN_WITHIN_S)
    return time.monotonic() - began


@contextmanager
def as_if(code: str, node: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A node whose process is changed, ended at the end by its process id."""
    with log.open("ab") as output:
        command = [sys.executable, "-c", code, str(node)]
        program = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            yield program
        finally:
            program.terminate()
            program.wait(60)


def test_every_reason_shows_in_time_where_somebody_can_mend_it(tmp_path: Path) -> None:
    """Of data and version: on the node, in run, in status, and once they trained in the record."""
    good: dict[str, bytes] = {}

    def spoilt_from_the_start(home: Path) -> None:
        data = home / "nodes" / "node-1" / "data"
        good.update({file.name: file.read_bytes() for file in data.glob("*.npz")})
        spoil(data, "corrupt")

    with fleet_of_two(tmp_path, 500, before=spoilt_from_the_start) as it:
        data, run, own = it.home / "nodes" / "node-1" / "data", it.log("run"), it.log("node-1")

        def in_status(words: str) -> bool:
            (node,) = (one for one in it.status()["nodes"] if one["node"] == "node-1")
            return words in (node["refused"] or "")

        until(lambda: in_status(DATA_REASONS["corrupt"]), "not in status", 120)
        assert f"{DATA_REASONS['corrupt']}: " in text(own)
        for kind in ("labels", "shape", "missing", "corrupt"):
            words, again = DATA_REASONS[kind], says_again(run, DATA_REASONS[kind])
            spoil(data, kind)
            in_run = seconds_until(again, f"{words}: not in run")
            assert says(own, words)
            assert in_status(words)
            print(f"{kind}, before the training: {in_run:.1f} s until run and node say it")
        mend(data, good)
        until(lambda: len(it.records()) >= 1, "it is mended, and nothing begins", 60)
        for kind, words in DATA_REASONS.items():
            until(lambda: it.records()[-1]["missing"] == [], "it is mended, and takes no part", 60)
            before, again = len(it.records()), says_again(run, words)
            spoil(data, kind)

            def recorded(words: str = words, before: int = before) -> bool:
                entries = [node for each in it.records()[before:] for node in each["nodes"]]
                return any(words in (node["error"] or "") for node in entries)

            in_record = seconds_until(recorded, f"{words}: not in the record")
            until(again, "not in run", 5)
            print(f"{kind}, while it trains: {in_record:.1f} s until the record has it")
            mend(data, good)
        it.nodes[1].terminate()
        it.nodes[1].wait(60)
        with as_if(OTHER_VERSION, it.home / "nodes" / "node-1", it.log("other")):
            until(lambda: says(it.log("other"), "takes part at"), "not started", 60)
            words = "the node has fedspike 0.0.9"
            in_run = seconds_until(lambda: says(run, words), "not in run")
            assert any(words in (n["error"] or "") for n in it.records()[-1]["nodes"])
            assert says(it.log("other"), "the server has fedspike")
            print(f"other version: {in_run:.1f} s after it connected")


def test_who_is_kept_out_at_the_door_is_shown_on_both_sides_in_time(tmp_path: Path) -> None:
    """A second node with a key, a wrong clock, an unregistered key: with the fix, and until it ends."""
    with fleet_of_two(tmp_path, 1000) as it:
        until(lambda: len(it.records()) >= 1, "no round")
        run, homes = it.log("run"), it.home / "nodes"
        stranger = copytree(homes / "node-0", tmp_path / "stranger")
        keys.write_private(stranger)
        code = keys.code_of(NodeFolder(stranger).key.public_key())
        admit = f"fedspike fleet admit {it.home} {code}"

        def refused(name: str) -> str:
            # Not by the command, whose start takes seconds.
            nodes = status.read(FleetFolder(it.home)).nodes
            return next((node.refused or "" for node in nodes if node.node == name), "")

        def recorded(name: str, words: str, since: int) -> bool:
            entries = [node for each in it.records()[since:] for node in each["nodes"]]
            return any(n["node"] == name and words in (n["error"] or "") for n in entries)

        def shown(kind: str, log: Path, on_node: str, in_run: str, name: str, words: str) -> None:
            since = len(it.records())
            until(partial(says, log, on_node), f"{kind}: not on the node", 60)
            began = time.monotonic()
            seconds_until(partial(says, run, in_run), f"{kind}: not in run")
            if name != STRANGERS:
                seconds_until(lambda: words in refused(name), f"{kind}: not in status")
            seconds_until(partial(recorded, name, words, since), f"{kind}: not in the record")
            spent = time.monotonic() - began
            print(f"{kind}: on the node, then in run, status and record {spent:.1f} s later")
            assert spent < SHOWN_WITHIN_S

        twin = it.log("twin")
        with running(twin, "fleet", "node", homes / "node-0"):
            name = "node-0 (second)"
            shown("second node", twin, TWICE, f"{name} takes no part: {TWICE}", name, TWICE)
            assert refused("node-0") == ""
            assert TWICE in " ".join(fedspike("fleet", "status", it.home).stdout.split())
        over = f"{name} is not refused any more"
        until(partial(says, run, over), "it is over, and run does not say so", 15)
        unknown = it.log("unknown")
        with running(unknown, "fleet", "node", stranger):
            shown("stranger", unknown, UNREGISTERED, admit, STRANGERS, UNREGISTERED)
            assert [each["code"] for each in it.status()["knocking"]] == [code]
        it.nodes[1].terminate()
        it.nodes[1].wait(60)
        with as_if(CLOCK_AHEAD, homes / "node-1", it.log("late")):
            on_node, in_run = "fix: set the clocks of both", f"node-1 takes no part: {CLOCK}"
            shown("clock", it.log("late"), on_node, in_run, "node-1", CLOCK)
        with running(it.log("mended"), "fleet", "node", homes / "node-1"):
            until(
                lambda: it.records()[-1]["missing"] == [], "its clock is right, and it is out", 60
            )
            until(lambda: refused("node-1") == "", "it takes part, and status refuses it", 15)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A disk of its own, in memory; a test is skipped where that is not allowed."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("only root may mount a disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path) -> None:
    with suppress(OSError), (disk / "filling").open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass


def test_a_server_whose_disk_is_full_says_so_and_goes_on_when_there_is_room(
    tmp_path: Path,
) -> None:
    """Nothing half-written: every line of the rounds is whole, and there is one for each round."""
    with small_disk(tmp_path / "disk", "60m") as disk, fleet_of_two(disk, 12, logs=tmp_path) as it:
        until(lambda: len(it.records()) >= 2, "no rounds")
        run = it.log("run")
        fill(disk)
        words = f"the disk of {it.home} is full"
        in_run = seconds_until(partial(says, run, words), "run does not say so")
        print(f"\n{in_run:.1f} s until run says that the disk is full")
        before = len(it.records())
        time.sleep(5)
        assert len(it.records()) <= before + 1
        (disk / "filling").unlink()
        until(lambda: len(it.records()) == 12, "it does not go on", 120)
        assert [each["round"] for each in it.records()] == list(range(1, 13))
        assert says(it.home / "server" / "training.log", "the disk is full, waiting for room")
        assert all(node.poll() is None for node in it.nodes)
    with small_disk(tmp_path / "other", "20m") as disk:
        home = disk / "fleet"
        port = str(flower.free_port())
        assert fedspike("fleet", "init", home, "fleet", "--nodes", "2", "--port", port).stderr
        fill(disk)
        refused = fedspike("fleet", "server", home)
        assert refused.returncode == 2
        assert f"the disk of {home} is full" in refused.stderr


def test_a_node_that_is_stopped_in_the_middle_of_training_leaves_at_once(tmp_path: Path) -> None:
    """With a shell's exit code and a good-bye: the round does not wait until the server misses it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # or those started here ignore it
    with fleet_of_two(tmp_path, 500, "--set", "snn.time_steps=300") as it:
        for node, number in ((1, signal.SIGINT), (0, signal.SIGTERM)):
            program, log = it.nodes[node], it.log(f"node-{node}")
            again = says_again(log, "asked to train")
            until(again, "not asked", 120)
            began = time.monotonic()
            os.kill(program.pid, number)
            program.wait(30)
            left = time.monotonic() - began
            until(partial(is_offline, it, f"node-{node}"), "no good-bye", 10)
            print(f"\n{number.name}: left {left:.1f} s later")
            assert program.returncode == 128 + number
            assert "Traceback" not in text(log)
            assert left < 5


def is_offline(it: Running, name: str) -> bool:
    return [n["online"] for n in it.status()["nodes"] if n["node"] == name] == [False]
