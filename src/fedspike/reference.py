"""The founding study written the way it reads: snnTorch modules, one client after another, plain loops.

This room is the oracle. It is never optimised and never deleted; the batched engine is held against it. It
shares with the engine only what must be the same for a comparison to mean anything: who holds what and who
sees what when (`devices`), the initial weights, the input spikes, and the algorithm.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import snntorch
import snntorch.functional
import snntorch.surrogate
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from fedspike import rules
from fedspike.algorithms import Algorithm, Client, LocalModel, Tree, packing_draws
from fedspike.algorithms.trees import alone, row
from fedspike.data import Dataset
from fedspike.errors import InputError
from fedspike.federation.cohort import Site
from fedspike.federation.plan import Plan
from fedspike.layers.activity import Activity
from fedspike.layers.shapes import Convolution, Dense, Pool
from fedspike.learning.backpropagation import Backpropagation
from fedspike.networks import ConventionalNetwork, Parameters, SizedNetwork, SpikingNetwork
from fedspike.parts.codes import Address
from fedspike.parts.losses import (
    CalibratedCrossEntropy,
    CrossEntropy,
    Loss,
    RestrictedCrossEntropy,
    SpikeCountMSE,
)
from fedspike.parts.neurons import LIF
from fedspike.parts.normalisations import Unnormalised
from fedspike.parts.optimisers import SGD, Adam
from fedspike.parts.read_outs import SpikeCount
from fedspike.randomness import stream


class Layers(nn.Module):
    """The layers of a network, as torch has them, and what entered them since the start."""

    def __init__(self, network: ConventionalNetwork | SpikingNetwork) -> None:
        super().__init__()
        self.layers = dict(network.architecture.described)
        for name, layer in self.layers.items():
            self.add_module(name, _module_of(layer))
        self.names = network.architecture.names
        self.amplification = network.amplification  # of what a narrowed layer sends on
        self.events_in = dict.fromkeys(self.layers, 0)  # spikes, or values other than zero
        self.synapses_met = {n: 0 for n, x in self.layers.items() if isinstance(x, Convolution)}
        self.events_out = 0

    def through(
        self, name: str, flowing: Float[Tensor, "batch *before"]
    ) -> Float[Tensor, "batch *after"]:
        """What comes out of a layer."""
        layer, module = self.layers[name], self.get_submodule(name)
        self.events_in[name] += int(torch.count_nonzero(flowing))
        flowing = flowing.reshape(len(flowing), *_shape_before(layer))
        if isinstance(module, nn.Conv2d):
            events, ones = (flowing != 0).to(flowing), torch.ones_like(module.weight)
            reached = nn.functional.conv2d(events, ones, None, module.stride, module.padding)
            self.synapses_met[name] += int(reached.sum())
        if name in self.names[1:]:
            flowing = self.amplification * flowing
        out: Tensor = module(flowing)
        return out


def _module_of(layer: Dense | Convolution | Pool) -> nn.Module:
    if isinstance(layer, Convolution):
        channels = (layer.in_channels, layer.out_channels)
        return nn.Conv2d(*channels, layer.kernel, layer.stride, layer.padding)
    if isinstance(layer, Pool):
        return nn.AvgPool2d(layer.size) if layer.kind == "average" else nn.MaxPool2d(layer.size)
    return nn.Linear(layer.inputs, layer.outputs)


def _shape_before(layer: Dense | Convolution | Pool) -> tuple[int, ...]:
    if isinstance(layer, Convolution):
        return layer.in_channels, layer.height, layer.width
    if isinstance(layer, Pool):
        return layer.channels, layer.height, layer.width
    return (layer.inputs,)


class ConventionalModule(Layers):
    """Layers with ReLU behind all with weights but the last."""

    def forward(self, pixels: Float[Tensor, "batch pixel"]) -> Float[Tensor, "batch class"]:
        """Scores of one batch."""
        flowing = pixels
        for name in self.layers:
            flowing = self.through(name, flowing)
            if name in self.names[:-1]:
                flowing = torch.relu(flowing)
        return flowing


class Arctan(snntorch.surrogate.ATan):  # type: ignore[misc]
    """snnTorch's default surrogate, which always answers in float32, kept in the type of its input."""

    @staticmethod
    def forward(ctx: Any, input_: Tensor, alpha: float) -> Tensor:
        """Spikes, 0.0 and 1.0."""
        return snntorch.surrogate.ATan.forward(ctx, input_, alpha).to(input_.dtype)  # type: ignore[no-any-return]


def arctan(distance: Tensor) -> Tensor:
    """The spike function at U - theta, with the arctangent's gradient."""
    spikes: Tensor = Arctan.apply(distance, 2.0)
    return spikes


class SpikingModule(Layers):
    """Layers, snnTorch's leaky neurons behind all with weights, stepped through time."""

    def __init__(self, network: SpikingNetwork) -> None:
        super().__init__(network)
        neuron, norm = network.neuron, network.snn.normalisation
        if not (
            isinstance(neuron, LIF)
            and isinstance(network.read_out, SpikeCount)
            and isinstance(norm, Unnormalised)
        ):
            raise InputError(
                f"{type(neuron).__name__} with {type(network.read_out).__name__}, normalised by {norm}, "
                "in the reference",
                expected="the founding study's network: LIF neurons whose spikes are counted",
                fix="ask the simulator, which has all of them",
            )
        # As float64, or snnTorch would round them to float32 once and for all.
        beta, threshold = torch.tensor([neuron.beta, neuron.threshold], dtype=torch.float64)
        self.neurons = nn.ModuleDict(
            {
                name: snntorch.Leaky(
                    beta=beta,
                    threshold=threshold,
                    reset_mechanism=neuron.reset,
                    spike_grad=arctan,
                )
                for name in self.names
            }
        )

    def forward(
        self, spikes: Float[Tensor, "time batch pixel"]
    ) -> Float[Tensor, "time batch class"]:
        """Output spikes of one batch at every time step, from rest."""
        membranes = {name: torch.zeros(0) for name in self.names}  # what Leaky takes for rest
        recorded = []
        for flowing in spikes:
            for name in self.layers:
                flowing = self.through(name, flowing)
                if name in self.names:
                    flowing, membranes[name] = self.neurons[name](flowing, membranes[name])
            self.events_out += int(flowing.sum())
            recorded.append(flowing)
        return torch.stack(recorded)


@dataclass(frozen=True)
class ReferenceRound:
    """The global model, its accuracy, and what each client did to train it and the server to test it."""

    number: int
    model: Parameters
    accuracy: float
    activity: dict[int, Activity]
    tested: Activity


@dataclass(frozen=True)
class Asked:
    """A client at work: since when, what it received, and the simulated time that it still takes."""

    round: int
    received: Tree
    needs: float

    def later(self, time: float) -> "Asked":
        """The same, so much later."""
        return replace(self, needs=max(0.0, self.needs - time))


def federated_learning(plan: Plan, dtype: torch.dtype = torch.float32) -> Iterator[ReferenceRound]:
    """The study's loop: send, train every client in turn, average, test."""
    plan = plan.loaded().fitted()
    site = plan.site(dtype=dtype)
    network, algorithm, devices, seed = site.network, site.algorithm, site.devices, plan.seed
    initial = network.init(stream(seed, "init"))
    server = algorithm.start({name: w.to(dtype) for name, w in initial.items()})
    memories: dict[int, Tree] = {}
    at_work: dict[int, Asked] = {}
    losses: dict[int, float] = {}

    for number in range(1, plan.rounds + 1):
        replies, samples, remembered = [], [], dict(memories)
        activity: dict[int, Activity] = {}
        cohort = devices.cohort(seed, number, at_work, losses)
        wanted = min(
            algorithm.waits_for or devices.enough or len(cohort), len(cohort) + len(at_work)
        )
        for client in cohort:
            if not devices.drops_out(seed, number, client):
                time = devices.training_time(seed, client, plan.learner.epochs)
                at_work[client] = Asked(number, algorithm.order(server, client), time)
        first = sorted(at_work, key=lambda client: at_work[client].needs)[:wanted]
        now = max((at_work[client].needs for client in first), default=0.0)
        for client in sorted(first):
            asked = at_work[client]
            received, own = asked.received, site.network_of(client)
            memory = remembered.get(client) or algorithm.remember(received)
            module = _module(own, _beginning(algorithm, received, memory), dtype)
            shown = torch.from_numpy(devices.shown(seed, asked.round, client, plan.learner.epochs))
            address = Address(seed, "encode", asked.round, (client,), (0,))
            steps, losses[client] = _train_client(module, site, received, memory, shown, address)
            trained = {name: w.detach().clone() for name, w in module.named_parameters()}
            draws = packing_draws(seed, asked.round, client)
            reply, memories[client] = _answer(site, received, trained, memory, steps, draws)
            if algorithm.waits_for:
                age = number - asked.round
                reply = {g: algorithm.aged(g, own, age) for g, own in reply.items()}
            replies.append(reply)
            samples.append(devices.samples(client))
            activity[client] = _activity(module, len(shown), steps)
        goes_on = at_work if algorithm.waits_for else ()
        at_work = {k: at_work[k].later(now) for k in goes_on if k not in first}
        if replies and len(replies) / wanted >= devices.fleet.quorum:
            joined = {
                group: rules.joined(
                    *(rule, [reply[group] for reply in replies], torch.tensor(samples)),
                    like=server["model"] if group == "update" else None,
                )
                for group, rule in algorithm.joining().items()
            }
            server = algorithm.next_state(server, joined, len(replies) / len(devices.shards))
        elif algorithm.takes_back:
            memories = remembered
        accuracy, tested = _test(network, server["model"], plan.data, dtype, seed, number)
        yield ReferenceRound(number, server["model"], accuracy, activity, tested)


def _module(
    network: SizedNetwork, model: Parameters, dtype: torch.dtype
) -> SpikingModule | ConventionalModule:
    module: SpikingModule | ConventionalModule
    if isinstance(network, SpikingNetwork):
        module = SpikingModule(network)
    else:
        assert isinstance(network, ConventionalNetwork)
        module = ConventionalModule(network)
    module.to(dtype)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(model[name])
    return module


def _train_client(
    module: nn.Module,
    site: Site,
    received: Tree,
    memory: Tree,
    shown: Int64[Tensor, " _shown"],
    address: Address,
) -> tuple[int, float]:
    """Train one client's module in place; return the number of steps, and the mean sample's loss."""
    training, (images, labels) = site.learner, (part[shown] for part in site.samples)
    assert isinstance(training, Backpropagation)
    settings = training.optimiser
    optimiser: torch.optim.Optimizer
    if isinstance(settings, SGD):
        optimiser = torch.optim.SGD(module.parameters(), lr=settings.learning_rate)
    else:
        assert isinstance(settings, Adam)
        betas = (settings.beta1, settings.beta2)
        optimiser = torch.optim.Adam(
            module.parameters(), lr=settings.learning_rate, betas=betas, eps=settings.epsilon
        )
    steps, losses = 0, 0.0
    samples = len(labels) // training.epochs
    held = torch.bincount(labels[:samples], minlength=site.network.architecture.layers[-1])
    for epoch in range(training.epochs):
        for first in range(0, samples, training.batch_size):
            begin = epoch * samples + first
            end = epoch * samples + min(first + training.batch_size, samples)
            x, y = images[begin:end], labels[begin:end]
            here = Address(address.seed, address.purpose, address.round, address.clients, (begin,))
            optimiser.zero_grad()
            loss = _loss(module, site, x, y, here, held)
            loss.backward()  # type: ignore[no-untyped-call]
            losses += float(loss.detach()) * len(y)
            gradients = {
                name: p.grad for name, p in module.named_parameters() if p.grad is not None
            }
            parameters = {name: p.detach() for name, p in module.named_parameters()}
            for name, g in site.algorithm.correct(
                gradients, parameters, Client(received, memory)
            ).items():
                module.get_parameter(name).grad = g
            optimiser.step()
            steps += 1
    return steps, losses / len(labels)


def _loss(
    module: nn.Module, site: Site, x: Tensor, y: Tensor, address: Address, held: Tensor
) -> Tensor:
    assert isinstance(site.learner, Backpropagation)
    network, aim = site.network_of(address.clients[0]), site.learner.loss
    if isinstance(network, ConventionalNetwork):
        return _cross_entropy(module(x), y, aim or CrossEntropy(), held)
    assert isinstance(network, SpikingNetwork)
    spikes = network.code.spikes(x.unsqueeze(0), address, network.time_steps).squeeze(1)
    if not isinstance(aim, SpikeCountMSE):
        return _cross_entropy(module(spikes).sum(0), y, aim or CrossEntropy(), held)
    loss = snntorch.functional.mse_count_loss(
        correct_rate=aim.correct_rate, incorrect_rate=aim.incorrect_rate
    )
    value: Tensor = loss(module(spikes), y)
    return value


def _cross_entropy(z: Tensor, y: Tensor, aim: Loss, held: Tensor) -> Tensor:
    """Of scores z [sample, class], as a loss takes them where so many samples of each class are `held`."""
    for c, n in enumerate(held.tolist()):
        own = z[:, c]
        if isinstance(aim, CalibratedCrossEntropy) and aim.by == "prior":
            own = own + aim.tau * math.log(max(n / int(held.sum()), 1e-9))
        elif isinstance(aim, CalibratedCrossEntropy):
            own = own - (aim.tau * n**-0.25 if n else 1e4)
        elif isinstance(aim, RestrictedCrossEntropy):
            own = own if n else aim.alpha * own
        elif type(aim) is not CrossEntropy:
            raise TypeError(f"the plain loop has no {aim}")
        z = torch.cat([z[:, :c], own[:, None], z[:, c + 1 :]], dim=1)
    return nn.functional.cross_entropy(z, y)


def _answer(
    site: Site,
    received: Tree,
    trained: Parameters,
    memory: Tree,
    steps: int,
    draws: np.random.Generator,
) -> tuple[Tree, Tree]:
    """Put the client axis on for the algorithm, and take it off again; what came out of the packing."""
    model = {name: w.unsqueeze(0) for name, w in trained.items()}
    local = LocalModel(model, torch.tensor([steps]), site.learner.learning_rate)
    reply, new = site.algorithm.answer(Client(alone(received), alone(memory)), local)
    whole = row(reply, 0)
    sent, remembered = site.algorithm.packed(whole, row(new, 0), draws)
    return site.algorithm.unpacked(sent, whole), remembered


def _beginning(algorithm: Algorithm, received: Tree, memory: Tree) -> Parameters:
    start = algorithm.begin(Client(alone(received), alone(memory)))
    return {name: weight[0] for name, weight in start.items()}


def _test(
    network: SizedNetwork,
    model: Parameters,
    dataset: Dataset,
    dtype: torch.dtype,
    seed: int,
    round: int,
) -> tuple[float, Activity]:
    images = torch.from_numpy(dataset.x_test).flatten(1).to(dtype)
    labels = torch.from_numpy(dataset.y_test)
    module = _module(network, model, dtype)
    correct = 0
    with torch.no_grad():
        for first in range(0, len(images), 500):
            x, y = images[first : first + 500], labels[first : first + 500]
            if isinstance(network, ConventionalNetwork):
                scores = module(x)
            else:
                assert isinstance(network, SpikingNetwork)
                address = Address(seed, "encode-test", round, (0,), (first,))
                scores = module(
                    network.code.spikes(x.unsqueeze(0), address, network.time_steps).squeeze(1)
                ).sum(0)
            correct += int((scores.argmax(1) == y).sum())
    return correct / len(images), _activity(module, len(images), steps=0)


def _activity(module: Layers, samples: int, steps: int) -> Activity:
    return Activity(samples, steps, module.events_in, module.events_out, module.synapses_met)
