"""One federated round of a small convolutional network, by ourselves and one module after another.

10 clients x 200 samples of the sample that ships with the package, a small VGG (`Convolutional`), batch 32,
T = 10, Adam, training only; as `engine.py`, in turn in one process after a warm-up round each. snnTorch steps
through time. SpikingJelly convolves all steps at once, in four ways of which the best counts: in torch's
layout or channels last, as it is or compiled. The bound is oneDNN's bare calls for the convolutions alone.

    .venv-bench/bin/python benchmarks/engine.py --only convolution
"""

from collections.abc import Callable
from dataclasses import asdict
from functools import cached_property
from typing import Any

import snntorch
import torch
from rivals import FedSpike, Rival, SpikingJelly
from snntorch_loop import SPIKE_COUNT_LOSS, OneAfterAnother, started, train
from spikingjelly.activation_based import functional, layer
from torch import Tensor, nn
from torch._dynamo.exc import TorchDynamoException
from turns import best, duration, ratios, take_turns
from work import BETA, SEED, Work

from fedspike.data import Dataset, load_data
from fedspike.networks import Convolutional

WORK = {"time_steps": 10, "batch": 32, "samples": 200}


class ConvolutionalWork(Work):
    """The same round with images and a small VGG."""

    @property
    def layers(self) -> Convolutional:
        return Convolutional()

    @cached_property
    def data(self) -> Dataset:
        return load_data("fashion-mnist-sample")


def layers(*behind: nn.Module, conv: Any, pool: Any, linear: Any, flatten: Any) -> list[nn.Module]:
    """The modules of the default `Convolutional`, with a module `behind` each that has weights."""
    one, two, three, *four = behind
    first = [conv(1, 16, 3, padding=1), one, pool(2), conv(16, 32, 3, padding=1), two, pool(2)]
    return [*first, flatten(), linear(32 * 7 * 7, 128), three, linear(128, 10), *four]


class SnnTorchConvolutional(nn.Module):
    """All layers step by step."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        leaky = (snntorch.Leaky(beta=BETA) for _ in range(4))
        made = layers(
            *leaky, conv=nn.Conv2d, pool=nn.AvgPool2d, linear=nn.Linear, flatten=nn.Flatten
        )
        self.layers, self.time_steps = nn.ModuleList(made), work.time_steps

    def forward(self, x: Tensor) -> Tensor:
        membranes = {
            i: m.reset_mem() for i, m in enumerate(self.layers) if isinstance(m, snntorch.Leaky)
        }
        recorded = []
        for flow in snntorch.spikegen.rate(x.view(-1, 1, 28, 28), num_steps=self.time_steps):
            for i, module in enumerate(self.layers):
                if i in membranes:
                    flow, membranes[i] = module(flow, membranes[i])
                else:
                    flow = module(flow)
            recorded.append(flow)
        return torch.stack(recorded)


class SpikingJellyConvolutional(nn.Module):
    """All time steps of a layer at once, folded into the batch; in its own layout, or channels last."""

    def __init__(self, work: Work, *, channels_last: bool = False, compiled: bool = False) -> None:
        super().__init__()
        made = layers(
            *(SpikingJelly.lif() for _ in range(4)),
            conv=layer.Conv2d,
            pool=layer.AvgPool2d,
            linear=layer.Linear,
            flatten=layer.Flatten,
        )
        self.layers, self.time_steps = nn.Sequential(*made), work.time_steps
        functional.set_step_mode(self, "m")
        self.channels_last = channels_last
        if channels_last:
            self.to(memory_format=torch.channels_last)
        self.computed = torch.compile(self.shown) if compiled else self.shown

    def forward(self, x: Tensor) -> Tensor:
        functional.reset_net(self)
        return self.computed(x)

    def shown(self, x: Tensor) -> Tensor:
        images = x.view(-1, 1, 28, 28)
        spikes = (torch.rand(self.time_steps, *images.shape) < images).float()
        if self.channels_last:
            spikes = spikes.flatten(0, 1).to(memory_format=torch.channels_last)
            spikes = spikes.unflatten(0, (self.time_steps, -1))
        return self.layers(spikes)


class InPlace(OneAfterAnother):
    """The same loop with one module for all clients, so that what was compiled for it is not lost."""

    def round(self, number: int) -> None:
        start = [weight.detach().clone() for weight in self.model.parameters()]
        trained = []
        for client in self.work.devices.cohort(SEED, number):
            self.write(start)
            train(self.model, self.loss, self.work, number, client)
            trained.append([weight.detach().clone() for weight in self.model.parameters()])
        self.write([torch.stack(ours).mean(0) for ours in zip(*trained, strict=True)])

    def write(self, weights: list[Tensor]) -> None:
        with torch.no_grad():
            for parameter, weight in zip(self.model.parameters(), weights, strict=True):
                parameter.copy_(weight)


class Bound:
    """Only the convolutions of a round, as torch calls oneDNN for them: forward, and both gradients.

    The first layer needs no gradient of its input. Each call in the faster layout of two.
    """

    def __init__(self, work: Work, steps: int) -> None:
        self.work, self.steps = work, steps
        shapes = ((1, 28, 16), (16, 14, 32))  # channels, rows, channels behind
        self.calls = [self.fastest(at, *shape) for at, shape in enumerate(shapes)]

    def call(self, number: int, layout: torch.memory_format, *shape: int) -> Callable[[int], None]:
        before, rows, behind = shape
        images = self.steps * self.work.batch
        x = torch.randn(images, before, rows, rows).relu().to(memory_format=layout)
        delta = torch.randn(images, behind, rows, rows).to(memory_format=layout)
        weight = torch.randn(behind, before, 3, 3).to(memory_format=layout)
        bias, wanted = torch.randn(behind), [number > 0, True, True]
        how = ([1, 1], [1, 1], [1, 1], False, [0, 0], 1)

        def once(count: int) -> None:
            some = slice(count * self.steps)
            nn.functional.conv2d(x[some], weight, bias, padding=1)
            torch.ops.aten.convolution_backward(
                delta[some], x[some], weight, [behind], *how, wanted
            )

        return once

    def fastest(self, *shape: int) -> Callable[[int], None]:
        layouts = (torch.contiguous_format, torch.channels_last)
        both = [self.call(shape[0], layout, *shape[1:]) for layout in layouts]
        return min(both, key=lambda once: min(duration(once, self.work.batch) for _ in range(5)))

    def round(self, number: int) -> None:
        """Whatever its number, the same work."""
        del number
        whole, rest = divmod(self.work.samples, self.work.batch)
        for _ in range(self.work.cohort):
            for count in [self.work.batch] * whole + [rest] * (rest > 0):
                for once in self.calls:
                    once(count)

    def accuracy(self) -> None:
        """It learns nothing."""


def conventional() -> nn.Module:
    relus = (nn.ReLU() for _ in range(3))
    made = layers(*relus, conv=nn.Conv2d, pool=nn.AvgPool2d, linear=nn.Linear, flatten=nn.Flatten)
    return nn.Sequential(nn.Unflatten(1, (1, 28, 28)), *made)


def contestants(work: Work) -> dict[str, Rival]:
    def loop(module: nn.Module, loss: Any) -> Rival:
        return OneAfterAnother(started(module, work), loss, work)

    def spikingjelly(*, channels_last: bool, compiled: bool) -> Rival:
        module = SpikingJellyConvolutional(work, channels_last=channels_last, compiled=compiled)
        return InPlace(started(module, work), SPIKE_COUNT_LOSS, work)

    return {
        "ann_fedspike": FedSpike(work.ann, work),
        "ann_loop": loop(conventional(), nn.functional.cross_entropy),
        "ann_bound": Bound(work, 1),
        "fedspike": FedSpike(work.snn, work),
        "bound": Bound(work, work.time_steps),
        "spikingjelly": spikingjelly(channels_last=False, compiled=False),
        "spikingjelly_channels_last": spikingjelly(channels_last=True, compiled=False),
        "spikingjelly_compiled": spikingjelly(channels_last=False, compiled=True),
        "spikingjelly_compiled_channels_last": spikingjelly(channels_last=True, compiled=True),
        "snntorch": loop(SnnTorchConvolutional(work), SPIKE_COUNT_LOSS),
    }


def spike_rate(ours: FedSpike) -> float:
    """Events that enter the second convolution, as a share of its inputs, in the last round."""
    assert ours.last
    seen = ours.last.activity.values()
    shown = sum(activity.samples for activity in seen) * ours.work.time_steps
    events = sum(activity.events_in["conv2"] for activity in seen)
    return events / (shown * ours.last.network.layers["conv2"].inputs)


def measure(repeats: int) -> dict[str, Any]:
    """Everybody's rounds in turn; who cannot be compiled here is left out."""
    work = ConvolutionalWork(**WORK)
    rivals = contestants(work)
    seconds = take_turns(rivals, repeats, failures=(TorchDynamoException,))
    found = ratios(seconds)
    fastest = best(seconds, (name for name in seconds if name.startswith("spikingjelly")))
    return {
        "work": asdict(work),
        "seconds": seconds,
        "accuracy": {name: rivals[name].accuracy() for name in seconds},
        "ratios": found | {"spikingjelly_best": found[fastest]},
        "spike_rate": spike_rate(rivals["fedspike"]),
    }
