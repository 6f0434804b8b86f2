"""The study's loop: one client after another, plain loops."""

import copy
import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
import torch
from torch import Tensor, nn

from fedspike import rules
from fedspike.algorithms import Client, LocalModel, Tree, packing_draws
from fedspike.algorithms.trees import alone, row
from fedspike.data.partition.likeness import evenly, like_whom
from fedspike.errors import InputError
from fedspike.federation.cohort import Site
from fedspike.federation.plan import Plan
from fedspike.layers.activity import Activity
from fedspike.learning import Shown
from fedspike.learning.backpropagation import Backpropagation
from fedspike.learning.batches import balanced
from fedspike.networks import Parameters, SizedNetwork
from fedspike.part import tag
from fedspike.parts.codes import Address
from fedspike.parts.losses import (
    Loss,
)
from fedspike.randomness import stream
from fedspike.reference.losses import Comparison, loss_of
from fedspike.reference.modules import Layers, module_of
from fedspike.reference.optimisers import kept_after, optimiser_of


@dataclass(frozen=True)
class ReferenceRound:
    """The global model, its accuracy, and what each client did to train it and the server to test it.

    `memories` are what clients remember.
    """

    number: int
    model: Parameters
    memories: dict[int, Tree]
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
    if plan.fleet.clock.runs:
        raise InputError(
            f"clock {plan.fleet.clock.kind} in the reference",
            expected="rounds that take no time",
            fix="ask the simulator, which has clocks",
        )
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
        wanted = algorithm.waits_for or devices.enough or len(cohort)
        wanted = min(wanted, len(cohort) + len(at_work))
        for client in cohort:
            if not devices.drops_out(seed, number, client):
                time = devices.training_time(seed, client, plan.learner.epochs)
                at_work[client] = Asked(number, algorithm.order(server, client), time)
        first = sorted(at_work, key=lambda client: at_work[client].needs)[:wanted]
        now = max((at_work[client].needs for client in first), default=0.0)
        for client in sorted(first):
            asked = at_work[client]
            memory = remembered.get(client) or algorithm.remember(asked.received)
            begins = Client(asked.received, memory)
            reply, memories[client], losses[client], activity[client] = _local_round(
                site, client, begins, asked.round
            )
            if algorithm.waits_for:
                staleness = number - asked.round
                reply = {g: algorithm.aged(g, own, staleness) for g, own in reply.items()}
            replies.append(reply)
            samples.append(devices.samples(client))
        goes_on = at_work if algorithm.waits_for else ()
        at_work = {k: at_work[k].later(now) for k in goes_on if k not in first}
        if replies and len(replies) / wanted >= devices.fleet.quorum:
            joined = {
                group: rules.joined(
                    rule,
                    [reply[group] for reply in replies],
                    torch.tensor(samples),
                    like=server["model"] if group == "update" else None,
                    first_clients=sorted(first),
                )
                for group, rule in algorithm.joining().items()
            }
            server = algorithm.next_state(server, joined, len(replies) / len(devices.shards))
        elif algorithm.takes_back:
            memories = remembered
        accuracy, tested = _test(plan, site, server, memories, number)
        yield ReferenceRound(number, server["model"], dict(memories), accuracy, activity, tested)


def _local_round(
    site: Site, client: int, begins: Client, round: int
) -> tuple[Tree, Tree, float, Activity]:
    """A client's reply, what it remembers, the loss of its mean sample, and what it did."""
    algorithm, network, dtype = site.algorithm, site.network_of(client), site.samples[0].dtype
    shown, passes = _shown(site, client, round), 2 if _learner(site, client).ascent else 1
    activities: list[Activity] = []
    for _ in range(algorithm.trainings):
        module = module_of(network, _model(algorithm.begin(_alone(begins))), dtype)
        steps, loss, kept = _train_client(module, site, begins, shown)
        activities.append(_activity(module, passes * len(shown.positions[0]), steps))
        trained = {name: w.detach().clone() for name, w in module.named_parameters()} | kept
        before, begins = begins, replace(begins, trained=(*begins.trained, trained))
    draws = packing_draws(site.seed, round, client)
    reply, memory = _answer(site, before, trained, (steps, round), draws)
    return reply, memory, loss, reduce(operator.add, activities)


def _shown(site: Site, client: int, round: int) -> Shown:
    """What a client sees in a round, in that order."""
    learner = _learner(site, client)
    positions = torch.from_numpy(site.devices.shown(site.seed, round, client, learner.epochs))
    address = Address(site.seed, "encode", round, (client,), (0,))
    shown = Shown(*site.samples, [positions], address)
    return balanced(shown, learner.epochs) if learner.balanced else shown


def _train_client(
    module: Layers, site: Site, begins: Client, shown: Shown
) -> tuple[int, float, Parameters]:
    """Train one client's module in place; its steps, mean sample's loss, and what its optimiser remembers."""
    address, (own,) = shown.address, shown.positions
    training = _learner(site, address.clients[0])
    images, labels = (part[own] for part in site.samples)
    kept = begins.memory.get("learner", {})
    optimiser = optimiser_of(module, training, address.round, kept)
    network = site.network_of(address.clients[0])
    steps, losses = 0, 0.0
    samples = len(labels) // training.epochs
    held = torch.bincount(labels, minlength=site.network.architecture.layers[-1])
    held, before = held.to(images.dtype) / training.epochs, copy.deepcopy(module)
    comparison = _comparison(site, address.clients[0], begins)
    for epoch in range(training.epochs):
        for first in range(0, samples, training.batch_size):
            begin = epoch * samples + first
            end = epoch * samples + min(first + training.batch_size, samples)
            x, y = images[begin:end], labels[begin:end]
            here = Address(address.seed, address.purpose, address.round, address.clients, (begin,))
            minibatch = before, network, training.loss, (x, y), here, held, comparison
            loss, gradients = _gradients(module, minibatch)
            losses += loss * len(y)
            if training.ascent:
                gradients = _above(module, gradients, training.ascent, minibatch)
            parameters = {name: p.detach() for name, p in module.named_parameters()}
            corrected = site.algorithm.correct(gradients, parameters, begins)
            for name, parameter in module.named_parameters():
                parameter.grad = corrected.get(name)
            optimiser.step()
            steps += 1
    return steps, losses / len(labels), kept_after(module, optimiser, kept, steps)


Samples = tuple[Tensor, Tensor]
Minibatch = tuple[nn.Module, SizedNetwork, Loss | None, Samples, Address, Tensor, Comparison | None]
"""What a loss is of, beside the module."""


def _gradients(module: Layers, minibatch: Minibatch) -> tuple[float, Parameters]:
    module.zero_grad()
    loss = loss_of(module, *minibatch)
    loss.backward()  # type: ignore[no-untyped-call]
    own = module.named_parameters()
    return float(loss.detach()), {n: p.grad.clone() for n, p in own if p.grad is not None}


def _above(module: Layers, slopes: Parameters, ascent: float, minibatch: Minibatch) -> Parameters:
    """The gradients so far up these slopes; the module ends where it was."""
    length = torch.cat([g.flatten() for g in slopes.values()]).norm()
    here = {name: p.detach().clone() for name, p in module.named_parameters()}
    with torch.no_grad():
        for name, p in module.named_parameters():
            p.add_(ascent * slopes[name] / length)
    _, above = _gradients(module, minibatch)
    with torch.no_grad():
        for name, p in module.named_parameters():
            p.copy_(here[name])
    return above


def _learner(site: Site, client: int) -> Backpropagation:
    """What trains a client. Raises InputError for what this loop does not have."""
    learner = site.algorithm.learner(site.learner, client)
    if isinstance(learner, Backpropagation):
        return learner
    raise InputError(
        f"learner {learner.kind} in the reference",
        expected=tag(Backpropagation),
        fix="ask the simulator, which has other learners",
    )


def _answer(
    site: Site,
    begins: Client,
    trained: Parameters,
    steps: tuple[int, int],
    draws: np.random.Generator,
) -> tuple[Tree, Tree]:
    """Put the client axis on for the algorithm, and take it off again; what came out of the packing.

    `steps` of the client, and the round in which it made them.
    """
    made, round = steps
    rate = site.learner.in_round(round).learning_rate
    model = {name: w.unsqueeze(0) for name, w in trained.items()}
    local = LocalModel(model, torch.tensor([made]), rate)
    reply, new = site.algorithm.answer(_alone(begins), local)
    whole = row(reply, 0)
    sent, remembered = site.algorithm.packed(whole, row(new, 0), draws)
    return site.algorithm.unpacked(sent, whole), remembered


def _model(of_one: Parameters) -> Parameters:
    """Without the client axis."""
    return {name: weight[0] for name, weight in of_one.items()}


def _comparison(site: Site, client: int, begins: Client) -> Comparison | None:
    """What the algorithm adds to the loss, where it compares models."""
    algorithm, network, dtype = site.algorithm, site.network_of(client), site.samples[0].dtype
    if not algorithm.models_compared:
        return None
    models = map(_model, algorithm.frozen(_alone(begins)))
    return [module_of(network, model, dtype) for model in models], algorithm.comparison


def _alone(client: Client) -> Client:
    before = (alone({"trained": model})["trained"] for model in client.trained)
    return Client(alone(client.received), alone(client.memory), tuple(before))


def _test(
    plan: Plan, site: Site, server: Tree, memories: Mapping[int, Tree], round: int
) -> tuple[float, Activity]:
    """The server's model on all test samples, or each client's own on those that are dealt to it."""
    labels, algorithm, network = torch.from_numpy(plan.data.y_test), site.algorithm, site.network
    images = torch.from_numpy(plan.data.x_test).flatten(1).to(site.samples[0].dtype)
    like, model = np.zeros(len(labels), np.int64), server["model"]
    if algorithm.decentralised:
        like = evenly(len(labels), site.devices.members, plan.seed_of_data)
    elif algorithm.personal:
        like = like_whom(plan.data.y_test, site.devices.class_counts)
    correct, before, activities = 0, 0, list[Activity]()
    for client in np.unique(like).tolist():
        if algorithm.personal:
            ordered = algorithm.order(server, client)
            model = algorithm.own(ordered, memories.get(client) or algorithm.remember(ordered))
        module, own = module_of(network, model, images.dtype), np.flatnonzero(like == client)
        for first in range(0, len(own), 500):
            x, y = images[own[first : first + 500]], labels[own[first : first + 500]]
            address = Address(plan.seed, "encode-test", round, (0,), (before + first,))
            with torch.no_grad():
                correct += int((_scores(module, network, x, address).argmax(1) == y).sum())
        before += len(own)
        activities.append(_activity(module, len(own), steps=0))
    return correct / len(labels), reduce(operator.add, activities)


def _scores(module: nn.Module, network: SizedNetwork, x: Tensor, address: Address) -> Tensor:
    if network.code is None:
        scores: Tensor = module(x)
        return scores
    spikes = network.code.spikes(x.unsqueeze(0), address, network.time_steps).squeeze(1)
    counts: Tensor = module(spikes).sum(0)
    return counts


def _activity(module: Layers, samples: int, steps: int) -> Activity:
    return Activity(samples, steps, module.events_in, module.events_out, module.synapses_met)
