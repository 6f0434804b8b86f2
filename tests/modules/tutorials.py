"""Modules such as the tutorials of snnTorch and SpikingJelly build, written anew, without FedSpike."""

from typing import Any

import snntorch
import torch
from snntorch import surrogate
from spikingjelly.activation_based import functional, neuron
from torch import Tensor, nn

GRADIENT = surrogate.fast_sigmoid(slope=25)


def leaky(**more: Any) -> snntorch.Leaky:
    return snntorch.Leaky(beta=0.9, threshold=0.3, spike_grad=GRADIENT, init_hidden=True, **more)


class ConvAverage(nn.Module):
    """Convolutions and mean pools, membranes inside: one time step a call."""

    pool: Any = nn.AvgPool2d

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            *(nn.Conv2d(1, 4, 5, stride=2), self.pool(2), leaky()),
            *(nn.Conv2d(4, 6, 3), self.pool(2), leaky()),
            *(nn.Flatten(), nn.Linear(24, 10), leaky(output=True)),
        )

    def forward(self, x: Tensor) -> Any:
        return self.net(x)


class ConvMaximum(ConvAverage):
    """The same with maxima."""

    pool = nn.MaxPool2d


class PooledFirst(nn.Module):
    """A pool of the input, one of spikes and one of currents, all the same object."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(2)
        self.conv1, self.conv2 = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 6, 3)
        self.lif1, self.lif2, self.lif3 = leaky(), leaky(), leaky()
        self.out = nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        spikes = []
        for now in x:
            one = self.pool(self.lif1(self.conv1(self.pool(now))))
            two = self.lif2(self.pool(self.conv2(one)))
            spikes.append(self.lif3(self.out(two.flatten(1))))
        return torch.stack(spikes)


class Recurrent(nn.Module):
    """Spikes that feed back to all neurons of their layer."""

    def __init__(self, hidden: int = 12) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(784, hidden), nn.Linear(hidden, 10)
        self.lif1 = snntorch.RLeaky(beta=0.8, threshold=0.3, linear_features=hidden)
        self.lif2 = snntorch.Leaky(beta=0.8, threshold=0.3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        (spk1, mem1), mem2 = self.lif1.reset_mem(), self.lif2.reset_mem()
        spikes, membranes = [], []
        for now in x:
            spk1, mem1 = self.lif1(self.fc1(now), spk1, mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            spikes.append(spk2)
            membranes.append(mem2)
        return torch.stack(spikes), torch.stack(membranes)


class Elman(nn.Module):
    """Feedback that is written out."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.back, self.out = nn.Linear(784, 12), nn.Linear(12, 12), nn.Linear(12, 10)
        self.lif1, self.lif2 = leaky(), leaky()

    def forward(self, x: Tensor) -> Tensor:
        fired, spikes = torch.zeros(x.shape[1], 12).to(x), []
        for now in x:
            fired = self.lif1(self.into(now) + self.back(fired))
            spikes.append(self.lif2(self.out(fired)))
        return torch.stack(spikes)


class TwoStates(nn.Module):
    """Synapses with a current of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(784, 12), nn.Linear(12, 10)
        self.lif1 = snntorch.Synaptic(alpha=0.8, beta=0.9, threshold=0.3)
        self.lif2 = snntorch.Synaptic(alpha=0.8, beta=0.9, threshold=0.3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        (syn1, mem1), (syn2, mem2) = self.lif1.reset_mem(), self.lif2.reset_mem()
        spikes, membranes = [], []
        for now in x:
            spk1, syn1, mem1 = self.lif1(self.fc1(now), syn1, mem1)
            spk2, syn2, mem2 = self.lif2(self.fc2(spk1), syn2, mem2)
            spikes.append(spk2)
            membranes.append(mem2)
        return torch.stack(spikes), torch.stack(membranes)


class LearnedBeta(nn.Module):
    """Decays and a threshold that are learned like weights."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(784, 12),
            snntorch.Leaky(torch.rand(12), 0.3, learn_beta=True, init_hidden=True),
            nn.Linear(12, 10),
            snntorch.Leaky(
                0.9, 0.3, learn_beta=True, learn_threshold=True, init_hidden=True, output=True
            ),
        )

    def forward(self, x: Tensor) -> Any:
        return self.net(x)


class OneAxis(nn.Module):
    """Rows of an image as a series of 28 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(28, 6, 5, stride=2, padding=2)
        self.conv2 = nn.Conv1d(6, 6, 3, padding="same", dilation=2, groups=3)
        self.lif1, self.lif2, self.lif3 = leaky(), leaky(), leaky()
        self.out = nn.Linear(84, 10)

    def forward(self, now: Tensor) -> Tensor:
        one = self.lif1(self.conv1(now.squeeze(1)))
        fired: Tensor = self.lif3(self.out(self.lif2(self.conv2(one)).flatten(1)))
        return fired


class Overlapping(nn.Module):
    """Windows that overlap: of currents with a padding, of spikes, and down to one number a channel."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 4, 3, stride=2), nn.Conv2d(4, 6, 3)
        self.of_currents = nn.MaxPool2d(3, stride=2, padding=1)
        self.of_spikes = nn.MaxPool2d((3, 2), stride=1)
        self.of_all = nn.AdaptiveAvgPool2d((1, None))
        self.lif1, self.lif2, self.lif3 = leaky(), leaky(), leaky()
        self.out = nn.Linear(24, 10)

    def forward(self, now: Tensor) -> Tensor:
        one = self.of_spikes(self.lif1(self.of_currents(self.conv1(now))))
        two = self.of_all(self.lif2(self.conv2(one)))
        fired: Tensor = self.lif3(self.out(two.flatten(1)))
        return fired


class Series(nn.Module):
    """Pools over one axis; the second one's windows leave gaps."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv1d(28, 6, 5, padding=2), nn.Conv1d(6, 6, 3)
        self.of_currents, self.of_spikes = nn.AvgPool1d(2), nn.MaxPool1d(2, stride=3)
        self.lif1, self.lif2, self.lif3 = leaky(), leaky(), leaky()
        self.out = nn.Linear(18, 10)

    def forward(self, now: Tensor) -> Tensor:
        one = self.of_spikes(self.lif1(self.of_currents(self.conv1(now.squeeze(1)))))
        fired: Tensor = self.lif3(self.out(self.lif2(self.conv2(one)).flatten(1)))
        return fired


class Residual(nn.Module):
    """Branches that meet as currents, and as spikes."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv1 = nn.Conv2d(1, 4, 3, stride=4), nn.Conv2d(4, 4, 3, padding=1)
        self.conv2, self.out = nn.Conv2d(4, 4, 3, padding=1), nn.Linear(196, 10)
        self.lif1, self.lif2, self.lif3, self.lif4 = leaky(), leaky(), leaky(), leaky()

    def forward(self, now: Tensor) -> Tensor:
        one = self.lif1(self.stem(now))
        two = self.lif2(self.conv1(one) + one)
        three = two + self.lif3(self.conv2(two))
        fired: Tensor = self.lif4(self.out(three.flatten(1)))
        return fired


class Normalised(nn.Module):
    """Batch normalisation by fixed statistics, and by groups of channels; depthwise kernels and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            *(nn.Conv2d(1, 4, 3, stride=2, bias=False), nn.BatchNorm2d(4), leaky()),
            *(nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 6, 1), nn.GroupNorm(2, 6), leaky()),
            *(nn.Dropout(0.5), nn.Flatten(), nn.Linear(726, 10), nn.LayerNorm(10), leaky()),
        ).eval()

    def forward(self, x: Tensor) -> Any:
        return self.net(x)


class Jelly(nn.Module):
    """A layer of SpikingJelly's neurons."""

    def __init__(self, tau: float = 2.0) -> None:
        super().__init__()
        self.layer = nn.Sequential(
            nn.Flatten(), nn.Linear(784, 10, bias=False), neuron.LIFNode(tau, v_threshold=0.2)
        )

    def forward(self, x: Tensor) -> Tensor:
        functional.reset_net(self)
        return torch.stack([self.layer(now) for now in x])


class JellyResidual(nn.Module):
    """SpikingJelly's neurons behind normalisations, in branches that meet."""

    def __init__(self, unnamed: bool = False) -> None:
        super().__init__()
        self.stem, self.norm1 = nn.Conv2d(1, 4, 3, stride=4), nn.GroupNorm(2, 4)
        self.conv, self.norm2 = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4).eval()
        self.out, self.unnamed = nn.Linear(196, 10), unnamed
        self.lif1 = neuron.LIFNode(v_threshold=0.1)
        self.lif2, self.lif3 = neuron.IFNode(v_threshold=0.1), neuron.IFNode(v_threshold=0.1)

    def fired(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x) + ((x > 0).to(x) - torch.sigmoid(x)).detach()

    def forward(self, x: Tensor) -> Tensor:
        functional.reset_net(self)
        spikes = []
        for now in x:
            current = self.norm1(self.stem(now))
            one = self.fired(current) if self.unnamed else self.lif1(current)
            two = one + self.lif2(self.norm2(self.conv(one)))
            spikes.append(self.lif3(self.out(two.flatten(1))))
        return torch.stack(spikes)


class Values(nn.Module):
    """A small residual network of values, normalised by groups."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem, self.conv = nn.Conv2d(1, 4, 3, stride=4), nn.Conv2d(4, 4, 3, padding=1)
        self.norm, self.head = nn.GroupNorm(1, 4), nn.Linear(196, classes)

    def forward(self, x: Tensor) -> Tensor:
        one = torch.relu(self.stem(x))
        scores: Tensor = self.head(torch.relu(one + self.norm(self.conv(one))).flatten(1))
        return scores


class PooledValues(nn.Module):
    """A network of values whose windows overlap."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 4, 3), nn.Linear(676, classes)
        self.of_values = nn.AvgPool2d(4, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(self.of_values(torch.relu(self.conv(x))).flatten(1))
        return scores
