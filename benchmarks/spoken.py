"""One federated round of the strongest peer's study of spoken digits, by ourselves and by SpikingJelly.

HPC-SNN's setting (github.com/RA-Nayreed/HPC-SNN, configs/federated/fedavg.yaml, models/lif_2layer.yaml):
140 channels in 100 steps of 10 ms, LIF 256-256 (tau 10.05 ms, threshold 1, soft reset, arctangent of 5),
dropout 0.4, 20 clients of label-Dirichlet 0.5, 10 a round, one epoch, Adam 1e-3, batch 32, gradients cut to
length 1. It has SHD's 8,156 recordings; here as many are drawn, so that everybody has them: three tracks
through the channels for each of 20 words, moved and slowed at random. SpikingJelly has its own frames, dense
and in memory, its multi-step mode, as it is and compiled; the better one counts. The ANN sees events counted.

    .venv-bench/bin/python benchmarks/engine.py --only spoken
"""

import copy
import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from spikingjelly.activation_based import functional, neuron, surrogate
from torch import Tensor, nn
from torch._dynamo.exc import TorchDynamoException
from turns import best, ratios, take_turns

from fedspike.data import Dataset
from fedspike.data.partition import Dirichlet
from fedspike.data.recordings import packed, spikes, unpacked
from fedspike.federation.devices import Fleet
from fedspike.federation.evaluation import Examined, predict
from fedspike.federation.plan import Plan
from fedspike.federation.rounds import Round, rounds
from fedspike.learning import Backpropagation
from fedspike.networks import ANN, SNN, FullyConnected, Network
from fedspike.parts.codes import AsRecorded
from fedspike.parts.losses import CrossEntropy
from fedspike.parts.neurons import LIF
from fedspike.parts.optimisers import Adam
from fedspike.parts.read_outs import MembraneSum
from fedspike.parts.surrogates import Atan
from fedspike.randomness import stream

STEPS, CHANNELS, WORDS, HIDDEN = 100, 140, 20, (256, 256)
TAU, ALPHA, DROPOUT, CLIP, BATCH, SEED = 1.005, 5.0, 0.4, 1.0, 32, 0


def drawn(samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Recordings [sample, channel, word] and their labels."""
    tracks = np.random.default_rng(0).uniform(15, 125, (WORDS, 3, 6))
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, WORDS, samples)
    channel, recordings = np.arange(CHANNELS), []
    for label in labels:
        steps = int(rng.uniform(50, 90))
        at = np.linspace(0, 5, steps)
        moved = tracks[label] + rng.normal(0, 4, (3, 6)) + rng.normal(0, 5)
        track = np.stack([np.interp(at, np.arange(6), one) for one in moved])  # [3, step]
        near = np.exp(-(((channel - track[..., None]) / 9) ** 2)).max(0)  # [step, channel]
        shown = np.zeros((STEPS, CHANNELS), bool)
        first = int(rng.integers(0, STEPS - steps))
        shown[first : first + steps] = rng.random(near.shape) < 0.9 * near
        recordings.append(packed(shown[None])[0])
    return np.stack(recordings), labels


@dataclass(frozen=True)
class Spoken:
    """The work of a round."""

    train: int = 8156
    test: int = 2264
    clients: int = 20
    cohort: int = 10

    @cached_property
    def data(self) -> Dataset:
        (x, y), (a, b) = drawn(self.train, 1), drawn(self.test, 2)
        made = {"name": "drawn", "source": "drawn", "sha256": {}, "classes": WORDS}
        return Dataset(x_train=x, y_train=y, x_test=a, y_test=b, time_steps=STEPS, **made)  # type: ignore[arg-type]

    def plan(self, network: Network) -> Plan:
        one = {"x_test": self.data.x_test[:1], "y_test": self.data.y_test[:1]}
        fields = {k: v for k, v in vars(self.data).items() if k != "counted"}
        return Plan(
            network=network,
            data=Dataset(**{**fields, **one}),
            partition=Dirichlet(0.5, min_samples=BATCH),
            fleet=Fleet(self.clients, self.cohort),
            learner=Backpropagation(
                CrossEntropy(), Adam(1e-3), batch_size=BATCH, dropout=DROPOUT, clip=CLIP
            ),
            rounds=10_000,
            seed=SEED,
        )


# U = tau v of SpikingJelly's v <- v + (I - v) / tau, so that the same currents cross the same threshold.
SPIKING = SNN(
    STEPS,
    FullyConnected(HIDDEN),
    AsRecorded(),
    LIF(1 - 1 / TAU, TAU, "soft", surrogate=Atan(ALPHA / TAU)),
    MembraneSum(),
)


class Ours:
    """The simulator, without its evaluation."""

    def __init__(self, work: Spoken, network: Network) -> None:
        self.work, self.network, self.last = work, network, None
        self.run = rounds(work.plan(network))

    last: Round | None

    def round(self, number: int) -> None:
        self.last = next(self.run)
        assert self.last.number == number

    def accuracy(self) -> float:
        assert self.last
        data = self.work.plan(self.network).data
        data = self.work.data if data.time_steps else self.work.data.counted
        x, y = torch.from_numpy(data.x_test).flatten(1), torch.from_numpy(data.y_test)
        sized, state = self.network.over(data.shape, WORDS), self.last.state
        examined = Examined(sized, lambda: state.model, torch.arange(len(y)))
        predicted, _ = predict([examined], (x, y), SEED, self.last.number)
        return float((predicted == y).float().mean())


class SpikingJelly(nn.Module):
    """Layer after layer, each in all time steps: [time, sample, channel] to scores."""

    def __init__(self) -> None:
        super().__init__()
        sizes = (CHANNELS, *HIDDEN, WORDS)
        self.linear = nn.ModuleList(nn.Linear(*size) for size in itertools.pairwise(sizes))
        self.lif = nn.ModuleList(
            neuron.LIFNode(
                tau=TAU,
                v_reset=None,
                surrogate_function=surrogate.ATan(alpha=ALPHA),
                detach_reset=True,
                step_mode="m",
            )
            for _ in HIDDEN
        )
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x: Tensor) -> Tensor:
        *hidden, last = self.linear
        for linear, lif in zip(hidden, self.lif, strict=True):
            x = self.dropout(lif(linear(x)))
        return last(x).sum(0)


class Loop:
    """Client after client, one module for all, as HPC-SNN trains on one device."""

    def __init__(self, work: Spoken, *, compiled: bool = False) -> None:
        plan = work.plan(SPIKING)
        self.work, self.devices, self.module = work, plan.devices(), SpikingJelly()
        start = plan.sized_network().init(stream(SEED, "init"))
        self.write([*start.values()])
        self.scores = torch.compile(self.module) if compiled else self.module
        self.x, self.y = self.frames(work.data.x_train), torch.from_numpy(work.data.y_train)

    @staticmethod
    def frames(recordings: np.ndarray) -> Tensor:
        return torch.from_numpy(unpacked(recordings, STEPS)).float()

    def write(self, weights: list[Tensor]) -> None:
        with torch.no_grad():
            for parameter, weight in zip(self.module.parameters(), weights, strict=True):
                parameter.copy_(weight)

    def round(self, number: int) -> None:
        start = [copy.deepcopy(weight.detach()) for weight in self.module.parameters()]
        self.module.train()
        trained, sizes = [], []
        for client in self.devices.cohort(SEED, number):
            self.write(start)
            shown = torch.from_numpy(self.devices.shown(SEED, number, client, 1))
            optimiser = torch.optim.Adam(self.module.parameters(), lr=1e-3)
            for batch in shown.split(BATCH):
                functional.reset_net(self.module)
                optimiser.zero_grad()
                scores = self.scores(self.x[batch].movedim(1, 0))
                nn.functional.cross_entropy(scores, self.y[batch]).backward()
                nn.utils.clip_grad_norm_(self.module.parameters(), CLIP)
                optimiser.step()
            trained.append([weight.detach().clone() for weight in self.module.parameters()])
            sizes.append(len(shown))
        shares = torch.tensor(sizes) / sum(sizes)
        self.write(
            [torch.tensordot(shares, torch.stack(own), 1) for own in zip(*trained, strict=True)]
        )

    def accuracy(self) -> float:
        self.module.eval()
        x, y = self.frames(self.work.data.x_test), torch.from_numpy(self.work.data.y_test)
        right = 0
        with torch.no_grad():
            for some, labels in zip(x.split(200), y.split(200), strict=True):
                functional.reset_net(self.module)
                right += int((self.module(some.movedim(1, 0)).argmax(1) == labels).sum())
        return right / len(y)


def measure(repeats: int) -> dict[str, Any]:
    """Everybody's rounds in turn; who cannot be compiled here is left out."""
    work = Spoken()
    rivals = {
        "ann_fedspike": Ours(work, ANN(FullyConnected(HIDDEN))),
        "fedspike": Ours(work, SPIKING),
        "spikingjelly": Loop(work),
        "spikingjelly_compiled": Loop(work, compiled=True),
    }
    seconds = take_turns(rivals, repeats, failures=(TorchDynamoException,))
    found = ratios(seconds)
    fastest = best(seconds, (name for name in seconds if name.startswith("spikingjelly")))
    each = spikes(work.data.x_train).sum() / work.train
    return {
        "work": {
            "cohort": work.cohort,
            "samples": work.train // work.clients,
            "time_steps": STEPS,
            "batch": BATCH,
        },
        "seconds": seconds,
        "accuracy": {name: rivals[name].accuracy() for name in seconds},
        "ratios": found | {"spikingjelly_best": found[fastest]},
        "spikes_per_recording": float(each),
        "packed_mb": work.data.x_train.nbytes / 1e6,
    }
