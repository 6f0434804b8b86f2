"""Who is compared: ourselves, and modules of snnTorch, SpikingJelly and torch trained client after client.

Each has `round(number)`, which trains the round's cohort on the same images in the same order and averages,
and `accuracy()` of the global model on the 10,000 test images. All start from the same weights.
"""

from collections.abc import Callable
from typing import Protocol

import torch
from snntorch_loop import SPIKE_COUNT_LOSS, Loss, OneAfterAnother, SnnTorch, started
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import Tensor, nn
from work import BETA, Work

from fedspike import engine
from fedspike.federation.rounds import Round, rounds
from fedspike.networks import Network

MOST_ROUNDS = 10_000  # of a run that a benchmark takes the first ones of


class Rival(Protocol):
    """Whoever trains rounds."""

    def round(self, number: int) -> None: ...

    def accuracy(self) -> float | None: ...


class FedSpike:
    """Ourselves: the simulator, without its evaluation; `compiled=False` is the same in plain torch."""

    def __init__(self, network: Network, work: Work, *, compiled: bool = True) -> None:
        self.network, self.work, self.compiled = network, work, compiled and engine.ACTIVE
        self.last: Round | None = None
        self.run = rounds(work.plan(network, MOST_ROUNDS))  # nothing happens before it is asked

    def round(self, number: int) -> None:
        was_active, engine.ACTIVE = engine.ACTIVE, self.compiled
        self.last = next(self.run)
        engine.ACTIVE = was_active
        assert self.last.number == number

    def accuracy(self) -> float:
        assert self.last
        return self.work.accuracy(self.network, self.last)


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
    loss = nn.functional.cross_entropy if name == "ann" else SPIKE_COUNT_LOSS
    return started(build(work), work), loss


RIVALS: dict[str, Callable[[Work], Rival]] = {
    "fedspike": lambda work: FedSpike(work.snn, work),
    "plain_torch_stacked": lambda work: FedSpike(work.snn, work, compiled=False),
    "spikingjelly": lambda work: OneAfterAnother(*module("spikingjelly", work), work),
    "snntorch": lambda work: OneAfterAnother(*module("snntorch", work), work),
    "ann_fedspike": lambda work: FedSpike(work.ann, work),
    "ann_plain_torch_stacked": lambda work: FedSpike(work.ann, work, compiled=False),
    "ann_loop": lambda work: OneAfterAnother(*module("ann", work), work),
}
