"""snnTorch's network, and the loop in which every client trains its own copy of a module in turn.

As the founding study did it and as the tutorials of these libraries write it; on any device of torch.
"""

import copy
from collections.abc import Callable
from functools import cache

import snntorch
import snntorch.functional
import snntorch.spikegen
import torch
from torch import Tensor, nn
from work import BETA, SEED, Work

Loss = Callable[[Tensor, Tensor], Tensor]


class SnnTorch(nn.Module):
    """As the study did, and as snnTorch's tutorials do."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self.hidden, self.output = nn.Linear(784, work.width), nn.Linear(work.width, 10)
        self.lif1, self.lif2 = snntorch.Leaky(beta=BETA), snntorch.Leaky(beta=BETA)
        self.time_steps = work.time_steps

    def forward(self, x: Tensor) -> Tensor:
        membrane1, membrane2 = self.lif1.reset_mem(), self.lif2.reset_mem()
        recorded = []
        for spikes in snntorch.spikegen.rate(x, num_steps=self.time_steps):
            spikes, membrane1 = self.lif1(self.hidden(spikes), membrane1)
            spikes, membrane2 = self.lif2(self.output(spikes), membrane2)
            recorded.append(spikes)
        return torch.stack(recorded)


SPIKE_COUNT_LOSS: Loss = snntorch.functional.mse_count_loss(correct_rate=0.8, incorrect_rate=0.2)


def started(model: nn.Module, work: Work) -> nn.Module:
    """The module, with the weights that everybody starts from."""
    with torch.no_grad():
        for parameter, start in zip(model.parameters(), work.start().values(), strict=True):
            parameter.copy_(start)
    return model


class OneAfterAnother:
    """A round in which every client trains its own copy of the module in turn."""

    def __init__(self, model: nn.Module, loss: Loss, work: Work, device: str = "cpu") -> None:
        self.model, self.loss, self.work, self.device = model.to(device), loss, work, device

    def round(self, number: int) -> None:
        trained = []
        for client in self.work.devices.cohort(SEED, number):
            model = copy.deepcopy(self.model)
            train(model, self.loss, self.work, number, client, self.device)
            trained.append(list(model.parameters()))
        with torch.no_grad():
            for mean, *ours in zip(self.model.parameters(), *trained, strict=True):
                mean.copy_(torch.stack(ours).mean(0))

    def accuracy(self) -> float:
        return accuracy(self.model, self.work, self.device)


def train(
    model: nn.Module, loss: Loss, work: Work, number: int, client: int, device: str = "cpu"
) -> None:
    """What a client does in a round; images, labels and their order lie on the device."""
    images, labels = train_set(work, device)
    shown = torch.from_numpy(work.devices.shown(SEED, number, client, 1)).to(device)
    # On a GPU the fused form is the rival's best setting; on a CPU torch's own choice is.
    fused = None if device == "cpu" else True
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3, fused=fused)
    for batch in shown.split(work.batch):
        optimiser.zero_grad()
        loss(model(images[batch]), labels[batch]).backward()
        optimiser.step()


@cache
def train_set(work: Work, device: str) -> tuple[Tensor, ...]:
    return tuple(part.to(device) for part in work.train_set)


def accuracy(model: nn.Module, work: Work, device: str = "cpu") -> float:
    """Share of the test images whose label has the highest score, or the most spikes."""
    correct = 0
    with torch.no_grad():
        for batch in zip(*(part.split(500) for part in work.test_set), strict=True):
            images, labels = (part.to(device) for part in batch)
            scores = model(images)
            scores = scores.sum(0) if scores.ndim == 3 else scores
            correct += int((scores.argmax(1) == labels).sum())
    return correct / len(work.test_set[1])
