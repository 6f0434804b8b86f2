"""The work of a round: which data, how many devices, how large a network. The same for everybody."""

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fedspike.data import Dataset, load
from fedspike.data.partition import IID
from fedspike.federation.devices import Fleet
from fedspike.networks import ANN, SNN, Architecture, Parameters
from fedspike.parts.codes import Rate
from fedspike.parts.neurons import LIF
from fedspike.randomness import stream

BETA, SEED = 0.9, 0


@dataclass(frozen=True)
class Work:
    """A round of federated averaging on Fashion-MNIST; the defaults are the founding study's.

    Each round `cohort` of the `clients` train for one epoch with Adam, each on `samples` images in batches of
    `batch`. Shards are disjoint while the 60,000 images last; beyond, every client holds its own random
    draw of `samples` images. `density` is the mean of all pixels, so the share of inputs that spike at a
    step; None leaves the images as they are, at 0.286.
    """

    time_steps: int = 50
    width: int = 100
    batch: int = 128
    clients: int = 10
    cohort: int = 10
    samples: int = 2000
    density: float | None = None

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Work":
        return cls(**json.loads(text))

    @property
    def architecture(self) -> Architecture:
        return DenseLayers((784, self.width, 10))

    @property
    def snn(self) -> SNN:
        return SpikingNetwork(
            self.architecture, SNN(self.time_steps, neuron=LIF(BETA), code=Rate())
        )

    @property
    def ann(self) -> ANN:
        return ConventionalNetwork(self.architecture)

    def start(self) -> Parameters:
        """The weights that everybody starts from."""
        return self.architecture.init(stream(SEED, "init"))

    @cached_property
    def data(self) -> Dataset:
        data = load("fashion-mnist")
        if self.density is None:
            return data
        dim(data.x_train, self.density)
        return data

    @cached_property
    def train_set(self) -> tuple[Tensor, Tensor]:
        return torch.from_numpy(self.data.x_train).flatten(1), torch.from_numpy(self.data.y_train)

    @cached_property
    def test_set(self) -> tuple[Tensor, Tensor]:
        return torch.from_numpy(self.data.x_test).flatten(1), torch.from_numpy(self.data.y_test)

    @cached_property
    def fleet(self) -> Fleet:
        labels = self.data.y_train
        if self.clients * self.samples <= len(labels):
            shards = IID()(labels, clients=self.clients, seed=SEED)
        else:
            draw = np.random.default_rng(SEED)
            shards = [
                draw.choice(len(labels), self.samples, replace=False, shuffle=False)
                for _ in range(self.clients)
            ]
        return Fleet(tuple(shards), self.cohort, self.samples)


def dim(images: np.ndarray, density: float) -> None:
    """Give the images the mean `density`, in place: by dimming them, inverted if they are too dark for it."""
    mean = images.mean(dtype=np.float64)
    if density > mean:
        np.subtract(1, images, out=images)
        mean = 1 - mean
    images *= density / mean


def peak_mb(pid: int | str = "self") -> float | None:
    """Most memory that the process ever held at once, in MB; None where the system does not tell.

    Not `ru_maxrss`, in which Linux counts what the parent held before the process was its own.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return None
    lines = [line.split() for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(lines[0][1]) * 1024 / 1e6 if lines else None
