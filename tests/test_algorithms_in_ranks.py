"""Every algorithm with both networks: however many ranks, threads and parts, in any order, the same bits.

`make ranks`. First with the processes of torchrun: all runs begin with some ranks and threads, stop in the
middle and go on with others. Then in one process: cohorts in parts of every size, and clients that are
trained, and answer, in another order.
"""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice, product
from pathlib import Path
from typing import Any

import msgspec
import pytest
import tomli_w
import torch

import stopping_ranks
from algorithms_example import CASES
from fedspike.algorithms import ALGORITHMS
from fedspike.experiment import document, sweep
from fedspike.federation.order import Answers, Order
from fedspike.federation.places.here import Here, Tasks, train
from fedspike.federation.plan import Plan
from fedspike.federation.rounds import rounds
from fedspike.part import tag
from fedspike.randomness import stream
from fedspike.records.writer import round_record
from running import fingerprints, finish

pytestmark = pytest.mark.thorough

ROUNDS, BEFORE = 4, 2
TOML = f"""\
name = "every"
rounds = {ROUNDS}
[data]
kind = "fashion-mnist-sample"
[partition]
kind = "quantity"
alpha = 1.0
[fleet]
clients = 6
clients_per_round = 5
samples_per_round = 50
dropout = 0.1
speed_spread = 1.0
[architecture]
hidden = [40]
[snn]
time_steps = 4
[read_out]
kind = "membrane"
[learner]
batch_size = 20
[optimiser]
kind = "sgd"
learning_rate = 0.1
"""


def settings(name: str) -> dict[str, Any]:
    """An algorithm's own keys in a file; its rule and its graph are the usual ones."""
    own = msgspec.to_builtins(CASES[name].algorithm)
    return {key: value for key, value in own.items() if not isinstance(value, dict)}


NAMES, NETWORKS = [tag(kind) for kind in ALGORITHMS], ["ann", "snn"]
SWEEP = {"network": NETWORKS, "together": [{"algorithm": settings(name)} for name in NAMES]}
TEXT = TOML + tomli_w.dumps({"sweep": SWEEP})

Way = tuple[int, int]
"""How many ranks, and how many threads each."""
WAYS: Sequence[Way] = ((1, 1), (2, 2), (4, 1), (1, 2), (2, 1), (4, 2))
CHANGES = [*zip(WAYS, (*WAYS[1:], WAYS[0]), strict=True)]  # each begins what the next one ends


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finish(TEXT, tmp_path_factory.mktemp("alone"))


def launched(ranks: int, *words: str | Path) -> None:
    """What torchrun starts so often, which must end well."""
    torchrun = ("-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}")
    command = [sys.executable, *torchrun, *map(str, words)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert ended.returncode == 0, ended.stderr


@pytest.fixture(scope="module")
def plans() -> dict[tuple[str, str], Plan]:
    """By the kinds of network and algorithm."""
    runs = sweep.expand(document.parse(TEXT, "every.toml")).runs
    assert len(runs) == len(NAMES) * len(NETWORKS)
    return {(run.plan.network.kind, run.plan.algorithm.kind): run.plan for run in runs}


@pytest.mark.parametrize(("first", "then"), CHANGES)
def test_ranks_of_torchrun(first: Way, then: Way, alone: Path, tmp_path: Path) -> None:
    file, folder = tmp_path / "every.toml", tmp_path / "out"
    file.write_text(TEXT)
    ranks, threads = first
    launched(ranks, stopping_ranks.__file__, file, folder, str(threads), str(BEFORE))
    journals = sorted(folder.glob("*/rounds.jsonl"))
    assert [path.read_bytes().count(b"\n") for path in journals] == [BEFORE] * len(NAMES) * 2
    assert not fingerprints(folder)
    ranks, threads = then
    launched(ranks, "-m", "fedspike", "run", file, "--output", folder, "--threads", str(threads))
    ours, theirs = fingerprints(folder), fingerprints(alone)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name] != theirs[name]] == []


class Mixed:
    """A place whose clients are trained, and answer, in an order that is drawn."""

    def __init__(self, seed: int) -> None:
        self.chance = stream(seed, "mixed")

    def mixed(self, things: Sequence[Any]) -> list[Any]:
        return [things[i] for i in self.chance.permutation(len(things))]

    def train(self, tasks: Tasks) -> Any:
        """Those with most samples first, as ever: they make the most steps."""
        return train(
            [
                (order, sorted(self.mixed(clients), key=order.site.devices.samples, reverse=True))
                for order, clients in self.mixed(tasks)
            ]
        )

    def work(self, order: Order) -> Answers:
        answers = Here(train=self.train).work(order)
        changed: dict[str, Any] = {
            name: dict(self.mixed([*getattr(answers, name).items()]))
            for name in ("hosts", "activity", "losses", "memories", "spent")
        }
        return replace(answers, replies=self.mixed(answers.replies), **changed)


def told(plan: Plan, place: Any = None) -> list[Any]:
    """All that the first rounds of a plan leave behind, but how long they took."""
    found = []
    for round in islice(rounds(plan, place), BEFORE):
        record = msgspec.structs.replace(round_record(round), seconds={})
        state = {path: tensor.numpy().tobytes() for path, tensor in round.state.tensors().items()}
        found.append((record, state))
    return found


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("network", NETWORKS)
def test_parts_of_every_size_and_any_order(
    network: str, name: str, plans: dict[tuple[str, str], Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plans[network, name]
    usual, before = told(plan), torch.get_num_threads()
    try:
        for at_once, threads in product(range(1, 6), (1, 2, 3)):
            torch.set_num_threads(threads)
            monkeypatch.setattr(
                "fedspike.engine.engines.Engine.clients_at_once", lambda *_, n=at_once: n
            )
            assert told(plan) == usual, (at_once, threads)
            assert told(plan, Mixed(at_once)) == usual, (at_once, threads)
    finally:
        torch.set_num_threads(before)
