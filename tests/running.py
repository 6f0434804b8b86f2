"""What several tests run: code in a new interpreter, a command line for its JSON, a tiny experiment."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedspike.cli import main
from fedspike.experiment import document, sweep
from fedspike.experiment.run import Training, load, perform
from fedspike.federation.devices import Devices, Fleet, Given
from fedspike.federation.order import Place
from fedspike.federation.plan import Plan
from fedspike.federation.rounds import Round, State, rounds


def python(code: str) -> subprocess.CompletedProcess[str]:
    """Code in an interpreter of its own, and what it printed."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def asked(told: pytest.CaptureFixture[str], *words: str | Path) -> dict[str, Any]:
    """What `fedspike WORDS --json` prints, in this process."""
    assert main([*map(str, words), "--json"]) == 0
    found: dict[str, Any] = json.loads(told.readouterr().out)
    return found


def events(experiment: sweep.Experiment, folder: Path, *, measure: bool = False) -> Iterator[Any]:
    """What happens, one by one, while an experiment is done; what it would say is not heard."""
    dataset = load(experiment, lambda _: None)
    training = Training(measure=measure)
    return perform(experiment, dataset, folder, "fedspike run", training)


def finish(toml: str, folder: Path) -> Path:
    """The folder, with all runs of the experiment in a TOML text."""
    for _ in events(sweep.expand(document.parse(toml, "tiny.toml")), folder):
        pass
    return folder


def devices(shards: Sequence[np.ndarray], **settings: Any) -> Devices:
    """Clients that hold these samples."""
    return Devices(tuple(shards), Fleet(clients=len(shards), **settings))


@dataclass(frozen=True)
class Sized:
    """A network that runs, in the place of its description."""

    network: Any

    def over(self, shape: tuple[int, ...], classes: int) -> Any:
        del shape, classes
        return self.network


def simulate(
    *,
    network: Any,
    devices: Devices,
    dataset: Any,
    training: Any,
    state: State | None = None,
    place: Place | None = None,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    **settings: Any,
) -> Iterator[Round]:
    """The rounds of a network that runs, on clients that hold these samples; `settings` are a plan's."""
    plan = Plan(
        network=Sized(network),
        data=dataset,
        partition=Given(devices.shards),
        fleet=devices.fleet,
        learner=training,
        **settings,
    )
    return rounds(plan, place, state, device=device, dtype=dtype)
