"""Own modules: as the twins where they are the same network, as a plain loop where there is no twin.

In float64 only the order of sums differs, about 1e-13 a step; 1e-9 keeps clear of that and of any mistake.
"""

import copy
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
import snntorch
import torch
from snntorch import utils
from torch import Tensor, nn

from fedspike.algorithms import Algorithm, FedAvg, Scaffold
from fedspike.energy.counts import count
from fedspike.errors import InputError, warn_once
from fedspike.federation.devices import Devices
from fedspike.federation.rounds import Round
from fedspike.layers.activity import Activity
from fedspike.layers.shapes import Convolution, Dense, Pool
from fedspike.learning import Backpropagation
from fedspike.networks import (
    SNN,
    Batch,
    ConventionalNetwork,
    DenseLayers,
    ModuleNetwork,
    Parameters,
    SizedNetwork,
    SpikingNetwork,
)
from fedspike.parts.codes import Address, Code, Direct, Latency, Phase, Rate
from fedspike.parts.losses import CrossEntropy, Loss, SpikeCountMSE
from fedspike.parts.neurons import LIF
from fedspike.parts.optimisers import SGD, Adam, Optimiser
from fedspike.parts.read_outs import FirstSpike, MeanMembrane
from fedspike.randomness import stream
from running import devices, sample, simulate

SAMPLE = sample(tested=60)
SMALL = DenseLayers((784, 12, 10))
STEPS, BETA = 4, torch.tensor(0.9, dtype=torch.float64)
UNEQUAL = devices(tuple(np.arange(n) + 7 * n for n in (50, 33, 16, 7, 1)))


def leaky(**kind: Any) -> snntorch.Leaky:
    return snntorch.Leaky(beta=BETA, **kind)


class Values(nn.Module):
    """784-12-10 with ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.output = nn.Linear(784, 12), nn.Linear(12, 10)

    def forward(self, x: Tensor) -> Any:
        return self.output(torch.relu(self.hidden(x)))


class Whole(Values):
    """As in snnTorch's tutorials: forward loops over time and returns spikes and membranes."""

    def __init__(self, **last: Any) -> None:
        super().__init__()
        self.first, self.last = leaky(), leaky(**last)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        membrane_1, membrane_2 = self.first.reset_mem(), self.last.reset_mem()
        spikes, membranes = [], []
        for now in x:
            fired, membrane_1 = self.first(self.hidden(now), membrane_1)
            fired, membrane_2 = self.last(self.output(fired), membrane_2)
            spikes.append(fired)
            membranes.append(membrane_2)
        return torch.stack(spikes), torch.stack(membranes)


class WithState(Whole):
    """A step at a time, with the state handed in and out."""

    def forward(  # type: ignore[override]
        self, now: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        one, two = state or (torch.zeros(0), torch.zeros(0))
        fired, one = self.first(self.hidden(now), one)
        fired, two = self.last(self.output(fired), two)
        return fired, (one, two)


class Hidden(Values):
    """A step at a time, membranes inside snnTorch's neurons; the last answers with its membrane too."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = leaky(init_hidden=True), leaky(init_hidden=True, output=True)

    def forward(self, now: Tensor) -> tuple[Tensor, Tensor]:
        answer: tuple[Tensor, Tensor] = self.last(self.output(self.first(self.hidden(now))))
        return answer


class InOurNeurons(Values):
    """Neurons of ours, which torch.vmap refuses."""

    def forward(self, x: Tensor) -> Tensor:
        for layer in (self.hidden, self.output):
            x = LIF(0.9).spikes(layer(x).unsqueeze(1)).squeeze(1)
        return x


class Item(Values):
    """Values that pass through Python."""

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = super().forward(x)
        return scores if scores.sum().item() < 1e9 else -scores


class If(Values):
    """Control flow that depends on data."""

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = super().forward(x)
        if scores.sum() > 1e9:
            return -scores
        return scores


def with_our_weights(module: nn.Module, seed: int = 3) -> nn.Module:
    """The twins' initial weights in a module with the same layers."""
    weights = SMALL.init(stream(seed, "init")).values()
    with torch.no_grad():
        for parameter, weight in zip(module.parameters(), weights, strict=True):
            parameter.copy_(weight)
    return module


def own(module: nn.Module, **kind: Any) -> ModuleNetwork:
    return ModuleNetwork(with_our_weights(module), shape=(784,), classes=10, **kind)


def play(
    network: SizedNetwork,
    loss: Loss | None = None,
    algorithm: Algorithm | None = None,
    optimiser: Optimiser | None = None,
    fleet: Devices = UNEQUAL,
    rounds: int = 2,
) -> list[Round]:
    return list(
        simulate(
            network=network,
            algorithm=algorithm or FedAvg(),
            devices=fleet,
            training=Backpropagation(loss, optimiser or Adam(5e-3), batch_size=16),
            dataset=SAMPLE,
            seed=3,
            rounds=rounds,
            dtype=torch.float64,
        )
    )


def assert_equal_rounds(
    ours: list[Round], theirs: list[Round], layers: dict[str, str] | None = None
) -> None:
    """All integers equal, the models to 1e-9; parameters come in the same order."""

    def called(name: str) -> str:
        return (layers or {}).get(name, name)

    def renamed(seen: Activity) -> Activity:
        events = {called(name): number for name, number in seen.events_in.items()}
        return replace(seen, events_in=events)

    for a, b in zip(ours, theirs, strict=True):
        assert a.accuracy == b.accuracy
        assert {k: renamed(seen) for k, seen in a.activity.items()} == b.activity
        assert renamed(a.tested) == b.tested
        assert a.operations == b.operations
        assert {called(n): spikes for n, spikes in a.spikes.items()} == b.spikes
        assert {called(n): rate for n, rate in a.firing_rates.items()} == b.firing_rates
        assert (a.uplink_bytes, a.downlink_bytes) == (b.uplink_bytes, b.downlink_bytes)
        for one, two in zip(a.state.model.values(), b.state.model.values(), strict=True):
            torch.testing.assert_close(one, two, rtol=0, atol=1e-9)
    first, last = (list(r.state.model.values())[-1] for r in (theirs[0], theirs[-1]))
    assert not torch.equal(first, last), "nothing was learned, so nothing was compared"


CONVENTIONAL: dict[str, Callable[[], nn.Module]] = {"values": Values, "item": Item, "if": If}
IN_TURN = {"item", "if", "in our neurons"}
SPIKING: dict[str, tuple[Callable[[], nn.Module], bool]] = {
    "whole": (Whole, False),
    "with state": (WithState, True),
    "hidden": (Hidden, True),
    "in our neurons": (InOurNeurons, False),
}


@pytest.mark.parametrize("kind", CONVENTIONAL)
def test_a_module_of_plain_torch_is_the_ann(kind: str) -> None:
    network = own(CONVENTIONAL[kind]())
    assert network.trial.vectorised == (kind not in IN_TURN)
    assert_equal_rounds(play(network), play(ConventionalNetwork(SMALL)))


@pytest.mark.parametrize("kind", SPIKING)
def test_a_module_of_leaky_neurons_is_the_snn(kind: str) -> None:
    made, stepped = SPIKING[kind]
    network = own(made(), code=Rate(), time_steps=STEPS, stepped=stepped)
    assert network.trial.vectorised == (kind not in IN_TURN)
    assert_equal_rounds(play(network), play(SpikingNetwork(SMALL, SNN(STEPS, neuron=LIF(0.9)))))


def test_a_sequence_of_layers_is_the_snn() -> None:
    layers = [nn.Linear(784, 12), leaky(init_hidden=True), nn.Linear(12, 10)]
    module = nn.Sequential(*layers, leaky(init_hidden=True))
    network = own(module, code=Rate(), time_steps=STEPS, stepped=True)
    twin = SpikingNetwork(SMALL, SNN(STEPS, neuron=LIF(0.9)))
    assert_equal_rounds(play(network), play(twin), {"0": "hidden", "2": "output"})


@pytest.mark.parametrize("kind", ["whole", "in our neurons"])
def test_the_spikes_themselves_are_equal(kind: str) -> None:
    """Not only how many there are: the scores count each output neuron's."""
    network = own(SPIKING[kind][0](), code=Rate(), time_steps=20)
    x = torch.from_numpy(SAMPLE.x_train[:40]).double().reshape(2, 20, 784)
    batch = Batch.of(x, Address(0, "encode", 1, (0, 1), (0, 0)))
    models = [SMALL.init(stream(seed, "init")) for seed in (0, 1)]
    stacked = {n: torch.stack([2 * m[n].double() for m in models]) for n in models[0]}
    ours, twin = (
        n.run(stacked, batch) for n in (network, SpikingNetwork(SMALL, SNN(20, neuron=LIF(0.9))))
    )
    assert torch.equal(ours.scores, twin.scores)
    assert 0 < twin.scores.mean() < 20
    assert len(set(twin.scores.flatten().tolist())) > 5


@pytest.mark.parametrize(("code", "steps"), [(Phase(), 8), (Latency(), 8), (Direct(), STEPS)])
def test_every_code_drives_it(code: Code, steps: int) -> None:
    read_out = FirstSpike()
    network = own(Whole(), code=code, time_steps=steps, read_out=read_out)
    ours = play(network, CrossEntropy())
    theirs = play(
        SpikingNetwork(SMALL, SNN(steps, neuron=LIF(0.9), code=code, read_out=read_out)),
        CrossEntropy(),
    )
    assert_equal_rounds(ours, theirs)


def test_the_membranes_are_read_out() -> None:
    network = own(
        Whole(reset_mechanism="none"), code=Rate(), time_steps=STEPS, read_out=MeanMembrane()
    )
    twin = SpikingNetwork(SMALL, SNN(STEPS, neuron=LIF(0.9), read_out=MeanMembrane()))
    assert_equal_rounds(play(network, CrossEntropy()), play(twin, CrossEntropy()))


def test_algorithms_know_nothing_of_it() -> None:
    how = {"algorithm": Scaffold(), "optimiser": SGD(0.1)}
    assert_equal_rounds(play(own(Values()), **how), play(ConventionalNetwork(SMALL), **how))  # type: ignore[arg-type]


# Where there is no twin: every client's own copy of the module, trained by a plain loop.


def in_a_plain_loop(
    module: nn.Module, shape: tuple[int, ...], code: Code | None, rounds: int = 2
) -> tuple[Parameters, list[dict[int, list[Tensor]]]]:
    """The global model after FedAvg, and what each client's layers were shown, layer by layer, by round."""
    images = torch.from_numpy(SAMPLE.x_train).double().reshape(-1, 784)
    labels = torch.from_numpy(SAMPLE.y_train)
    server = copy.deepcopy(module).double()
    shown: list[dict[int, list[Tensor]]] = []
    for number in range(1, rounds + 1):
        cohort = UNEQUAL.cohort(3, number)
        trained, seen = [], {}
        for client in cohort:
            device = copy.deepcopy(server)
            seen[client] = watched(device)
            optimiser = torch.optim.Adam(
                [p for p in device.parameters() if p.requires_grad], lr=5e-3
            )
            order = torch.from_numpy(UNEQUAL.shown(3, number, client, epochs=1))
            for first in range(0, len(order), 16):
                part = order[first : first + 16]
                flow = images[part]
                if code is not None:
                    here = Address(3, "encode", number, (client,), (first,))
                    flow = code.spikes(flow.unsqueeze(0), here, STEPS).squeeze(1)
                answer = device(flow.reshape(*flow.shape[:-1], *shape))
                scores = answer if code is None else answer.sum(0)
                optimiser.zero_grad()
                nn.functional.cross_entropy(scores, labels[part]).backward()  # type: ignore[no-untyped-call]
                optimiser.step()
            trained.append(device)
        shown.append(seen)
        weights = torch.tensor([UNEQUAL.samples(k) for k in cohort]).double()
        with torch.no_grad():
            for name, parameter in server.named_parameters():
                stack = torch.stack([device.get_parameter(name) for device in trained])
                parameter.copy_(torch.tensordot(weights / weights.sum(), stack, dims=1))
    return dict(server.named_parameters()), shown


def watched(module: nn.Module) -> list[Tensor]:
    """For each layer that events enter, in order: the events of each input, and the synapses met."""
    kinds = (nn.Linear, nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
    layers = [layer for layer in module.modules() if isinstance(layer, kinds)]
    seen = [torch.zeros(2, dtype=torch.float64) for _ in layers]

    def look(at: int, layer: nn.Module, x: Tensor) -> None:
        events = (x.detach() != 0).double()
        seen[at][0] += events.sum()
        if isinstance(layer, nn.Conv2d):
            # With kernels of ones, a convolution counts the synapses met.
            ones = torch.ones_like(layer.weight.detach()).double()
            met = nn.functional.conv2d(
                events, ones, None, layer.stride, layer.padding, groups=layer.groups
            )
            seen[at][1] += met.sum()

    for at, layer in enumerate(layers):
        layer.register_forward_pre_hook(lambda own, given, at=at: look(at, own, given[0]))
    return seen


class Fires(nn.Module):
    """A neuron of the user's own in plain torch, over [time, batch, ...]."""

    def forward(self, currents: Tensor) -> Tensor:
        membrane = torch.zeros_like(currents[0])
        spikes = []
        for current in currents:
            membrane = 0.8 * membrane + current
            soft = torch.sigmoid(4 * (membrane - 0.5))
            fired = (membrane > 0.5).to(current)
            membrane = membrane - 0.5 * fired
            spikes.append(fired + (soft - soft.detach()))  # the difference is exactly 0
        return torch.stack(spikes)


class Convolutions(nn.Module):
    """Over an image or, spiking, over images of all time steps; the pool and the stride are not alike."""

    def __init__(self, spiking: bool, pool: nn.Module) -> None:
        super().__init__()
        self.spiking = spiking
        self.front = nn.Conv2d(1, 3, 3, padding=1)
        self.pool = pool
        self.back = nn.Conv2d(3, 6, 3, stride=2, bias=False, groups=3)
        self.output = nn.Linear(6 * 6 * 6, 10)

    def fire(self, currents: Tensor) -> Tensor:
        if not self.spiking:
            return currents.relu()
        spikes: Tensor = Fires()(currents.view(STEPS, -1, *currents.shape[1:]))
        return spikes.flatten(0, 1)

    def forward(self, x: Tensor) -> Tensor:
        flow = x.flatten(0, 1) if self.spiking else x
        flow = self.pool(self.fire(self.front(flow)))
        flow = self.fire(self.back(flow)).flatten(1)
        scores: Tensor = self.output(flow)
        return self.fire(scores).view(STEPS, -1, 10) if self.spiking else scores


@pytest.mark.parametrize("pool", [nn.MaxPool2d(2), nn.AvgPool2d(2)], ids=["max", "average"])
@pytest.mark.parametrize("spiking", [False, True], ids=["ann", "snn"])
def test_convolutions_are_those_of_a_plain_loop(spiking: bool, pool: nn.Module) -> None:
    module = Convolutions(spiking, pool)
    code = Rate() if spiking else None
    network = ModuleNetwork(module, (1, 28, 28), 10, code=code, time_steps=STEPS if spiking else 1)
    assert network.trial.vectorised
    kind: Literal["max", "average"] = "max" if isinstance(pool, nn.MaxPool2d) else "average"
    assert network.architecture.described == {
        "front": Convolution(1, 3, 3, 28, 28, padding=1),
        "front.pool": Pool(kind, 3, 28, 28),
        "back": Convolution(3, 6, 3, 14, 14, stride=2, bias=False, groups=3),
        "output": Dense(216, 10),
    }
    rounds = play(network, CrossEntropy())
    model, shown = in_a_plain_loop(module, (1, 28, 28), code)
    for name, weight in model.items():
        torch.testing.assert_close(rounds[-1].state.model[name], weight.data, rtol=0, atol=1e-9)
    for round, seen in zip(rounds, shown, strict=True):
        for client, layers in seen.items():
            activity = round.activity[client]
            assert list(activity.events_in.values()) == [int(layer[0]) for layer in layers]
            convolutions = (layers[0], layers[2])
            assert list(activity.synapses_met.values()) == [int(x[1]) for x in convolutions]
            count(
                network.operations(), activity
            )  # raises where the activity is not of this network
        assert min(round.spikes.values(), default=1) > 0


def test_operations_of_convolutions_are_the_bill_s() -> None:
    network = ModuleNetwork(Convolutions(True, nn.MaxPool2d(2)), (1, 28, 28), 10, Rate(), STEPS)
    (round,) = play(network, CrossEntropy(), rounds=1)
    met = sum(sum(seen.synapses_met.values()) for seen in round.activity.values())
    assert round.operations == {"mac": 0, "ac": met + 10 * round.spikes["output"]}


# What is not learned.


class Normalised(Values):
    """With running statistics between its layers."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(12)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.output(torch.relu(self.norm(self.hidden(x))))
        return scores


def warm(module: nn.Module) -> nn.Module:
    """Run before, so that its statistics are not those of a new module; then in evaluation mode."""
    module(torch.rand(50, 784))
    return module.eval()


def test_statistics_of_a_batch_are_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"norm of the module, a BatchNorm1d(.|\n)*GroupNorm"):
        ModuleNetwork(Normalised(), (784,), 10)


def test_buffers_stay_as_they_came_and_nobody_sends_them() -> None:
    module = warm(Normalised())
    counted = ModuleNetwork(module, (784,), 10).operations().layers["norm"]
    assert counted.trained["normalise"]["output"]["multiply"] == 1
    network = ModuleNetwork(module, (784,), 10, not_counted=("norm",))
    before = {name: buffer.clone() for name, buffer in module.named_buffers()}
    rounds = play(network)
    model, _ = in_a_plain_loop(module, (784,), None)
    assert rounds[-1].state.model.keys() == model.keys() == dict(module.named_parameters()).keys()
    for name, weight in model.items():
        torch.testing.assert_close(rounds[-1].state.model[name], weight.data, rtol=0, atol=1e-9)
    assert rounds[0].uplink_bytes == 5 * 8 * sum(p.numel() for p in module.parameters())
    assert rounds[0].operations == {}, "a part of the operations was passed off as all of them"
    assert rounds[0].activity[0].events_in.keys() == {"hidden", "output"}
    assert network.operations().not_counted == ("norm",)
    for name, buffer in module.named_buffers():
        assert torch.equal(buffer, before[name])
    assert before["norm.num_batches_tracked"] == 1, "there was no counter to keep"


def test_the_module_is_copied_and_stays_as_it_is() -> None:
    module = with_our_weights(Whole())
    network = ModuleNetwork(module, (784,), 10, Rate(), STEPS)
    before = copy.deepcopy(module.state_dict())
    first = play(network, rounds=1)
    assert all(torch.equal(module.state_dict()[name], t) for name, t in before.items())
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(1)
    again = play(network, rounds=1)
    for name, weight in first[0].state.model.items():
        assert torch.equal(weight, again[0].state.model[name])


def test_a_frozen_parameter_stays_and_is_not_sent() -> None:
    module = Values()
    module.hidden.requires_grad_(False)
    frozen = r"(?s)hidden \(a parameter that is frozen.*or module.requires_grad_\(\), which learns"
    with pytest.raises(InputError, match=frozen):
        ModuleNetwork(module, (784,), 10)
    network = ModuleNetwork(module, (784,), 10, not_counted=("hidden",))
    rounds = play(network)
    model, _ = in_a_plain_loop(module, (784,), None)
    assert rounds[-1].state.model.keys() == {"output.weight", "output.bias"}
    for name, weight in rounds[-1].state.model.items():
        torch.testing.assert_close(weight, model[name].data, rtol=0, atol=1e-9)


def test_snntorchs_membranes_begin_at_rest() -> None:
    """Even in a deep copy, which snnTorch's own reset does not reach, of a module that has run before."""
    module = with_our_weights(Hidden())
    fresh = play(ModuleNetwork(module, (784,), 10, Rate(), STEPS, stepped=True), rounds=1)
    utils.reset(module)
    for _ in range(5):
        module(torch.rand(16, 784))
    assert module.get_buffer("first.mem").abs().sum() > 0, "there was nothing to reset"
    used = play(ModuleNetwork(module, (784,), 10, Rate(), STEPS, stepped=True), rounds=1)
    assert fresh[0].activity == used[0].activity
    for name, weight in fresh[0].state.model.items():
        assert torch.equal(weight, used[0].state.model[name])
    assert fresh[0].state.model.keys() == SMALL.init(stream(0, "init")).keys()


def test_learned_constants_of_neurons_are_parameters() -> None:
    neuron = snntorch.Leaky(0.5, learn_beta=True, init_hidden=True)
    module = nn.Sequential(nn.Linear(784, 10), neuron)
    network = ModuleNetwork(module, (784,), 10, Rate(), STEPS, stepped=True)
    assert network.operations().layers["1"].parameters == 1
    *_, last = play(network, rounds=3)
    assert last.state.model["1.beta"] != 0.5
    assert 0 < last.state.model["1.beta"] < 1


# What is refused.


class Noisy(Values):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x) + torch.rand(10)


class Drawing(Values):
    """Hardly ever noisy, so that a trial would not see it in the answer."""

    def forward(self, x: Tensor) -> Any:
        return super().forward(x) + (torch.rand(10) > 2)


class Remembering(Values):
    count = 0

    def forward(self, x: Tensor) -> Any:
        self.count += 1
        return super().forward(x) * self.count


class Company(Values):
    """Subtracts the mean over the batch, normalises by it, or has softmax over it."""

    def __init__(self, way: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.way = way

    def forward(self, x: Tensor) -> Any:
        return self.way(super().forward(x))


class Counting(Values):
    def __init__(self) -> None:
        super().__init__()
        self.calls: Tensor
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Any:
        self.calls += 1
        return super().forward(x)


class Unused(Values):
    def __init__(self) -> None:
        super().__init__()
        self.spare = nn.Linear(3, 3)


class Transposed(Values):
    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.output(torch.relu(x @ self.hidden.weight.T))
        return scores + self.hidden.bias.sum()


class Twice(Values):
    def __init__(self) -> None:
        super().__init__()
        self.again = nn.Linear(12, 12)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.output(self.again(self.again(self.hidden(x)).relu()).relu())
        return scores


class Recurrent(Values):
    def __init__(self) -> None:
        super().__init__()
        self.memory = nn.LSTM(12, 12, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.output(self.memory(self.hidden(x).unsqueeze(1))[0].squeeze(1))
        return scores


def sequence(*middle: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(784, 12), nn.ReLU(), *middle, nn.Linear(12, 10))


NO_RULE: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "lstm": (Recurrent, r"memory \(lstm of its weight_ih_l0"),
    "transposed": (
        lambda: nn.Sequential(nn.ConvTranspose2d(1, 1, 3), nn.Flatten(), nn.Linear(900, 10)),
        r"0 \(conv_transpose2d of its weight",
    ),
    "transposed weight": (Transposed, r"hidden \(.* of its weight"),
    "applied twice": (Twice, r"again \(a layer that is run 2 times"),
    "a product": (lambda: sequence(Products()), r"matmul \(a product of values"),
    "windows over the edge": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 1, 3), nn.MaxPool2d(4, 3, ceil_mode=True), nn.Flatten(), nn.Linear(81, 10)
        ),
        r"0\.pool \(windows that reach over the edge",
    ),
    "windows of two sizes": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 1, 3), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(16, 10)
        ),
        r"0\.pool \(windows of different sizes",
    ),
}


class Products(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.matmul(x.unsqueeze(2), x.unsqueeze(1)).sum(2)


def shape_of(module: nn.Module) -> tuple[int, ...]:
    image = any(isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) for layer in module.modules())
    return (1, 28, 28) if image else (784,)


@pytest.mark.parametrize("kind", NO_RULE)
def test_a_layer_without_a_rule_is_named_and_trained_if_told_so(kind: str) -> None:
    made, message = NO_RULE[kind]
    module = made()
    with pytest.raises(InputError, match=message) as raised:
        ModuleNetwork(module, shape_of(module), 10)
    fix = str(raised.value).split("not_counted=(")[1].split(")")[0]
    names = tuple(name.strip(' "') for name in fix.split(",") if name.strip())
    (round,) = play(ModuleNetwork(module, shape_of(module), 10, not_counted=names), rounds=1)
    assert round.operations == {}
    assert not round.activity[0].events_in.keys() & set(names)


def test_a_neuron_without_a_rule_is_named() -> None:
    module = nn.Sequential(nn.Linear(784, 10), snntorch.Alpha(0.6, 0.5, init_hidden=True))
    with pytest.raises(InputError, match=r"1 \(Alpha\)"):
        ModuleNetwork(module, (784,), 10, Rate(), STEPS, stepped=True)


def test_layers_that_are_not_in_line_are_named() -> None:
    module = nn.Sequential(
        *(nn.Conv2d(1, 2, 3), nn.ZeroPad2d(1), nn.Flatten(), nn.Linear(1568, 10))
    )
    assert [*ModuleNetwork(module, (1, 28, 28), 10).operations().layers] == ["0", "3"]
    with pytest.raises(InputError, match="layer 3 has 1568 inputs behind 1352 outputs"):
        ModuleNetwork(module.append(Heaviside()), (1, 28, 28), 10, Rate(), STEPS, stepped=True)
    module[4] = leaky(init_hidden=True)
    named = ModuleNetwork(module, (1, 28, 28), 10, Rate(), STEPS, stepped=True)
    assert [*named.operations().layers] == ["0", "3", "4"]


class Heaviside(nn.Module):
    """Neurons that nobody knows."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sigmoid() + ((x > 0).to(x) - x.sigmoid()).detach()


UNFIT: dict[str, tuple[Callable[[], nn.Module], dict[str, Any], str]] = {
    "dropout": (lambda: sequence(nn.Dropout(0.5)), {}, "layer 2 of the module, a Dropout"),
    "noise": (Noisy, {}, "depends on chance"),
    "a draw": (Drawing, {}, "depends on chance"),
    "memory": (Remembering, {}, "what it was shown before"),
    "mean": (lambda: Company(lambda x: x - x.mean(0)), {}, "depends on the others in its batch"),
    "softmax": (lambda: Company(lambda x: x.softmax(0)), {}, "depends on the others in its batch"),
    "functional norm": (
        lambda: Company(lambda x: nn.functional.batch_norm(x, None, None, training=True)),
        {},
        "depends on the others in its batch|more than 1 value per channel",
    ),
    "counter": (Counting, {}, "layer module changes its buffer calls"),
    "unused": (Unused, {}, "does not depend on spare.weight, spare.bias"),
    "nothing to learn": (lambda: Values().requires_grad_(False), {}, "requires a gradient"),
    "classes": (lambda: sequence(), {"classes": 7}, r"makes \[2, 10\] of \[2, 784\]"),
    "shape": (lambda: sequence(), {"shape": (28, 28)}, r"called with \[2, 28, 28\]"),
    "no shape": (lambda: sequence(), {"shape": ()}, r"shape = \(\)"),
    "steps without code": (Hidden, {"stepped": True}, "code = None"),
    "membranes": (
        lambda: nn.Sequential(nn.Linear(784, 10)),
        {"code": Rate(), "time_steps": STEPS},
        "other numbers than 0 and 1",
    ),
    "no such layer": (lambda: sequence(), {"not_counted": ("hiden",)}, "hiden"),
}


make: Callable[..., ModuleNetwork] = ModuleNetwork


@pytest.mark.parametrize("kind", UNFIT)
def test_what_does_not_fit_is_refused(kind: str) -> None:
    made, settings, message = UNFIT[kind]
    with pytest.raises(InputError, match=message):
        make(made(), **({"shape": (784,), "classes": 10} | settings))


def test_dropout_that_does_nothing_is_welcome() -> None:
    for module in (sequence(nn.Dropout(0.0)), sequence(nn.Dropout(0.5)).eval()):
        assert ModuleNetwork(module, (784,), 10).architecture.names == ("0", "3")


def test_numbers_where_the_bill_has_spikes_are_named() -> None:
    """Without neurons behind it, a layer hands on what the bill cannot take for spikes."""
    module = nn.Sequential(
        *(nn.Linear(784, 10), nn.ReLU(), nn.Linear(10, 10), leaky(init_hidden=True))
    )
    network = ModuleNetwork(module, (784,), 10, Rate(), STEPS, stepped=True)
    with pytest.raises(InputError, match="layer 2: numbers other than 0 and 1"):
        play(network, rounds=1)


def test_data_and_loss_that_do_not_fit() -> None:
    with pytest.raises(InputError, match="784 pixels"):
        play(ModuleNetwork(nn.Linear(100, 10), (100,), 10))
    with pytest.raises(InputError, match="SpikeCountMSE of a network's values"):
        play(own(Values()), SpikeCountMSE())


# Vectorised or not.


def test_that_a_module_is_trained_in_turn_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    warn_once.cache_clear()
    with caplog.at_level(logging.WARNING, logger="fedspike"):
        play(own(Item()), rounds=2)
        own(Item())
        own(Values())
    said = [r.message for r in caplog.records if "one client at a time" in r.message]
    assert len(said) == 1
    assert said[0].startswith("Item is trained one client at a time, because torch.vmap refuses it")


@pytest.mark.parametrize("kind", ["whole", "hidden"])
def test_at_once_and_in_turn_are_the_same(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made, stepped = SPIKING[kind]
    at_once = own(made(), code=Rate(), time_steps=STEPS, stepped=stepped)
    monkeypatch.setattr("fedspike.networks.module.trial._vectorises", lambda *_: False)
    in_turn = own(made(), code=Rate(), time_steps=STEPS, stepped=stepped)
    assert (at_once.trial.vectorised, in_turn.trial.vectorised) == (True, False)
    assert_equal_rounds(play(at_once), play(in_turn))


def test_a_client_has_done_the_same_in_any_company() -> None:
    network = own(Whole(), code=Rate(), time_steps=STEPS)
    (together,) = play(network, rounds=1)
    (alone,) = play(network, rounds=1, fleet=devices(UNEQUAL.shards[:1]))
    assert together.activity[0] == alone.activity[0]


def test_the_initial_weights_are_the_modules() -> None:
    module = nn.Sequential(nn.Linear(784, 10))
    network = ModuleNetwork(module, (784,), 10)
    for seed in (0, 1):
        model = network.init(stream(seed, "init"))
        assert model.keys() == {"0.weight", "0.bias"}
        assert all(torch.equal(model[name], p) for name, p in module.named_parameters())
