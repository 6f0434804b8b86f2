"""The work of a round: which data, how many devices, how large a network. The same for everybody."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fedspike.data import Dataset, load_data
from fedspike.data.partition import IID, Resampled
from fedspike.federation.devices import Devices, Fleet, Given
from fedspike.federation.evaluation import Examined, predict
from fedspike.federation.plan import Plan
from fedspike.federation.rounds import Round
from fedspike.learning import Backpropagation
from fedspike.networks import ANN, SNN, Architecture, FullyConnected, Network, Parameters
from fedspike.parts.codes import Rate
from fedspike.parts.neurons import LIF
from fedspike.randomness import stream

BETA, SEED, SHAPE = 0.9, 0, (28, 28)


@dataclass(frozen=True)
class Work:
    """A round of federated averaging on Fashion-MNIST; the defaults are the founding study's.

    Each round `cohort` of the `clients` train for one epoch with Adam, each on `samples` images in batches of
    `batch`. Shards are disjoint while the 60,000 images last; beyond, every client draws `samples` images
    of its own (`Resampled`). `density` is the mean of all pixels, so the share of inputs that spike at a
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
    def layers(self) -> Architecture:
        return FullyConnected((self.width,))

    @property
    def snn(self) -> SNN:
        return SNN(self.time_steps, self.layers, code=Rate(), neuron=LIF(BETA))

    @property
    def ann(self) -> ANN:
        return ANN(self.layers)

    def start(self) -> Parameters:
        """The weights that everybody starts from."""
        return self.ann.over(SHAPE, 10).init(stream(SEED, "init"))

    @cached_property
    def data(self) -> Dataset:
        data = load_data("fashion-mnist")
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
    def devices(self) -> Devices:
        labels = self.data.y_train
        if self.clients * self.samples <= len(labels):
            shards: Sequence[np.ndarray] = IID()(labels, clients=self.clients, seed=SEED)
        else:
            shards = Resampled(self.samples)(labels, clients=self.clients, seed=SEED)
        return Devices(shards, Fleet(self.clients, self.cohort, self.samples))

    def plan(self, network: Network, rounds: int) -> Plan:
        """So many rounds of a network, tested on one image, so that we train and do little else."""
        one = {"x_test": self.data.x_test[:1], "y_test": self.data.y_test[:1]}
        return Plan(
            network=network,
            data=Dataset(**{**vars(self.data), **one}),
            partition=Given(self.devices.shards),
            fleet=self.devices.fleet,
            learner=Backpropagation(batch_size=self.batch),
            rounds=rounds,
            seed=SEED,
        )

    def accuracy(self, network: Network, after: Round, device: str = "cpu") -> float:
        """Of the global model after a round, on the test images."""
        pixels, labels = (part.to(device) for part in self.test_set)
        every = torch.arange(len(labels))
        tested = Examined(network.over(SHAPE, 10), lambda: after.state.model, every)
        predicted, _ = predict([tested], (pixels, labels), SEED, after.number)
        return float((predicted == labels).float().mean())


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
