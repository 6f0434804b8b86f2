"""One federated round of a small convolutional network, by ourselves and one module after another.

10 clients x 200 samples of the sample that ships with the package, a small VGG (`Convolutional`), batch 32,
T = 10, Adam, training only; as `engine.py`, in turn in one process after a warm-up round each. snnTorch steps
through time, SpikingJelly convolves all steps at once, which is the loop's best setting here.

    .venv-bench/bin/python benchmarks/convolution.py    # --repeats 3 --threads 2
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

import snntorch
import torch
from rivals import FedSpike, Rival, SpikingJelly
from snntorch_loop import SPIKE_COUNT_LOSS, OneAfterAnother, started, train
from spikingjelly.activation_based import functional, layer
from torch import Tensor, nn
from work import BETA, SEED, Work

from fedspike.data import Dataset, load
from fedspike.networks import Convolutional


class ConvolutionalWork(Work):
    """The same round with images and a small VGG."""

    @property
    def layers(self) -> Convolutional:
        return Convolutional()

    @cached_property
    def data(self) -> Dataset:
        return load("fashion-mnist-sample")


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
        return min(both, key=lambda once: min(seconds(once, self.work.batch) for _ in range(5)))

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


def seconds(run: Callable[[int], Any], argument: int) -> float:
    begun = time.perf_counter()
    run(argument)
    return time.perf_counter() - begun


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


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--repeats", type=int, default=3)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--only", nargs="*")
    options = arguments.parse_args()
    torch.set_num_threads(options.threads)
    work = ConvolutionalWork(time_steps=10, batch=32, samples=200)
    rivals = contestants(work)
    rivals = {name: rivals[name] for name in options.only or rivals}
    times: dict[str, list[float]] = {name: [] for name in rivals}
    for number in range(1, options.repeats + 2):
        for name, rival in rivals.items():
            times[name].append(seconds(rival.round, number))
    for name, rival in rivals.items():
        _, *timed = times[name]
        found = {
            "seconds": round(statistics.median(timed), 3),
            "range": [round(min(timed), 3), round(max(timed), 3)],
            "accuracy": rival.accuracy(),
        }
        print(json.dumps({name: found}))


if __name__ == "__main__":
    main()
