"""A fleet on loopback with one slow node: time to an accuracy, waiting for all and with FedBuff.

    python benchmarks/slow_node.py --slower 10

A server and four nodes, real processes with TLS and keys. One of them is held (SIGSTOP) for nine tenths of
the time, so that everything in it takes ten times as long. Both ways of learning take turns, each time in a
new folder; the time is that from the first order to the end of the first round that reaches the target. One
way is FedAvg, the other one FedBuff with K = `--buffer`. Each training is then done again in the simulator,
with the same answers in the same rounds: its model must be the same to the bit. Prints a line for each run,
and the medians; writes runs/bench/slow_node.json.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from fedspike.deploy.flower import free_port
from fedspike.deploy.folder import FleetFolder
from fedspike.federation.places.here import Here
from fedspike.federation.rounds import rounds
from fedspike.records import reader
from fedspike.records.schema import RoundRecord

NODES, SLICE_S = 4, 0.5
EXPERIMENT = str(Path(__file__).with_suffix(".toml"))
FEDSPIKE = [sys.executable, "-m", "fedspike"]


@contextmanager
def started(log: Path, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """One of fedspike's commands in the background, on one thread; ended at the end."""
    around = {**os.environ, "OMP_NUM_THREADS": "1"}
    with log.open("ab") as output:
        program = subprocess.Popen([*FEDSPIKE, *words], stdout=output, stderr=output, env=around)
        try:
            yield program
        finally:
            program.send_signal(signal.SIGCONT)
            program.terminate()
            program.wait(60)


@contextmanager
def held(program: subprocess.Popen[bytes], slower: float) -> Iterator[None]:
    """Meanwhile the program runs in a slice of each half second alone."""
    over = threading.Event()

    def hold() -> None:
        while not over.wait(SLICE_S / slower):
            program.send_signal(signal.SIGSTOP)
            over.wait(SLICE_S * (1 - 1 / slower))
            program.send_signal(signal.SIGCONT)

    thread = threading.Thread(target=hold)
    if slower > 1:
        thread.start()
    try:
        yield
    finally:
        over.set()
        if slower > 1:
            thread.join()


def training(folder: Path, settings: list[str], slower: float) -> list[RoundRecord]:
    """The rounds of a training with one slow node."""
    shutil.rmtree(folder, ignore_errors=True)
    home = folder / "fleet"
    sets = [word for setting in settings for word in ("--set", setting)]
    made = ["fleet", "init", str(home), EXPERIMENT, "--nodes", str(NODES)]
    made += ["--port", str(free_port())]
    folder.mkdir(parents=True)
    subprocess.run([*FEDSPIKE, *made, *sets], check=True, capture_output=True)
    with ExitStack() as stack:
        stack.enter_context(started(folder / "server.log", "fleet", "server", str(home)))
        nodes = [
            stack.enter_context(started(folder / f"{node.name}.log", "fleet", "node", str(node)))
            for node in sorted((home / "nodes").iterdir())
        ]
        log = folder / "server.log"
        while b"The server listens" not in log.read_bytes():
            time.sleep(0.2)
        time.sleep(10)  # all are connected; from now on one is slow
        stack.enter_context(held(nodes[-1], slower))
        subprocess.run([*FEDSPIKE, "fleet", "run", str(home)], check=True, capture_output=True)
    (run,) = reader.with_rounds(home / "run")
    return run[1]


def demand_replayed(folder: Path, records: list[RoundRecord]) -> None:
    """Do the training again in the simulator, with the same arrivals, and compare the models."""
    (run,) = FleetFolder(folder / "fleet").experiment.runs
    came = {record.round: record.clients for record in records}
    *_, last = rounds(run.plan, Here(lambda order: came[order.round]))
    model = load_file(folder / "fleet" / "run" / run.name / "model.safetensors")
    assert all(torch.equal(weight, model[name]) for name, weight in last.state.model.items())


def time_to(target: float, records: list[RoundRecord]) -> tuple[float, int] | None:
    """Seconds and rounds until a test reached the target; None if none did."""
    spent = 0.0
    for record in records:
        spent += sum(record.seconds.values())
        if record.accuracy >= target:
            return spent, record.round
    return None


def main() -> None:
    """Both ways in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slower", type=float, default=10.0)
    parser.add_argument("--target", type=float, default=0.8)
    parser.add_argument("--buffer", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], help="as of fedspike")
    parser.add_argument("--output", type=Path, default=Path("runs/bench"))
    options = parser.parse_args()
    common = [*options.set, f"target_accuracy={options.target}"]
    ways = {
        "FedAvg, waits for all": [f"rounds={options.rounds}"],
        f"FedBuff, K = {options.buffer}": [
            f"rounds={options.rounds * NODES // options.buffer}",
            'algorithm.kind="fedbuff"',
            f"algorithm.buffer={options.buffer}",
        ],
    }
    found: dict[str, list[Any]] = {way: [] for way in ways}
    for repeat in range(options.repeats):
        for way, settings in ways.items():
            folder = options.output / "slow_node"
            records = training(folder, common + settings, options.slower)
            demand_replayed(folder, records)
            reached = time_to(options.target, records)
            best = max(record.accuracy for record in records)
            found[way].append(reached)
            print(
                f"{repeat}: {way}: {reached or 'not reached'}, best accuracy {best:.1%}", flush=True
            )
    for way, runs in found.items():
        if all(runs):
            print(f"{way}: median {statistics.median(seconds for seconds, _ in runs):.1f} s")
    (options.output / "slow_node.json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
