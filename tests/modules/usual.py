"""Own networks as people write them: nothing of FedSpike in the file."""

from itertools import pairwise
from typing import Any

import snntorch
import torch
from torch import Tensor, nn


class Net(nn.Module):
    """Two layers of leaky neurons, time inside: after snnTorch's tutorial 5."""

    def __init__(self, hidden: int = 20, beta: float = 0.9) -> None:
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(784, hidden), snntorch.Leaky(beta=beta)
        self.fc2, self.lif2 = nn.Linear(hidden, 10), snntorch.Leaky(beta=beta)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mem1, mem2 = self.lif1.reset_mem(), self.lif2.reset_mem()
        spikes, membranes = [], []
        for now in x:
            spk1, mem1 = self.lif1(self.fc1(now), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            spikes.append(spk2)
            membranes.append(mem2)
        return torch.stack(spikes), torch.stack(membranes)


class Block(nn.Module):
    """A part of others, whose arguments no file can say."""

    def __init__(self, inside: Any, code: nn.Module) -> None:
        super().__init__()
        self.inside = nn.Sequential(inside, code)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.inside(x)
        return made


class Layers(nn.Module):
    """Pixels to scores, with a list of sizes and the data's classes."""

    def __init__(self, classes: int, hidden: list[int] = [12], act: Any = nn.ReLU) -> None:  # noqa: B006
        super().__init__()
        sizes = [784] + hidden  # noqa: RUF005 (which takes no tuple)
        blocks = [Block(nn.Linear(a, b), act()) for a, b in pairwise(sizes)]
        self.steps = nn.Sequential(nn.Flatten(), *blocks, nn.Linear(sizes[-1], classes))

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.steps(x)
        return made
