"""What several tests run: code in a new interpreter, a command line for its JSON, a tiny experiment."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedspike import data
from fedspike.cli import main
from fedspike.data import Dataset
from fedspike.experiment import document, sweep
from fedspike.experiment.run import load, perform
from fedspike.experiment.training import Training
from fedspike.federation.devices import Devices, Fleet, Given
from fedspike.federation.plan import Plan
from fedspike.federation.rounds import Round, rounds
from fedspike.federation.state import State
from fedspike.networks import Network
from fedspike.parts.losses import Loss
from fedspike.records.seal import with_seal

FEDSPIKE = [sys.executable, "-c", "import sys; from fedspike.cli import main; sys.exit(main())"]
# An experiment that trains a small network of each kind in a second.
BOTH_NETWORKS = """\
name = "both"
rounds = 2
[data]
kind = "fashion-mnist-sample"
[fleet]
clients = 2
samples_per_round = 20
[architecture]
hidden = [4]
[snn]
time_steps = 3
[sweep]
network = ["ann", "snn"]
"""


def python(code: str) -> subprocess.CompletedProcess[str]:
    """Code in an interpreter of its own, and what it printed."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def asked(told: pytest.CaptureFixture[str], *words: str | Path) -> dict[str, Any]:
    """What `fedspike WORDS --json` prints, in this process."""
    assert main([*map(str, words), "--json"]) == 0
    found: dict[str, Any] = json.loads(told.readouterr().out)
    return found


def resealed(values: dict[str, Any]) -> bytes:
    """A summary that somebody changed, as JSON, and sealed again."""
    unsealed = {key: value for key, value in values.items() if key != "seal"} | {"seal": ""}
    return with_seal(json.dumps(unsealed).encode())


def events(experiment: sweep.Experiment, folder: Path, *, measure: bool = False) -> Iterator[Any]:
    """What happens, one by one, while an experiment is done; what it would say is not heard."""
    dataset = load(experiment, lambda _: None)
    return perform(experiment, dataset, folder, "fedspike run", Training(measure=measure))


def finish(toml: str, folder: Path) -> Path:
    """The folder, with all runs of the experiment in a TOML text."""
    for _ in events(sweep.expand(document.parse(toml, "tiny.toml")), folder):
        pass
    return folder


def without_seconds(record: dict[str, Any]) -> dict[str, Any]:
    """Of a round's line and of a run's summary all but times, and the hashes of files that hold some."""
    return {k: v for k, v in record.items() if k not in ("seconds", "files", "seal")}


def fingerprints(folder: Path) -> dict[str, tuple[str, str, str]]:
    """run -> SHA-256 of its weights, of its round records and of its summary."""
    found = {}
    for path in sorted(folder.glob("*/summary.json")):
        run = path.parent
        lines = (run / "rounds.jsonl").read_text().splitlines()
        records = [without_seconds(json.loads(line)) for line in lines]
        assert [record["round"] for record in records] == list(range(1, len(lines) + 1))
        summary = without_seconds(json.loads(path.read_text()))
        weights = (run / "model.safetensors").read_bytes()
        texts = (weights, json.dumps(records).encode(), json.dumps(summary).encode())
        one, two, three = (hashlib.sha256(text).hexdigest() for text in texts)
        found[run.name] = (one, two, three)
    return found


def sample(tested: int) -> Dataset:
    """The sample of Fashion-MNIST with so few of its images to test on."""
    whole = data.load_data("fashion-mnist-sample")
    return replace(whole, x_test=whole.x_test[:tested], y_test=whole.y_test[:tested])


def devices(shards: Sequence[np.ndarray], **settings: Any) -> Devices:
    """Clients that hold these samples."""
    return Devices(tuple(shards), Fleet(clients=len(shards), **settings))


class Sized(Network):
    """A network that runs, in the place of its description."""

    network: Any

    @property
    def usual_loss(self) -> Loss:
        loss: Loss = self.network.usual_loss
        return loss

    def demand_loss(self, loss: Loss) -> None:
        loss.demand_scores(self.network.read_out, self.network.time_steps)

    def over(self, shape: tuple[int, ...], classes: int) -> Any:
        del shape, classes
        return self.network


def plan_for(
    *, network: Any, devices: Devices, dataset: Any, training: Any, **settings: Any
) -> Plan:
    """A plan of a network that runs, on clients that hold these samples; `settings` are a plan's."""
    return Plan(
        network=Sized(network),
        data=dataset,
        partition=Given(devices.shards),
        fleet=devices.fleet,
        learner=training,
        **settings,
    )


def simulate(
    *,
    state: State | None = None,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    **settings: Any,
) -> Iterator[Round]:
    """The rounds of such a plan."""
    return rounds(plan_for(**settings), None, state, device=device, dtype=dtype)


def endless(folder: Path, name: str) -> "subprocess.Popen[bytes]":
    """`fedspike run` of small networks for 100,000 rounds, into a folder of this name in the `folder`."""
    file = folder / "endless.toml"
    if not file.exists():
        file.write_text(BOTH_NETWORKS.replace("rounds = 2", "rounds = 100_000"))
    words = [*FEDSPIKE, "run", file.name, "--threads", "1", "--output", name]
    return subprocess.Popen(words, cwd=folder, stderr=subprocess.DEVNULL)
