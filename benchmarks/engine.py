"""One federated round of the founding study, by ourselves and by others, in turn in one process.

10 clients x 2,000 samples, T = 50, 784-100-10, batch 128, Adam, one epoch, then the average: training only,
data in memory, no evaluation. Every rival gets the same samples and threads and computes in float32.

    make bench        # in an environment of its own, with the rivals of benchmarks/requirements.txt

Writes runs/bench/engine.json with every sample; `ratios` are medians over the repeats of rival / ourselves,
but `dense_bound`, which is ourselves / bound: under 1 would be faster than dense matrix products allow.
"""

import argparse
import copy
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import snntorch
import snntorch.functional
import snntorch.spikegen
import torch
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import Tensor, nn

from fedspike import kernels
from fedspike.algorithms import fedavg
from fedspike.datasets import Dataset, load
from fedspike.encoding import RateCode
from fedspike.experiment.environment import environment
from fedspike.fleet import Fleet
from fedspike.losses import CrossEntropy, SpikeCountMSE
from fedspike.networks import ANN, SNN, Architecture
from fedspike.neurons import LIF
from fedspike.partition import IID
from fedspike.simulation import simulate
from fedspike.training import LocalTraining

T, BETA, BATCH, SAMPLES = 50, 0.9, 128, 2000
STUDY = Architecture((784, 100, 10))
Round = Callable[[], None]


class SnnTorch(nn.Module):
    """As the study did, and as snnTorch's tutorials do."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.output = nn.Linear(784, 100), nn.Linear(100, 10)
        self.lif1, self.lif2 = snntorch.Leaky(beta=BETA), snntorch.Leaky(beta=BETA)

    def forward(self, x: Tensor) -> Tensor:
        membrane1, membrane2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        recorded = []
        for spikes in snntorch.spikegen.rate(x, num_steps=T):
            spikes, membrane1 = self.lif1(self.hidden(spikes), membrane1)
            spikes, membrane2 = self.lif2(self.output(spikes), membrane2)
            recorded.append(spikes)
        return torch.stack(recorded)


class SpikingJelly(nn.Module):
    """Its multi-step mode: the linear layers see all time steps in one product."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            layer.Linear(784, 100), self.lif(), layer.Linear(100, 10), self.lif()
        )
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
        return self.layers((torch.rand(T, *x.shape) < x).float())


def one_after_another(
    model: nn.Module, loss: Callable[[Tensor, Tensor], Tensor], data: Dataset, fleet: Fleet
) -> Round:
    """A round in which every client trains its own copy of the module in turn."""
    images, labels = torch.from_numpy(data.x_train).flatten(1), torch.from_numpy(data.y_train)
    shown = [torch.from_numpy(fleet.shown(0, 1, client, 1)) for client in range(10)]

    def round() -> None:
        trained = []
        for samples in shown:
            client = copy.deepcopy(model)
            optimiser = torch.optim.Adam(client.parameters(), lr=1e-3)
            for first in range(0, len(samples), BATCH):
                batch = samples[first : first + BATCH]
                optimiser.zero_grad()
                loss(client(images[batch]), labels[batch]).backward()
                optimiser.step()
            trained.append(list(client.parameters()))
        with torch.no_grad():
            for mean, *ours in zip(model.parameters(), *trained, strict=True):
                mean.copy_(torch.stack(ours).mean(0))

    return round


def ourselves(network: ANN | SNN, data: Dataset, fleet: Fleet, *, compiled: bool = True) -> Round:
    """A round of the simulator, without its evaluation."""
    loss = SpikeCountMSE(T) if isinstance(network, SNN) else CrossEntropy()

    def round() -> None:
        kernels.ACTIVE = compiled
        next(
            simulate(
                network=network,
                algorithm=fedavg(),
                fleet=fleet,
                training=LocalTraining(loss),
                dataset=data,
                seed=0,
                rounds=1,
            )
        )
        kernels.ACTIVE = True

    return round


def dense_bound() -> float:
    """Seconds that the round's matrix products alone need at the measured rate of a large sgemm."""
    a, b = torch.randn(3000, 3000), torch.randn(3000, 3000)
    seconds = []
    for _ in range(8):
        started = time.perf_counter()
        torch.mm(a, b)
        seconds.append(time.perf_counter() - started)
    rate = 2 * 3000**3 / min(seconds)
    rows = 10 * SAMPLES * T
    # Layer 1: forward and weight gradient; layer 2: forward, weight gradient, gradient of its input.
    return 2 * rows * (2 * 784 * 100 + 3 * 100 * 10) / rate


def main() -> None:
    """Measure, print a table, write the samples."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--output", type=Path, default=Path("runs/bench/engine.json"))
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)

    data = load("fashion-mnist")
    # One test image, so that ourselves, too, train and do little else.
    data = Dataset(**{**vars(data), "x_test": data.x_test[:1], "y_test": data.y_test[:1]})
    fleet = Fleet(tuple(IID()(data.y_train, clients=10, seed=0)), samples_per_round=SAMPLES)
    spiking = SNN(STUDY, LIF(BETA), RateCode(T))
    count_loss = snntorch.functional.mse_count_loss(correct_rate=0.8, incorrect_rate=0.2)
    ann = nn.Sequential(nn.Linear(784, 100), nn.ReLU(), nn.Linear(100, 10))
    rounds: dict[str, Round] = {
        "fedspike": ourselves(spiking, data, fleet),
        "plain_torch_stacked": ourselves(spiking, data, fleet, compiled=False),
        "spikingjelly": one_after_another(SpikingJelly(), count_loss, data, fleet),
        "snntorch": one_after_another(SnnTorch(), count_loss, data, fleet),
        "ann_fedspike": ourselves(ANN(STUDY), data, fleet),
        "ann_loop": one_after_another(ann, nn.functional.cross_entropy, data, fleet),
    }
    seconds: dict[str, list[float]] = {name: [] for name in (*rounds, "dense_bound")}
    for repeat in range(chosen.repeats + 1):  # the first is the warm-up
        for name, round in rounds.items():
            started = time.perf_counter()
            round()
            if repeat:
                seconds[name].append(time.perf_counter() - started)
        if repeat:
            seconds["dense_bound"].append(dense_bound())
        print(f"{repeat}/{chosen.repeats}", flush=True)

    def ratio(rival: str, us: str) -> float:
        pairs = zip(seconds[rival], seconds[us], strict=True)
        return statistics.median(a / b for a, b in pairs)

    ratios = {
        **{
            name: ratio(name, "fedspike")
            for name in ("snntorch", "spikingjelly", "plain_torch_stacked")
        },
        "dense_bound": ratio("fedspike", "dense_bound"),
        "ann_loop": ratio("ann_loop", "ann_fedspike"),
    }
    for name, samples in seconds.items():
        print(
            f"{name:22} median {statistics.median(samples):7.3f} s "
            f"({min(samples):.3f} to {max(samples):.3f}, n = {len(samples)})"
        )
    print("ratios", {name: float(f"{value:.3g}") for name, value in ratios.items()})
    versions = {"snntorch": snntorch.__version__, "engine": kernels.engine()}
    chosen.output.parent.mkdir(parents=True, exist_ok=True)
    chosen.output.write_text(
        json.dumps(
            {"seconds": seconds, "ratios": ratios, "environment": environment() | versions},
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
