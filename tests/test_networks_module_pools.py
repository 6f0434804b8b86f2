"""Spiking modules with pools, wherever the pool stands and however time is run, against counts by hand."""

from functools import partial
from typing import Any, Literal

import pytest
import snntorch
import torch
from spikingjelly.activation_based.functional import reset_net
from spikingjelly.activation_based.neuron import LIFNode
from torch import Tensor, nn

from fedspike.energy.counts import count
from fedspike.errors import InputError
from fedspike.layers.activity import Activity
from fedspike.layers.shapes import Convolution, fan_out
from fedspike.learning.activities import activities, counted
from fedspike.networks import SNN, Batch, Convolutional, ModuleNetwork
from fedspike.parts.codes import Address, Rate
from fedspike.parts.neurons import LIF
from fedspike.randomness import stream

STEPS, SAMPLES = 3, 4


def lif(**kind: Any) -> snntorch.Leaky:
    return snntorch.Leaky(beta=0.9, threshold=0.3, **kind)


class Usual(nn.Module):
    """snnTorch's tutorial 6: membranes inside or outside its neurons, the loop over time inside or out."""

    def __init__(self, way: str, pool: type[nn.Module], pool_first: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.way, self.pool_first = way, pool_first
        self.conv1, self.conv2 = nn.Conv2d(1, 4, 5), nn.Conv2d(4, 6, 5)
        self.pool: Any = pool(2)  # one pool, at both places
        self.output = nn.Linear(96, 10)
        self.neurons = nn.ModuleList(lif(init_hidden=way == "hidden") for _ in range(3))

    def step(self, now: Tensor, state: Any) -> tuple[Tensor, Any]:
        after: list[Any] = []
        state = state or [torch.zeros(0)] * 3

        def fire(at: int, x: Tensor) -> Tensor:
            if self.way == "hidden":
                fired: Tensor = self.neurons[at](x)
                return fired
            fired, membrane = self.neurons[at](x, state[at])
            after.append(membrane)
            return fired

        for at, layer in enumerate((self.conv1, self.conv2)):
            now = (
                fire(at, self.pool(layer(now)))
                if self.pool_first
                else self.pool(fire(at, layer(now)))
            )
        return fire(2, self.output(now.flatten(1))), after


class Loop(Usual):
    def forward(self, x: Tensor) -> Tensor:
        state, spikes = None, []
        for now in x:
            fired, state = self.step(now, state)
            spikes.append(fired)
        return torch.stack(spikes)


class State(Usual):
    def forward(self, now: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        return self.step(now, state)


class Hidden(Usual):
    def forward(self, now: Tensor) -> Tensor:
        return self.step(now, None)[0]


WAYS: dict[str, type[Usual]] = {"loop": Loop, "state": State, "hidden": Hidden}


@pytest.mark.parametrize("pool_first", [True, False])
@pytest.mark.parametrize("pool", [nn.MaxPool2d, nn.AvgPool2d])
@pytest.mark.parametrize("way", WAYS)
def test_the_usual_networks_are_counted(way: str, pool: type[nn.Module], pool_first: bool) -> None:
    module = WAYS[way](way, pool, pool_first)
    network = ModuleNetwork(module, (1, 28, 28), 10, Rate(), STEPS, stepped=way != "loop")
    assert network.trial.vectorised
    x = torch.rand(1, SAMPLES, 784)
    address = Address(0, "encode", 1, (0,), (0,))
    forward = network.run(
        {n: w.unsqueeze(0) for n, w in module.named_parameters()}, Batch.of(x, address)
    )

    entered: dict[str, list[Tensor]] = {}
    for name in ("conv1", "conv2", "output"):
        module.get_submodule(name).register_forward_pre_hook(
            lambda _, given, name=name: entered.setdefault(name, []).append(given[0] != 0)
        )
    spikes = Rate().spikes(x, address, STEPS).reshape(STEPS, SAMPLES, 1, 28, 28)
    state, out = None, 0
    if way == "hidden":
        for neuron in module.neurons:
            neuron.reset_mem()  # type: ignore[operator]
    for now in spikes:
        fired, state = module.step(now, state)
        out += int(fired.sum())
    events = {name: sum(int(x.sum()) for x in seen) for name, seen in entered.items()}
    assert min(events.values()) > 0
    assert out > 0
    assert {n: int(forward.events_in[n]) for n in events} == events
    assert int(forward.events_out) == out
    assert len(forward.events_in) == (3 if pool_first else 5)

    activity = Activity(
        SAMPLES,
        0,
        {name: int(number) for name, number in forward.events_in.items()},
        out,
        {name: int(number) for name, number in forward.synapses_met.items()},
    )
    done = count(network.operations(), activity, training=False)
    met = {
        name: int(
            (
                torch.stack(entered[name]).flatten(0, 2).sum(0) * torch.from_numpy(fan_out(layer))
            ).sum()
        )
        for name, layer in network.architecture.described.items()
        if isinstance(layer, Convolution)
    } | {"output": 10 * events["output"]}
    kind = "mac" if pool is nn.AvgPool2d and not pool_first else "ac"
    assert {n: done["forward"][n].get("ac" if n == "conv1" else kind) for n in met} == met
    neurons = (4 * 144, 6 * 16, 10) if pool_first else (4 * 576, 6 * 64, 10)
    leaks = sum(layer.get("multiply", 0) for layer in done["neuron"].values())
    assert leaks == SAMPLES * STEPS * sum(neurons)
    left = [events["conv2"], events["output"]] if pool_first else [activity.events_in["conv1.pool"]]
    rates = activity.firing_rates(network.operations())
    assert rates["conv1"] == left[0] / (SAMPLES * STEPS * neurons[0])
    joined = "compare" if pool is nn.MaxPool2d else "add"
    pooled = sum(layer[joined] for layer in done["pool"].values())
    values = (576 + 96) * 3 * SAMPLES * STEPS
    assert pooled == (
        values if pool_first else sum(activity.events_in[f"conv{n}.pool"] for n in (1, 2))
    )


def sequence(*layers: nn.Module, left: int) -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(1, 4, 5), *layers, nn.Flatten(), nn.Linear(left, 10), lif(init_hidden=True))
    )


ORDERS: dict[str, tuple[nn.Sequential, str | None]] = {
    "adaptive": (sequence(lif(init_hidden=True), nn.AdaptiveAvgPool2d(4), left=64), None),
    "adaptive first": (sequence(nn.AdaptiveMaxPool2d(4), lif(init_hidden=True), left=64), None),
    "adaptive, uneven": (
        sequence(nn.AdaptiveMaxPool2d(7), lif(init_hidden=True), left=196),
        "0.pool",
    ),
    "power": (sequence(lif(init_hidden=True), nn.LPPool2d(2, 2), left=576), "0.lp_pool2d"),
    "cuts": (sequence(nn.MaxPool2d(5), lif(init_hidden=True), left=64), None),
    "over the edge": (
        sequence(nn.MaxPool2d(5, ceil_mode=True), lif(init_hidden=True), left=100),
        "0.pool",
    ),
    "two": (sequence(nn.MaxPool2d(2), lif(init_hidden=True), nn.MaxPool2d(2), left=144), None),
    "dropout": (
        sequence(nn.Dropout(0.5), nn.MaxPool2d(2), lif(init_hidden=True), left=576).eval(),
        None,
    ),
    "batch norm": (
        sequence(nn.BatchNorm2d(4), nn.AvgPool2d(2), lif(init_hidden=True), left=576).eval(),
        None,
    ),
}


@pytest.mark.parametrize("order", ORDERS)
def test_other_orders_are_counted_or_trained_as_the_error_says(order: str) -> None:
    module, named = ORDERS[order]
    how: dict[str, Any] = {"code": Rate(), "time_steps": STEPS, "stepped": True}
    if named is not None:
        with pytest.raises(InputError, match=rf'not_counted=\("{named}",\)'):
            ModuleNetwork(module, (1, 28, 28), 10, **how)
        how["not_counted"] = (named,)
    network = ModuleNetwork(module, (1, 28, 28), 10, **how)
    x = torch.rand(1, SAMPLES, 784)
    batch = Batch.of(x, Address(0, "encode", 1, (0,), (0,)))
    forward = network.run({n: w.unsqueeze(0) for n, w in module.named_parameters()}, batch)
    assert forward.scores.shape == (1, SAMPLES, 10)


class Jelly(nn.Module):
    """SpikingJelly's neurons, set back before the first of the time steps."""

    def __init__(self) -> None:
        super().__init__()
        neurons = [LIFNode(2.0, v_threshold=0.1) for _ in range(2)]
        front = [*sequence(neurons[0], nn.MaxPool2d(2), left=576)][:-1]
        self.steps: Any = nn.Sequential(*front, neurons[1])

    def forward(self, x: Tensor) -> Tensor:
        reset_net(self)
        return torch.stack([self.steps(now) for now in x])


RELATIVES: dict[str, Any] = {
    "Synaptic": partial(snntorch.Synaptic, 0.8, 0.9, threshold=0.3, init_hidden=True),
    "Lapicque": partial(snntorch.Lapicque, 0.9, threshold=0.02, init_hidden=True),
    "LIFNode": None,
}


@pytest.mark.parametrize("kind", RELATIVES)
def test_other_neurons_pass_on_what_is_counted(kind: str) -> None:
    torch.manual_seed(0)
    how: dict[str, Any] = {"code": Rate(), "time_steps": STEPS}
    module: Any = Jelly()
    layers = module.steps
    if neuron := RELATIVES[kind]:  # no rule has them
        front = [*sequence(neuron(), nn.MaxPool2d(2), left=576)][:-1]
        layers = module = nn.Sequential(*front, neuron())
        how |= {"stepped": True, "not_counted": ("1", "5")}
    network = ModuleNetwork(module, (1, 28, 28), 10, **how)
    x, address = torch.rand(1, SAMPLES, 784), Address(0, "encode", 1, (0,), (0,))
    weights = {n: w.unsqueeze(0) for n, w in module.named_parameters()}
    forward = network.run(weights, Batch.of(x, address))

    entered: list[Tensor] = []
    for place in (0, 2, 4):
        layers[place].register_forward_pre_hook(lambda _, given: entered.append(given[0] != 0))
    spikes = Rate().spikes(x, address, STEPS).reshape(STEPS, SAMPLES, 1, 28, 28)
    out = sum(int(layers(now).sum()) for now in spikes)
    by_hand = [sum(int(seen.sum()) for seen in entered[at::3]) for at in range(3)]
    assert min(by_hand) > 0
    assert [int(number) for number in forward.events_in.values()] == by_hand
    assert int(forward.events_out) == out > 0
    (met,) = forward.synapses_met.values()
    fan = torch.from_numpy(fan_out(Convolution(1, 4, 5, 28, 28)))
    assert int(met) == sum(int((seen * fan).sum()) for seen in entered[::3])
    if kind != "LIFNode":
        assert not network.operations().layers
        return
    events = {name: int(number) for name, number in forward.events_in.items()}
    activity = Activity(SAMPLES, 0, events, out, {"steps.0": int(met)})
    done = count(network.operations(), activity, training=False)
    assert [one["ac"] for one in done["forward"].values()] == [int(met), 10 * by_hand[2]]
    leaks = sum(one.get("multiply", 0) for one in done["neuron"].values())
    assert leaks == SAMPLES * STEPS * (4 * 576 + 10)


@pytest.mark.parametrize("pool", ["max", "average"])
def test_a_convolutional_module_is_counted_as_our_own(pool: Literal["max", "average"]) -> None:
    pools: Any = {"max": nn.MaxPool2d, "average": nn.AvgPool2d}[pool]
    layers = sequence(lif(init_hidden=True), pools(2), left=784)
    layers[0] = nn.Conv2d(1, 4, 3, padding=1)
    theirs = ModuleNetwork(layers, (1, 28, 28), 10, Rate(), STEPS, stepped=True)
    snn = SNN(STEPS, Convolutional((4, "pool"), (), pool=pool), neuron=LIF(0.9, threshold=0.3))
    ours = snn.over((28, 28), 10)
    weights = [w.unsqueeze(0) for w in layers.parameters()]
    batch = Batch.of(torch.rand(1, SAMPLES, 784), Address(0, "encode", 1, (0,), (0,)))
    counts = []
    for network in (ours, theirs):
        named = dict(zip(network.init(stream(0, "init")), weights, strict=True))
        done = counted(network.run(named, batch))
        (activity,) = activities([SAMPLES], [1], [done])
        assert activity.events_out > 0
        table = network.operations().trained_by(None)
        bill = count(table, activity, training=True)
        counts.append({phase: [*layers.values()] for phase, layers in bill.items()})
    assert counts[0] == counts[1]


def test_zeros_behind_a_pool_are_what_the_next_layer_skips() -> None:
    """Conventional, the ReLU behind the pool: what enters the last layer is what the ReLU leaves."""
    torch.manual_seed(0)
    front = nn.Sequential(nn.Conv2d(1, 4, 5), nn.AvgPool2d(2), nn.ReLU(), nn.Flatten())
    module = nn.Sequential(*front, nn.Linear(576, 10))
    network = ModuleNetwork(module, (1, 28, 28), 10)
    x = torch.rand(1, SAMPLES, 784)
    batch = Batch.of(x, Address(0, "encode", 1, (0,), (0,)))
    seen = network.run({n: w.unsqueeze(0) for n, w in module.named_parameters()}, batch)
    left = int((front(x.view(SAMPLES, 1, 28, 28)) != 0).sum())
    assert int(seen.events_in["4"]) == left < SAMPLES * 576
    events = {name: int(number) for name, number in seen.events_in.items()}
    activity = Activity(SAMPLES, 0, events, 0, {"0": int(seen.synapses_met["0"])})
    skipped = count(network.operations(), activity, training=False, skip_zeros=True)
    assert skipped["forward"]["4"]["mac"] == 10 * left
