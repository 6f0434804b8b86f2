"""Our counts against other people's counters, as integers, on networks that were really trained.

Referees: NeuroBench 2.3.0, SpikingJelly 2.0.0's op_counter and torch's FlopCounterMode. Networks and
their activity come from the engine; those with torch's normalisation are built here and count their own.
Everything is in float64: NeuroBench adds its counts in the network's type, and float32 has no odd
numbers beyond 2^24. Its metrics are called one by one: its Benchmark turns an error into 0.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, partial
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from neurobench.metrics.static import ConnectionSparsity, Footprint
from neurobench.metrics.workload import ActivationSparsity, SynapticOperations
from neurobench.models import TorchModel
from spikingjelly.activation_based.op_counter import DispatchCounterMode, MACCounter, SynOpCounter
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from counted_example import counted
from fedspike.algorithms import FedAvg
from fedspike.data import load_data
from fedspike.data.partition import Classes
from fedspike.energy.counts import count, entries
from fedspike.energy.neurobench import Metrics, metrics
from fedspike.layers.activity import Activity
from fedspike.layers.operations import NetworkOperations
from fedspike.layers.shapes import BatchNorm, Convolution, Dense, Layer, Pool, Synapses, fan_out
from fedspike.learning import Backpropagation, activities
from fedspike.networks import (
    SNN,
    Batch,
    Conv,
    ConventionalNetwork,
    ConvolutionalLayers,
    DenseLayers,
    SizedNetwork,
    SpikingNetwork,
)
from fedspike.networks import Dense as DenseStage
from fedspike.networks import Pool as PoolStage
from fedspike.parts import neurons
from fedspike.parts.codes import Address, Burst, Direct, Latency, Phase
from fedspike.parts.normalisations import BNTT as Normalisation
from fedspike.parts.read_outs import MeanMembrane
from running import devices, simulate

STEPS, SHOWN, BETA = 4, 24, 0.9
ARCHITECTURE = DenseLayers((784, 40, 10))
MAXIMA = ConvolutionalLayers(
    (1, 28, 28), (Conv(6), PoolStage("max"), Conv(8, stride=2, padding=0, groups=2)), classes=10
)
AVERAGES = replace(MAXIMA, stages=(Conv(4, 5, 3, 2), PoolStage(), DenseStage(20)))


def spiking(architecture: Any, threshold: float = 1.0, **parts: Any) -> SpikingNetwork:
    neuron = neurons.LIF(BETA, threshold)
    return SpikingNetwork(architecture, SNN(time_steps=STEPS, neuron=neuron, **parts))


ENGINES: dict[str, SizedNetwork] = {
    "dense ANN": ConventionalNetwork(ARCHITECTURE),
    "dense SNN": spiking(ARCHITECTURE),
    "dense SNN, latency code, membranes": spiking(
        ARCHITECTURE, code=Latency(), read_out=MeanMembrane()
    ),
    "dense SNN, phase code": spiking(ARCHITECTURE, 0.2, code=Phase(period=3)),
    "dense SNN, burst code, membranes": spiking(
        ARCHITECTURE, code=Burst(most_spikes=2), read_out=MeanMembrane()
    ),
    "dense SNN, BNTT": spiking(ARCHITECTURE, normalisation=Normalisation()),
    "convolutional ANN": ConventionalNetwork(MAXIMA),
    "convolutional ANN, averages": ConventionalNetwork(AVERAGES),
    "convolutional SNN": spiking(MAXIMA),
    "convolutional SNN, averages": spiking(AVERAGES),
    "convolutional SNN, BNTT": spiking(MAXIMA, normalisation=Normalisation()),
    "convolutional SNN, direct code, membranes": spiking(
        MAXIMA, code=Direct(), read_out=MeanMembrane()
    ),
}


class Fire(torch.autograd.Function):
    """A step, with the arctangent's slope."""

    @staticmethod
    def forward(ctx: Any, distance: Tensor) -> Tensor:
        ctx.save_for_backward(distance)
        return (distance > 0).to(distance)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (distance,) = ctx.saved_tensors
        slope: Tensor = 1 / (1 + (torch.pi * distance) ** 2)
        return gradients[0] * slope


class LIF(nn.Module):
    """Our neuron once more, step by step: currents and spikes are [batch, time, ...]."""

    def __init__(self, threshold: float = 1.0) -> None:
        super().__init__()
        self.threshold = threshold

    def forward(self, currents: Tensor) -> Tensor:
        potential, spikes = torch.zeros_like(currents[:, 0]), torch.zeros_like(currents[:, 0])
        fired = []
        for current in currents.unbind(1):
            potential = BETA * potential + current - self.threshold * spikes.detach()
            spikes = Fire.apply(potential - self.threshold)  # type: ignore[no-untyped-call]
            fired.append(spikes)
        return torch.stack(fired, 1)


class Weigh(nn.Module):
    """The phase code's weights, behind the synapses so that what enters these are spikes; then the bias."""

    def __init__(self, step_weights: tuple[float, ...], neurons: int) -> None:
        super().__init__()
        self.step_weights = step_weights
        self.bias = nn.Parameter(torch.zeros(neurons))

    def forward(self, received: Tensor) -> Tensor:
        return torch.tensor(self.step_weights).double().view(1, -1, 1) * received + self.bias


class BNTT(nn.Module):
    """Normalisation by running statistics of each time step; currents are [batch, time, channel, ...]."""

    def __init__(self, steps: int, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(steps, channels))
        self.register_buffer("mean", torch.zeros(steps, channels))
        self.register_buffer("variance", torch.zeros(steps, channels))

    def forward(self, currents: Tensor) -> Tensor:
        shape = (*self.gamma.shape, *[1] * (currents.dim() - 3))
        statistics = (self.get_buffer(name) for name in ("mean", "variance"))
        gamma, mean, variance = (x.view(shape) for x in (self.gamma, *statistics))
        return gamma * (currents - mean) / (variance + 1e-4).sqrt()


class Layers(nn.Module):
    """Modules one after the other on [batch, time, ...], counting the events that enter them.

    The layer that is `kept` gets the same input at each step: it is run once, and its currents are kept.
    """

    def __init__(self, kept: str = "", **layers: nn.Module) -> None:
        super().__init__()
        self.kept = kept
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.events: dict[str, Tensor] = {}  # [...] by input, summed over samples and time steps
        self.double()

    def forward(self, flow: Tensor) -> Tensor:
        batch, steps = flow.shape[:2]
        for name, layer in self.named_children():
            if isinstance(layer, LIF | Weigh | BNTT):
                flow = layer(flow)
                continue
            if isinstance(layer, nn.Linear):
                flow = flow.flatten(2)
            if name == self.kept:
                flow = flow[:, :1]
            self.events[name] = (flow != 0).sum((0, 1))
            after = layer(flow.flatten(0, 1))
            flow = after.reshape(batch, flow.shape[1], *after.shape[1:])
            flow = flow.expand(batch, steps, *flow.shape[2:])
        self.events["out"] = (flow != 0).sum((0, 1))
        return flow


@dataclass(frozen=True)
class Case:
    """A trained network, how we describe it, what it was shown and what we saw."""

    net: Layers
    layers: Mapping[str, Layer]
    network: NetworkOperations
    shown: Tensor  # [batch, time, ...]
    activity: Activity
    by_input: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def samples(self) -> int:
        return len(self.shown)

    @property
    def weighted(self) -> dict[str, Synapses]:
        return {name: layer for name, layer in self.layers.items() if isinstance(layer, Synapses)}

    def passes(self, name: str) -> int:
        """How often a layer was run."""
        once = self.network.layers[name].constant
        return self.samples * (1 if once else self.network.time_steps or 1)


@cache
def images() -> tuple[Tensor, Tensor, Tensor]:
    """Pixels and labels to train on, pixels to show."""
    data = load_data("fashion-mnist-sample")
    labels = torch.from_numpy(data.y_train).long()
    return torch.from_numpy(data.x_train).double(), labels, torch.from_numpy(data.x_test).double()


def address(purpose: str) -> Address:
    return Address(0, purpose, 1, clients=(0,), first_samples=(0,))


def as_torch(made: Any) -> Layers:
    """The modules of a network of the engine, neurons among them."""
    found: dict[str, nn.Module] = {}
    layers = made.described
    first, *_, last = layers
    weights = made.code.step_weights(STEPS) if made.code else None
    for (name, layer), after in pairwise([*layers.items(), (None, None)]):
        if isinstance(layer, Pool):
            kind = nn.AvgPool2d if layer.kind == "average" else nn.MaxPool2d
            found[name] = kind(layer.size)
            continue
        weighed = weights if name == first else None
        if isinstance(layer, BatchNorm):
            found[name] = BNTT(STEPS, layer.channels)
        elif isinstance(layer, Convolution):
            channels = (layer.in_channels, layer.out_channels)
            how = (layer.kernel, layer.stride, layer.padding)
            found[name] = nn.Conv2d(*channels, *how, bias=layer.bias, groups=layer.groups)
        else:
            found[name] = nn.Linear(
                layer.inputs, layer.outputs, bias=layer.bias and weighed is None
            )
        if weighed is not None:
            found["weigh"] = Weigh(weighed, layer.outputs)
        if isinstance(after[1], BatchNorm):
            continue
        if made.code is not None and (name != last or made.read_out.spiking):
            found[f"{name}_neurons"] = LIF(made.neuron.threshold)
        elif name != last:
            found[f"{name}_neurons"] = nn.ReLU()
    return Layers(first if made.operations().layers[first].constant else "", **found)


def module_name(parameter: str, net: Layers) -> str:
    """A parameter's name in torch's modules."""
    layer, _, name = parameter.partition(".")
    if name in ("gamma", "mean", "variance"):
        return f"{layer}_norm.{name}"
    if parameter not in net.state_dict():
        return f"weigh.{name}"
    return parameter


@cache
def federated(kind: str) -> Case:
    """Federated for 2 rounds by the engine; the activity is the engine's."""
    made: Any = ENGINES[kind]
    data = load_data("fashion-mnist-sample")
    shards = Classes(3)(data.y_train, clients=10, seed=0)
    *_, last = simulate(
        network=made,
        algorithm=FedAvg(),
        devices=devices(shards, samples_per_round=64),
        training=Backpropagation(batch_size=16),
        dataset=data,
        seed=0,
        rounds=2,
        dtype=torch.float64,
    )
    tensors = last.state.tested
    net = as_torch(made)
    net.load_state_dict({module_name(name, net): tensor for name, tensor in tensors.items()})
    pixels = images()[2][:SHOWN].reshape(1, SHOWN, 784)
    stacked = {name: tensor.unsqueeze(0) for name, tensor in tensors.items()}
    code = made.code
    flow = code.spikes(pixels, address("test"), STEPS) if code else pixels.unsqueeze(0)
    with torch.no_grad():
        forward = made.run(stacked, Batch.of(pixels, address("test")))
        shown = flow[:, 0].movedim(0, 1)
        if made.architecture is not ARCHITECTURE:
            shown = shown.reshape(*shown.shape[:2], 1, 28, 28)
        scores = net(shown).flatten(2)
    # The same network: the engine's scores are these spikes, values, or membranes of these currents.
    if code and not made.read_out.spiking:
        scores = neurons.leak(scores.movedim(1, 0).unsqueeze(1), BETA)[:, 0].movedim(0, 1) / STEPS
    torch.testing.assert_close(forward.scores[0], scores.sum(1), rtol=0, atol=1e-9)
    (seen,) = activities.activities([SHOWN], [0], [activities.counted(forward)])
    return Case(net, made.described, made.operations(), shown, seen)


Inputs = Callable[[Tensor], Tensor]  # pixels -> [batch, time, ...]


def trained(net: Layers, inputs: Inputs, batches: int = 6) -> None:
    """A few steps of Adam on the mean over time of the last layer; the loss must have gone down."""
    pixels, labels, _ = images()
    optimiser = torch.optim.Adam(net.parameters(), lr=0.01)
    seen = []
    for batch in range(batches):
        part = slice(32 * batch, 32 * (batch + 1))
        scores = net(inputs(pixels[part])).mean(1)
        loss = nn.functional.cross_entropy(scores, labels[part])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        seen.append(loss.item())
    assert seen[-1] < seen[0]
    net.eval()


def seen_by(
    net: Layers, layers: Mapping[str, Layer], network: NetworkOperations, shown: Tensor
) -> Case:
    """Show, and count: a direct code's pixels once, all else at every step."""
    with torch.no_grad():
        net(shown)
    events = {name: net.events[name].numpy() for name in network.entered}
    met = {
        name: int((events[name] * fan_out(layer)).sum())
        for name, layer in layers.items()
        if isinstance(layer, Convolution)
    }
    fires = list(network.layers.values())[-1].fires
    out = int(net.events["out"].sum()) if fires else 0
    totals = {name: int(number.sum()) for name, number in events.items()}
    activity = Activity(len(shown), 0, totals, out, met)
    return Case(net, layers, network, shown, activity, events)


FIRST = Convolution(1, 6, 3, 28, 28, padding=1, bias=False)
SECOND = Convolution(6, 8, 3, 14, 14, stride=2)


def images_once(pixels: Tensor) -> Tensor:
    return pixels.reshape(-1, 1, 1, 28, 28)


def images_at_every_step(pixels: Tensor) -> Tensor:
    return images_once(pixels).expand(-1, STEPS, -1, -1, -1)


@cache
def convolutional(is_spiking: bool) -> Case:
    """Two convolutions, a normalisation and a pool between them, a dense layer; trained in torch."""
    torch.manual_seed(0)
    pool: nn.Module = nn.AvgPool2d(2) if is_spiking else nn.MaxPool2d(2)
    net = Layers(
        "first" if is_spiking else "",
        first=nn.Conv2d(1, 6, 3, padding=1, bias=False),
        norm=nn.BatchNorm2d(6),
        neurons=LIF() if is_spiking else nn.ReLU(),
        pool=pool,
        second=nn.Conv2d(6, 8, 3, stride=2),
        others=LIF() if is_spiking else nn.ReLU(),
        output=nn.Linear(8 * 6 * 6, 10),
    )
    layers: dict[str, Layer] = {
        "first": FIRST,
        "norm": BatchNorm(6, 28 * 28),
        "pool": Pool("average" if is_spiking else "max", 6, 28, 28),
        "second": SECOND,
        "output": Dense(8 * 6 * 6, 10),
    }
    network = counted(layers)
    if is_spiking:
        network = counted(layers, STEPS, code=Direct(), read_out=MeanMembrane())
    inputs = images_at_every_step if is_spiking else images_once
    trained(net, inputs)
    return seen_by(net, layers, network, inputs(images()[2][:SHOWN]))


CASES: dict[str, Callable[[], Case]] = {
    **{kind: partial(federated, kind) for kind in ENGINES},
    "convolutional ANN, torch's normalisation": partial(convolutional, False),
    "convolutional SNN, torch's normalisation, direct code": partial(convolutional, True),
}


@pytest.fixture(params=CASES)
def played(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]()


def operation(case: Case, name: str, **how: bool) -> int:
    """Our count of a synaptic operation in the forward pass."""
    found = count(case.network, case.activity, training=False, **how)
    return sum(n for phase, _, op, n in entries(found) if (phase, op) == ("forward", name))


def neurobench(case: Case) -> tuple[TorchModel, Tensor, tuple[Tensor, Tensor]]:
    """Its model with its hooks, and one pass through it."""
    model = TorchModel(case.net)
    model.add_activation_module(LIF)  # without this it finds no neurons and says 0
    model.register_hooks()
    with torch.no_grad():
        scores = model(case.shown)
    return model, scores, (case.shown, torch.zeros(case.samples))


def measured(case: Case) -> Metrics:
    arrays = {name: tensor.numpy() for name, tensor in case.net.state_dict().items()}
    return metrics(arrays, case.layers, case.network, case.activity, case.by_input)


def test_the_neuron_here_is_ours() -> None:
    currents = torch.randn(50, 3, 20, 7, dtype=torch.float64)
    ours = neurons.LIF(BETA).spikes(currents)
    assert torch.equal(LIF()(currents.movedim(0, 1)).movedim(1, 0), ours)
    assert 0 < ours.mean() < 1


def test_the_networks_are_alive(played: Case) -> None:
    """Each layer gets events and zeros: a counter of all or of none would not pass."""
    for name in played.network.entered:
        most = played.passes(name) * played.layers[name].inputs
        assert 0 < played.activity.events_in[name] < most
    for parameter in played.net.parameters():
        assert parameter.count_nonzero() == parameter.numel()


def test_synaptic_operations_equal_neurobenchs(played: Case) -> None:
    model, scores, data = neurobench(played)
    referee = SynapticOperations()
    per_sample = referee(model, scores, data)
    ours = measured(played)
    assert operation(played, "mac", skip_zeros=True) == referee.MAC
    assert operation(played, "ac") == referee.AC
    effective = referee.MAC + referee.AC
    assert effective > 5_000 * played.samples
    assert ours.dense_operations * played.samples == referee.total_synops > effective
    assert per_sample == {
        "Effective_MACs": ours.effective_macs,
        "Effective_ACs": ours.effective_acs,
        "Dense": ours.dense_operations,
    }
    if played.network.time_steps is None:
        assert operation(played, "mac") == referee.total_synops
        assert referee.AC == 0
    model.cleanup_hooks()


def test_activation_sparsity_equals_neurobenchs(played: Case) -> None:
    model, scores, data = neurobench(played)
    referee = ActivationSparsity()(model, scores, data)
    ours = measured(played)
    assert ours.activation_sparsity == referee
    assert 0 < referee < 1
    model.cleanup_hooks()


def test_footprint_equals_neurobenchs(played: Case) -> None:
    """In float64, and with the running statistics and the int64 counter of torch's batch normalisation."""
    ours = measured(played)
    assert ours.footprint_bytes == Footprint()(TorchModel(played.net)) > 0
    assert played.network.parameters == sum(p.numel() for p in played.net.parameters())


def pruned(case: Case) -> Case:
    """The same network with 2 of 5 weights 0, seen anew."""
    net = copy.deepcopy(case.net)
    with torch.no_grad():
        for name in case.weighted:
            weight = net.get_parameter(f"{name}.weight").view(-1)
            weight[torch.randperm(len(weight))[: 2 * len(weight) // 5]] = 0
    return seen_by(net, case.layers, case.network, case.shown)


def test_weights_of_0_equal_neurobenchs(played: Case) -> None:
    case = pruned(played)
    model, scores, data = neurobench(case)
    referee = SynapticOperations()
    per_sample = referee(model, scores, data)
    ours = measured(case)
    assert per_sample == {
        "Effective_MACs": ours.effective_macs,
        "Effective_ACs": ours.effective_acs,
        "Dense": ours.dense_operations,
    }
    skipped = referee.MAC + referee.AC
    assert 0 < skipped < operation(case, "mac", skip_zeros=True) + operation(case, "ac")
    assert round(ours.connection_sparsity, 4) == ConnectionSparsity()(model)
    assert 0.39 < ours.connection_sparsity < 0.41
    assert measured(played).connection_sparsity == 0
    model.cleanup_hooks()


def spikingjelly(case: Case) -> tuple[int, int]:
    """Its synaptic operations of spikes, and its MACs of real values."""
    spikes = SynOpCounter()
    values = MACCounter(extra_ignore_modules=[nn.BatchNorm2d])
    with torch.no_grad(), DispatchCounterMode([spikes, values]):
        case.net(case.shown)
    return spikes.get_total(), values.get_total()


def test_synaptic_operations_equal_spikingjellys(played: Case) -> None:
    spikes, _ = spikingjelly(played)
    assert operation(played, "ac") == spikes
    assert (spikes > 1000) == (played.network.time_steps is not None)


def with_padding(case: Case) -> int:
    """Products of all layers in all passes, those with the zeros of the padding too."""
    total = 0
    for name, layer in case.weighted.items():
        if isinstance(layer, Convolution):
            wider = {axis: getattr(layer, axis) + 2 * layer.padding for axis in ("height", "width")}
            layer = replace(layer, padding=0, **wider)
        total += case.passes(name) * layer.synapses
    return total


def test_dense_products_equal_torchs(played: Case) -> None:
    """Torch counts a multiplication and an addition, and works on the zeros of the padding too."""
    referee = FlopCounterMode(display=False)
    with torch.no_grad(), referee:
        played.net(played.shown)
    assert 2 * with_padding(played) == referee.get_total_flops() > 0
    padded = any(isinstance(layer, Convolution) for layer in played.weighted.values())
    products = sum(played.passes(name) * x.synapses for name, x in played.weighted.items())
    assert (with_padding(played) > products) == padded


def test_products_of_the_conventional_networks_equal_spikingjellys() -> None:
    for name in (name for name in CASES if "ANN" in name):
        case = CASES[name]()
        _, values = spikingjelly(case)
        assert with_padding(case) == values > 0
    dense_ann = CASES["dense ANN"]()
    assert operation(dense_ann, "mac") == with_padding(dense_ann)
