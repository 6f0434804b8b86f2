"""Who is compared: ourselves, and modules of snnTorch, SpikingJelly and torch trained client after client.

Each has `round(number)`, which trains the round's cohort on the same images in the same order and averages,
and `accuracy()` of the global model on the 10,000 test images. All start from the same weights.
"""

import copy
from collections.abc import Callable
from typing import Protocol

import snntorch
import snntorch.functional
import snntorch.spikegen
import torch
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import Tensor, nn
from work import BETA, SEED, Work

from fedspike import kernels
from fedspike.algorithms import fedavg
from fedspike.datasets import Dataset
from fedspike.losses import CrossEntropy, SpikeCountMSE
from fedspike.networks import ANN, SNN
from fedspike.simulation import Round, evaluate, simulate
from fedspike.training import LocalTraining

Loss = Callable[[Tensor, Tensor], Tensor]


class Rival(Protocol):
    """Whoever trains rounds."""

    def round(self, number: int) -> None: ...

    def accuracy(self) -> float: ...


class FedSpike:
    """Ourselves: the simulator, without its evaluation; `compiled=False` is the same in plain torch."""

    def __init__(self, network: ANN | SNN, work: Work, *, compiled: bool = True) -> None:
        self.network, self.work, self.compiled = network, work, compiled and kernels.ACTIVE
        spiking = isinstance(network, SNN)
        self.training = LocalTraining(
            SpikeCountMSE(work.time_steps) if spiking else CrossEntropy(), batch_size=work.batch
        )
        # One test image, so that ourselves, too, train and do little else.
        one = {"x_test": work.data.x_test[:1], "y_test": work.data.y_test[:1]}
        self.data = Dataset(**{**vars(work.data), **one})
        self.last: Round | None = None

    def round(self, number: int) -> None:
        was_active, kernels.ACTIVE = kernels.ACTIVE, self.compiled
        self.last = next(
            simulate(
                network=self.network,
                algorithm=fedavg(),
                fleet=self.work.fleet,
                training=self.training,
                dataset=self.data,
                seed=SEED,
                rounds=number,
                state=self.last and self.last.state,
            )
        )
        kernels.ACTIVE = was_active

    def accuracy(self) -> float:
        assert self.last
        model, number = self.last.state.model, self.last.number
        return evaluate(self.network, model, *self.work.test_set, seed=SEED, round=number)


class OneAfterAnother:
    """A round in which every client trains its own copy of the module in turn."""

    def __init__(self, model: nn.Module, loss: Loss, work: Work) -> None:
        self.model, self.loss, self.work = model, loss, work

    def round(self, number: int) -> None:
        trained = []
        for client in self.work.fleet.cohort(SEED, number):
            model = copy.deepcopy(self.model)
            train(model, self.loss, self.work, number, client)
            trained.append(list(model.parameters()))
        with torch.no_grad():
            for mean, *ours in zip(self.model.parameters(), *trained, strict=True):
                mean.copy_(torch.stack(ours).mean(0))

    def accuracy(self) -> float:
        return accuracy(self.model, self.work)


def train(model: nn.Module, loss: Loss, work: Work, number: int, client: int) -> None:
    """What a client does in a round, as the tutorials of these libraries write it."""
    images, labels = work.train_set
    shown = torch.from_numpy(work.fleet.shown(SEED, number, client, 1))
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    for batch in shown.split(work.batch):
        optimiser.zero_grad()
        loss(model(images[batch]), labels[batch]).backward()
        optimiser.step()


def accuracy(model: nn.Module, work: Work) -> float:
    """Share of the test images whose label has the highest score, or the most spikes."""
    correct = 0
    with torch.no_grad():
        for images, labels in zip(*(part.split(500) for part in work.test_set), strict=True):
            scores = model(images)
            scores = scores.sum(0) if scores.ndim == 3 else scores
            correct += int((scores.argmax(1) == labels).sum())
    return correct / len(work.test_set[1])


class SnnTorch(nn.Module):
    """As the study did, and as snnTorch's tutorials do."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self.hidden, self.output = nn.Linear(784, work.width), nn.Linear(work.width, 10)
        self.lif1, self.lif2 = snntorch.Leaky(beta=BETA), snntorch.Leaky(beta=BETA)
        self.time_steps = work.time_steps

    def forward(self, x: Tensor) -> Tensor:
        membrane1, membrane2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        recorded = []
        for spikes in snntorch.spikegen.rate(x, num_steps=self.time_steps):
            spikes, membrane1 = self.lif1(self.hidden(spikes), membrane1)
            spikes, membrane2 = self.lif2(self.output(spikes), membrane2)
            recorded.append(spikes)
        return torch.stack(recorded)


class SpikingJelly(nn.Module):
    """Its multi-step mode: the linear layers see all time steps in one product."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            layer.Linear(784, work.width), self.lif(), layer.Linear(work.width, 10), self.lif()
        )
        self.time_steps = work.time_steps
        functional.set_step_mode(self, "m")

    @staticmethod
    def lif() -> nn.Module:
        # v <- v - v/tau + x with tau = 1/(1 - beta) is our decay; soft reset as in "subtract".
        return neuron.LIFNode(
            tau=1 / (1 - BETA),
            decay_input=False,
            v_reset=None,
            surrogate_function=surrogate.ATan(),
            detach_reset=True,
        )

    def forward(self, x: Tensor) -> Tensor:
        functional.reset_net(self)
        # All steps in one draw; with torch.bernoulli instead, a round took about 1.3 times as long.
        return self.layers((torch.rand(self.time_steps, *x.shape) < x).float())


def multilayer_perceptron(work: Work) -> nn.Module:
    return nn.Sequential(nn.Linear(784, work.width), nn.ReLU(), nn.Linear(work.width, 10))


def module(name: str, work: Work) -> tuple[nn.Module, Loss]:
    """A rival's module, with the weights that everybody starts from, and its loss."""
    build = {"snntorch": SnnTorch, "spikingjelly": SpikingJelly, "ann": multilayer_perceptron}[name]
    model = build(work)
    with torch.no_grad():
        for parameter, start in zip(model.parameters(), work.start().values(), strict=True):
            parameter.copy_(start)
    if name == "ann":
        return model, nn.functional.cross_entropy
    return model, snntorch.functional.mse_count_loss(correct_rate=0.8, incorrect_rate=0.2)


RIVALS: dict[str, Callable[[Work], Rival]] = {
    "fedspike": lambda work: FedSpike(work.snn, work),
    "plain_torch_stacked": lambda work: FedSpike(work.snn, work, compiled=False),
    "spikingjelly": lambda work: OneAfterAnother(*module("spikingjelly", work), work),
    "snntorch": lambda work: OneAfterAnother(*module("snntorch", work), work),
    "ann_fedspike": lambda work: FedSpike(work.ann, work),
    "ann_plain_torch_stacked": lambda work: FedSpike(work.ann, work, compiled=False),
    "ann_loop": lambda work: OneAfterAnother(*module("ann", work), work),
}
