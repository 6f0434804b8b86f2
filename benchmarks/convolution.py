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
from functools import cached_property
from typing import Any

import snntorch
import torch
from rivals import FedSpike, Rival, SpikingJelly
from snntorch_loop import SPIKE_COUNT_LOSS, OneAfterAnother, started
from spikingjelly.activation_based import functional, layer
from torch import Tensor, nn
from work import BETA, Work

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
    """All time steps of a layer at once."""

    def __init__(self, work: Work) -> None:
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

    def forward(self, x: Tensor) -> Tensor:
        functional.reset_net(self)
        images = x.view(-1, 1, 28, 28)
        return self.layers((torch.rand(self.time_steps, *images.shape) < images).float())


def conventional() -> nn.Module:
    relus = (nn.ReLU() for _ in range(3))
    made = layers(*relus, conv=nn.Conv2d, pool=nn.AvgPool2d, linear=nn.Linear, flatten=nn.Flatten)
    return nn.Sequential(nn.Unflatten(1, (1, 28, 28)), *made)


def contestants(work: Work) -> dict[str, Rival]:
    def loop(module: nn.Module, loss: Any) -> Rival:
        return OneAfterAnother(started(module, work), loss, work)

    return {
        "ann_fedspike": FedSpike(work.ann, work),
        "ann_loop": loop(conventional(), nn.functional.cross_entropy),
        "fedspike": FedSpike(work.snn, work),
        "spikingjelly": loop(SpikingJellyConvolutional(work), SPIKE_COUNT_LOSS),
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
    seconds: dict[str, list[float]] = {name: [] for name in rivals}
    for number in range(1, options.repeats + 2):
        for name, rival in rivals.items():
            begun = time.perf_counter()
            rival.round(number)
            seconds[name].append(time.perf_counter() - begun)
    for name, rival in rivals.items():
        _, *timed = seconds[name]
        found = {
            "seconds": round(statistics.median(timed), 3),
            "range": [round(min(timed), 3), round(max(timed), 3)],
            "accuracy": rival.accuracy(),
        }
        print(json.dumps({name: found}))


if __name__ == "__main__":
    main()
