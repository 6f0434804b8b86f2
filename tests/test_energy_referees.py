"""Our counts against other people's counters, as integers, on networks that were really trained.

Referees: NeuroBench 2.3.0, SpikingJelly 2.0.0's op_counter and torch's FlopCounterMode. Networks and
their activity come from the engine; those with torch's normalisation are built here and count their own.
Everything is in float64: NeuroBench adds its counts in the network's type, and float32 has no odd
numbers beyond 2^24. Its metrics are called one by one: its Benchmark turns an error into 0.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
import torch
from fedspike.energy.network import Code
from neurobench.metrics.static import ConnectionSparsity, Footprint
from neurobench.metrics.workload import ActivationSparsity, SynapticOperations
from neurobench.models import TorchModel
from spikingjelly.activation_based.op_counter import DispatchCounterMode, MACCounter, SynOpCounter
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from fedspike import algorithms, networks
from fedspike import data as datasets
from fedspike.data import partition
from fedspike.energy.counts import (
    Activity,
    BatchNorm,
    Convolution,
    Dense,
    Network,
    Pool,
    count,
    entries,
    fan_out,
)
from fedspike.energy.neurobench import metrics
from fedspike.learning import backpropagation as training
from fedspike.parts import codes as encoding
from fedspike.parts import losses, neurons
from fedspike.parts import read_outs as readouts

STEPS, SHOWN, BETA = 4, 24, 0.9
CODE = encoding.Rate()
# Code, threshold and read-out of a dense SNN.
DENSE: dict[Code, tuple[encoding.BinaryCode, float, readouts.ReadOut]] = {
    "rate": (CODE, 1.0, readouts.SpikeCount()),
    "latency": (encoding.Latency(), 1.0, readouts.MeanMembrane()),
    "phase": (encoding.Phase(period=3), 0.2, readouts.SpikeCount()),
    "burst": (encoding.Burst(most_spikes=2), 1.0, readouts.MeanMembrane()),
}
ARCHITECTURE = networks.DenseLayers((784, 40, 10))


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
    """Modules one after the other on [batch, time, ...], counting the events that enter them."""

    def __init__(self, **layers: nn.Module) -> None:
        super().__init__()
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
            self.events[name] = (flow != 0).sum((0, 1))
            flow = layer(flow.flatten(0, 1))
            flow = flow.reshape(batch, steps, *flow.shape[1:])
        self.events["out"] = (flow != 0).sum((0, 1))
        return flow


@dataclass(frozen=True)
class Case:
    """A trained network, how we describe it, what it was shown and what we saw."""

    net: Layers
    network: Network
    shown: Tensor  # [batch, time, ...]
    activity: Activity
    by_input: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def samples(self) -> int:
        return len(self.shown)


@cache
def images() -> tuple[Tensor, Tensor, Tensor]:
    """Pixels and labels to train on, pixels to show."""
    data = datasets.load("fashion-mnist-sample")
    labels = torch.from_numpy(data.y_train).long()
    return torch.from_numpy(data.x_train).double(), labels, torch.from_numpy(data.x_test).double()


def address(purpose: str, batch: int = 0) -> encoding.Address:
    return encoding.Address(0, purpose, 1, clients=(0,), first_samples=(1000 * batch,))


@cache
def dense(kind: Code | None) -> Case:
    """784-40-10, federated for 2 rounds by the engine; the activity is the engine's."""
    made: networks.Network = networks.ConventionalNetwork(ARCHITECTURE)
    loss: losses.Loss = losses.CrossEntropy()
    if kind is not None:
        code, threshold, read_out = DENSE[kind]
        made = networks.SpikingNetwork(
            ARCHITECTURE,
            networks.SNN(STEPS_, neuron=neurons.LIF(BETA, threshold), code=code, read_out=read_out),
        )
        loss = losses.SpikeCountMSE() if read_out == readouts.SpikeCount() else loss
    data = datasets.load("fashion-mnist-sample")
    shards = partition.Classes(3)(data.y_train, clients=10, seed=0)
    *_, last = running.simulate(
        network=made,
        algorithm=algorithms.FedAvg(),
        devices=running.devices(tuple(shards)),
        training=training.Backpropagation(loss, batch_size=16),
        dataset=data,
        seed=0,
        rounds=2,
        dtype=torch.float64,
    )
    model = last.state.model
    layers = {name: Dense(*size) for name, size in ARCHITECTURE.sizes.items()}
    pixels = images()[2][:SHOWN].reshape(1, SHOWN, 784)
    stacked = {name: weight.unsqueeze(0) for name, weight in model.items()}
    if kind is None or not isinstance(made, networks.SNN):
        net = Layers(hidden=nn.Linear(784, 40), neurons=nn.ReLU(), output=nn.Linear(40, 10))
        net.load_state_dict(model)
        activity = engine_activity(made, stacked, pixels)
        return Case(net, Network(layers), pixels.movedim(0, 1), activity)
    spikes = code.spikes(pixels, address("test"))
    net = spiking_twin(model, code.step_weights, threshold, fires=read_out.spiking)
    network = Network(
        layers, STEPS, code=kind, readout="spikes" if read_out.spiking else "membrane"
    )
    activity = engine_activity(made, stacked, spikes)
    return Case(net, network, spikes[:, 0].movedim(0, 1), activity)


def spiking_twin(
    model: networks.Parameters,
    step_weights: tuple[float, ...] | None,
    threshold: float,
    *,
    fires: bool,
) -> Layers:
    """The engine's network in torch; its last layer has no neurons here if it does not fire."""
    net = Layers(
        hidden=nn.Linear(784, 40, bias=step_weights is None),
        **({} if step_weights is None else {"weigh": Weigh(step_weights, 40)}),
        neurons=LIF(threshold),
        output=nn.Linear(40, 10),
        **({"last": LIF(threshold)} if fires else {}),
    )
    if step_weights is not None:
        model = {name.replace("hidden.bias", "weigh.bias"): w for name, w in model.items()}
    net.load_state_dict(model)
    return net


def engine_activity(
    network: networks.Network, stacked: networks.Parameters, flow: Tensor
) -> Activity:
    """What the engine counts: the spikes of an SNN, the values of an ANN that are not 0."""
    if isinstance(network, networks.SNN):
        forward = network.forward(stacked, flow)
    else:
        forward = network.run(stacked, networks.Batch.of(flow, address("test")))
    events = {name: int(count) for name, count in forward.events_in.items()}
    return Activity(SHOWN, 0, events, int(forward.events_out))


MAXIMA = networks.ConvolutionalLayers(
    (1, 28, 28),
    (networks.Conv(6), networks.Pool("max"), networks.Conv(8, stride=2, padding=0)),
    classes=10,
)
AVERAGES = replace(MAXIMA, stages=(networks.Conv(4, 5, 3, 2), networks.Pool(), networks.Dense(20)))
NEURON = neurons.LIF(BETA)
ENGINES: dict[str, networks.Network] = {
    "dense SNN, BNTT": networks.SpikingNetwork(
        ARCHITECTURE, networks.SNN(STEPS_, neuron=NEURON, code=CODE, normalisation=networks.BNTT())
    ),
    "convolutional ANN": networks.ConventionalNetwork(MAXIMA),
    "convolutional ANN, averages": networks.ConventionalNetwork(AVERAGES),
    "convolutional SNN": networks.SpikingNetwork(
        MAXIMA, networks.SNN(STEPS_, neuron=NEURON, code=CODE)
    ),
    "convolutional SNN, averages": networks.SpikingNetwork(
        AVERAGES, networks.SNN(STEPS_, neuron=NEURON, code=CODE)
    ),
    "convolutional SNN, BNTT": networks.SpikingNetwork(
        MAXIMA, networks.SNN(STEPS_, neuron=NEURON, code=CODE, normalisation=networks.BNTT())
    ),
    "convolutional SNN, direct code, membranes": networks.SpikingNetwork(
        MAXIMA,
        networks.SNN(
            STEPS, neuron=NEURON, code=encoding.Direct(), read_out=readouts.MeanMembrane()
        ),
    ),
}


def as_torch(made: networks.Network) -> Layers:
    """The modules of a network, neurons among them."""
    spiking = made if isinstance(made, networks.SNN) else None
    norms = spiking.normalisation if spiking else None
    *_, last = made.architecture.described
    found: dict[str, nn.Module] = {}
    for name, layer in made.architecture.described.items():
        if isinstance(layer, Pool):
            kind = nn.AvgPool2d if layer.kind == "average" else nn.MaxPool2d
            found[name] = kind(layer.size)
            continue
        if isinstance(layer, Convolution):
            channels = (layer.in_channels, layer.out_channels)
            how = (layer.kernel, layer.stride, layer.padding)
            found[name] = nn.Conv2d(*channels, *how, bias=norms is None)
        else:
            found[name] = nn.Linear(layer.inputs, layer.outputs, bias=norms is None)
        if norms is not None and name != last:
            channels_after = layer.out_channels if isinstance(layer, Convolution) else layer.outputs
            found[f"{name}_norm"] = BNTT(STEPS, channels_after)
        if spiking is not None and (name != last or spiking.read_out.spiking):
            found[f"{name}_neurons"] = LIF()
        elif name != last:
            found[f"{name}_neurons"] = nn.ReLU()
    return Layers(**found)


@cache
def federated(kind: str) -> Case:
    """Federated for 2 rounds by the engine; the activity is the engine's."""
    made = ENGINES[kind]
    spiking = made if isinstance(made, networks.SNN) else None
    loss: losses.Loss = losses.CrossEntropy()
    if spiking is not None and spiking.read_out.spiking:
        loss = losses.SpikeCountMSE()
    data = datasets.load("fashion-mnist-sample")
    shards = partition.Classes(3)(data.y_train, clients=10, seed=0)
    *_, last = running.simulate(
        network=made,
        algorithm=algorithms.FedAvg(),
        devices=running.devices(tuple(shards), samples_per_round=64),
        training=training.Backpropagation(loss, batch_size=16),
        dataset=data,
        seed=0,
        rounds=2,
        dtype=torch.float64,
    )
    tensors = last.state.model | last.state.statistics
    net = as_torch(made)
    norms = ("gamma", "mean", "variance")
    net.load_state_dict(
        {
            name.replace(".", "_norm.") if name.endswith(norms) else name: tensor
            for name, tensor in tensors.items()
        }
    )
    pixels = images()[2][:SHOWN].reshape(1, SHOWN, 784)
    stacked = {name: tensor.unsqueeze(0) for name, tensor in tensors.items()}
    flow = pixels.unsqueeze(0) if spiking is None else spiking.code.spikes(pixels, address("test"))
    with torch.no_grad():
        forward = made.run(stacked, networks.Batch.of(pixels, address("test")))
        shown = flow[:, 0].movedim(0, 1)
        if made.architecture is not ARCHITECTURE:
            shown = shown.reshape(*shown.shape[:2], 1, 28, 28)
        scores = net(shown).flatten(2)
    # The same network: the engine's scores are these spikes, values, or membranes of these currents.
    if spiking is not None and not spiking.read_out.spiking:
        scores = neurons.leak(scores.movedim(1, 0).unsqueeze(1), BETA)[:, 0].movedim(0, 1) / STEPS
    torch.testing.assert_close(forward.scores[0], scores.sum(1), rtol=0, atol=1e-9)
    (seen,) = training.activities([SHOWN], [0], [training.counted(forward)])
    return Case(net, replace(made.billed(), current_cached=False), shown, seen)


Inputs = Callable[[Tensor, str, int], Tensor]  # pixels, purpose, batch -> [batch, time, ...]


def trained(net: Layers, inputs: Inputs, batches: int = 6) -> None:
    """A few steps of Adam on the mean over time of the last layer; the loss must have gone down."""
    pixels, labels, _ = images()
    optimiser = torch.optim.Adam(net.parameters(), lr=0.01)
    seen = []
    for batch in range(batches):
        part = slice(32 * batch, 32 * (batch + 1))
        scores = net(inputs(pixels[part], "encode", batch)).mean(1)
        loss = nn.functional.cross_entropy(scores, labels[part])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        seen.append(loss.item())
    assert seen[-1] < seen[0]
    net.eval()


def seen_by(net: Layers, network: Network, shown: Tensor) -> Case:
    """Show, and count: a direct code's pixels once, all else at every step."""
    with torch.no_grad():
        net(shown)
    events = {name: net.events[name].numpy() for name in network.entered}
    if network.code == "direct":
        first = next(iter(events))
        events[first] = events[first] // STEPS
    met = {
        name: int((events[name] * fan_out(layer)).sum())
        for name, layer in network.layers.items()
        if isinstance(layer, Convolution)
    }
    fires = network.time_steps is not None and network.readout == "spikes"
    out = int(net.events["out"].sum()) if fires else 0
    totals = {name: int(number.sum()) for name, number in events.items()}
    return Case(net, network, shown, Activity(len(shown), 0, totals, out, met), events)


FIRST = Convolution(1, 6, 3, 28, 28, padding=1, bias=False)
SECOND = Convolution(6, 8, 3, 14, 14, stride=2)


def images_once(pixels: Tensor, purpose: str, batch: int) -> Tensor:
    del purpose, batch
    return pixels.reshape(-1, 1, 1, 28, 28)


def images_at_every_step(pixels: Tensor, purpose: str, batch: int) -> Tensor:
    return images_once(pixels, purpose, batch).expand(-1, STEPS, -1, -1, -1)


@cache
def convolutional(kind: str) -> Case:
    """Two convolutions, a normalisation and a pool between them, a dense layer; trained in torch."""
    torch.manual_seed(0)
    spiking = average = kind == "direct"
    pool: nn.Module = nn.AvgPool2d(2) if average else nn.MaxPool2d(2)
    net = Layers(
        first=nn.Conv2d(1, 6, 3, padding=1, bias=False),
        norm=nn.BatchNorm2d(6),
        neurons=LIF() if spiking else nn.ReLU(),
        pool=pool,
        second=nn.Conv2d(6, 8, 3, stride=2),
        others=LIF() if spiking else nn.ReLU(),
        output=nn.Linear(8 * 6 * 6, 10),
    )
    network = Network(
        {
            "first": FIRST,
            "norm": BatchNorm(6, 28 * 28),
            "pool": Pool("average" if average else "max", 6, 28, 28),
            "second": SECOND,
            "output": Dense(8 * 6 * 6, 10),
        },
        time_steps=STEPS if spiking else None,
        code="direct" if average else "rate",
        readout="membrane" if kind == "direct" else "spikes",
    )
    inputs = {"ann": images_once, "direct": images_at_every_step}[kind]
    trained(net, inputs)
    return seen_by(net, network, inputs(images()[2][:SHOWN], "test", 0))


CASES: dict[str, Callable[[], Case]] = {
    **{kind: partial(federated, kind) for kind in ENGINES},
    "dense ANN": lambda: dense(None),
    "dense SNN": lambda: dense("rate"),
    "dense SNN, latency code, membranes": lambda: dense("latency"),
    "dense SNN, phase code": lambda: dense("phase"),
    "dense SNN, burst code, membranes": lambda: dense("burst"),
    "convolutional ANN, torch's normalisation": lambda: convolutional("ann"),
    "convolutional SNN, torch's normalisation, direct code": lambda: convolutional("direct"),
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


def arrays(case: Case) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in case.net.state_dict().items()}


def test_the_neuron_here_is_ours() -> None:
    currents = torch.randn(50, 3, 20, 7, dtype=torch.float64)
    ours = neurons.LIF(BETA).spikes(currents)
    assert torch.equal(LIF()(currents.movedim(0, 1)).movedim(1, 0), ours)
    assert 0 < ours.mean() < 1


def test_the_networks_are_alive(played: Case) -> None:
    """Each layer gets events and zeros: a counter of all or of none would not pass."""
    everything = played.samples * (played.network.time_steps or 1)
    for name, layer in played.network.entered.items():
        assert 0 < played.activity.events_in[name] < everything * layer.inputs
    for parameter in played.net.parameters():
        assert parameter.count_nonzero() == parameter.numel()


def test_synaptic_operations_equal_neurobenchs(played: Case) -> None:
    model, scores, data = neurobench(played)
    referee = SynapticOperations()
    per_sample = referee(model, scores, data)
    ours = metrics(arrays(played), played.network, played.activity)
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
    ours = metrics(arrays(played), played.network, played.activity)
    assert ours.activation_sparsity == referee
    assert 0 < referee < 1
    model.cleanup_hooks()


def test_footprint_equals_neurobenchs(played: Case) -> None:
    """In float64, and with the running statistics and the int64 counter of torch's batch normalisation."""
    ours = metrics(arrays(played), played.network, played.activity)
    assert ours.footprint_bytes == Footprint()(TorchModel(played.net)) > 0
    assert played.network.parameters == sum(p.numel() for p in played.net.parameters())


def pruned(case: Case) -> Case:
    """The same network with 2 of 5 weights 0, seen anew."""
    net = copy.deepcopy(case.net)
    with torch.no_grad():
        for name in case.network.synapses:
            weight = net.get_parameter(f"{name}.weight").view(-1)
            weight[torch.randperm(len(weight))[: 2 * len(weight) // 5]] = 0
    return seen_by(net, case.network, case.shown)


def test_weights_of_0_equal_neurobenchs(played: Case) -> None:
    case = pruned(played)
    model, scores, data = neurobench(case)
    referee = SynapticOperations()
    per_sample = referee(model, scores, data)
    ours = metrics(arrays(case), case.network, case.activity, case.by_input)
    assert per_sample == {
        "Effective_MACs": ours.effective_macs,
        "Effective_ACs": ours.effective_acs,
        "Dense": ours.dense_operations,
    }
    skipped = referee.MAC + referee.AC
    assert 0 < skipped < operation(case, "mac", skip_zeros=True) + operation(case, "ac")
    assert round(ours.connection_sparsity, 4) == ConnectionSparsity()(model)
    assert 0.39 < ours.connection_sparsity < 0.41
    assert metrics(arrays(played), played.network, played.activity).connection_sparsity == 0
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
    """Products per pass of all layers, those with the zeros of the padding too."""
    total = 0
    for layer in case.network.synapses.values():
        if isinstance(layer, Convolution):
            wider = {axis: getattr(layer, axis) + 2 * layer.padding for axis in ("height", "width")}
            layer = replace(layer, padding=0, **wider)
        total += layer.synapses
    return total


def test_dense_products_equal_torchs(played: Case) -> None:
    """Torch counts a multiplication and an addition, and works on the zeros of the padding too."""
    referee = FlopCounterMode(display=False)
    with torch.no_grad(), referee:
        played.net(played.shown)
    passes = played.samples * (played.network.time_steps or 1)
    assert 2 * with_padding(played) * passes == referee.get_total_flops() > 0
    padded = any(isinstance(x, Convolution) for x in played.network.synapses.values())
    dense_products = sum(layer.synapses for layer in played.network.synapses.values())
    assert (with_padding(played) > dense_products) == padded


def test_products_of_the_conventional_networks_equal_spikingjellys() -> None:
    for name in (name for name in CASES if "ANN" in name):
        case = CASES[name]()
        _, values = spikingjelly(case)
        assert with_padding(case) * case.samples == values > 0
    dense_ann = CASES["dense ANN"]()
    assert operation(dense_ann, "mac") == with_padding(dense_ann) * dense_ann.samples
