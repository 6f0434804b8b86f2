"""The rounds of a fleet, in memory, as an iterator.

    for round in simulate(network=..., algorithm=fedavg(), fleet=..., ...):
        print(round.number, round.accuracy)

Logging, checkpoints and early stopping are ordinary code in that loop. `round.state` is all that the next
round needs: pass it back as `state` and the rounds go on with the same bits.
"""

import operator
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from time import perf_counter
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from fedspike.algorithms import Algorithm, Tree, reply_form, with_statistics
from fedspike.algorithms.trees import count_bytes
from fedspike.data import Dataset
from fedspike.energy.counts import synaptic
from fedspike.engine.choice import engine_for
from fedspike.errors import InputError
from fedspike.federation.cohort import Samples, Site, Work, samples, train_cohort
from fedspike.federation.devices import Fleet
from fedspike.federation.guard import Order, Rejection, Verdict, judge_stacked
from fedspike.layers.activity import Activity
from fedspike.layers.operations import Operations
from fedspike.learning.backpropagation import Backpropagation, activities, counted
from fedspike.networks import Batch, Parameters, SizedNetwork
from fedspike.parts.codes import Address
from fedspike.randomness import stream


@dataclass(frozen=True)
class State:
    """All that the next round needs: the rounds done, the server's tensors and the clients' memories."""

    round: int
    server: Tree
    clients: dict[int, Tree]

    @property
    def model(self) -> Parameters:
        """The global model, no client axis."""
        return self.server["model"]

    @property
    def statistics(self) -> Parameters:
        """The running statistics of a normalised network that the server has pooled, if it does."""
        return self.server.get("statistics", {})

    @property
    def tested(self) -> Parameters:
        """Both, which is what a test takes."""
        return self.model | self.statistics

    def tensors(self) -> dict[str, Tensor]:
        """Everything under flat names: "server/model/hidden.weight", "client/3/control/hidden.weight"."""
        owners = {"server": self.server} | {f"client/{k}": tree for k, tree in self.clients.items()}
        return {
            f"{owner}/{group}/{name}": tensor
            for owner, tree in owners.items()
            for group, parameters in tree.items()
            for name, tensor in parameters.items()
        }

    @classmethod
    def from_tensors(cls, round: int, tensors: dict[str, Tensor]) -> "State":
        """The state whose `tensors()` these are."""
        server: Tree = {}
        clients: dict[int, Tree] = {}
        for path, tensor in tensors.items():
            *owner, group, name = path.split("/")
            tree = server if owner == ["server"] else clients.setdefault(int(owner[1]), {})
            tree.setdefault(group, {})[name] = tensor
        return cls(round, server, clients)


@dataclass(frozen=True)
class Round:
    """What one round did.

    `activity` is what each client that took part did to train, and `tested` what the server did to test
    the new model. `spikes`, `operations` and, by layer, `firing_rates` are of the training, over all clients;
    operations and rates are empty where a module has layers that are not counted, rates if nobody trained.

    `rejections` are the replies that the guard refused: their clients trained and sent, but touched neither
    the model nor the `training_loss`, which is nan where nobody was accepted. `missing` clients dropped out.
    In a `skipped` round too few were accepted, and the server's state is that of the round before. `nodes`
    is the ledger of real devices, an entry for each node that was asked; see deploy/.
    """

    number: int
    state: State
    accuracy: float
    training_loss: float
    activity: dict[int, Activity]
    tested: Activity
    spikes: dict[str, int]
    operations: Operations
    firing_rates: dict[str, float]
    uplink_bytes: int
    downlink_bytes: int
    seconds: dict[str, float]
    rejections: tuple[Rejection, ...]
    missing: tuple[int, ...]
    skipped: bool
    nodes: tuple[dict[str, Any], ...] = ()

    @property
    def clients(self) -> tuple[int, ...]:
        """The clients that took part."""
        return tuple(self.activity)

    @property
    def samples(self) -> int:
        """Samples trained on, once for each epoch."""
        return sum(seen.samples for seen in self.activity.values())


def simulate(
    *,
    network: SizedNetwork,
    algorithm: Algorithm,
    fleet: Fleet,
    training: Backpropagation,
    dataset: Dataset,
    seed: int,
    rounds: int,
    state: State | None = None,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
) -> Iterator[Round]:
    """Yield the rounds up to number `rounds`, from the start or from a `state` reached before.

    Clients train, and the model is tested, on `device`; the server and its states stay on the CPU. Accuracy
    is a fraction of all test images. Raises InputError, before any work, if the parts do not fit together.
    """
    _check(network, algorithm, fleet, training, dataset, rounds)
    algorithm = with_statistics(algorithm, network)
    train_set = samples(dataset.x_train, dataset.y_train, dtype, device)
    test_set = samples(dataset.x_test, dataset.y_test, dtype, device)
    if state is None:
        model = network.init(stream(seed, "init"))
        model = {name: weight.to(dtype) for name, weight in model.items()}
        state = State(round=0, server=algorithm.start_server(model), clients={})

    site = Site(fleet, train_set, training, seed)
    form = reply_form(algorithm, state.server)
    for number in range(state.round + 1, rounds + 1):
        started = perf_counter()
        present = fleet.present(seed, number)
        received = algorithm.send(state.server)
        memories = {
            client: state.clients.get(client) or algorithm.start_client(state.model)
            for client in present
        }
        work = train_cohort(present, algorithm, network, site, received, memories, number)
        state, verdict = _judged(algorithm, fleet, seed, state, form, work)
        yield concluded(
            network,
            state,
            work,
            verdict,
            test_set,
            seed,
            uplink_bytes=count_bytes(work.replies),
            downlink_bytes=len(present) * count_bytes(received),
            seconds={"training": perf_counter() - started},
        )


def _judged(
    algorithm: Algorithm, fleet: Fleet, seed: int, state: State, form: Tree, work: Work
) -> tuple[State, Verdict]:
    """The state after the next round: the server's made of what the guard lets through."""
    number = state.round + 1
    size = {client: fleet.samples(client) for client in fleet.cohort(seed, number)}
    order = Order(number, {k: {k: samples} for k, samples in size.items()}, form, fleet.quorum)
    answered = tuple(work.activity)
    verdict = judge_stacked(order, answered, [size[k] for k in answered], work.replies)
    server = state.server
    if not verdict.skipped:
        share = len(verdict.clients) / len(fleet.shards)
        server = algorithm.aggregate(server, verdict.replies, verdict.weights, share)
    return State(number, server, state.clients | work.memories), verdict


def concluded(
    network: SizedNetwork,
    state: State,
    work: Work,
    verdict: Verdict,
    test_set: Samples,
    seed: int,
    *,
    uplink_bytes: int,
    downlink_bytes: int,
    seconds: dict[str, float],
    nodes: tuple[dict[str, Any], ...] = (),
) -> Round:
    """The round that led to this state, after the test of its model; `seconds` are those before."""
    began = perf_counter()
    accuracy, tested = evaluate(network, state.tested, *test_set, seed=seed, round=state.round)
    trained = reduce(operator.add, work.activity.values(), _nothing(tested))
    spikes = _spikes(network, trained)
    return Round(
        number=state.round,
        state=state,
        accuracy=accuracy,
        training_loss=work.mean_loss(verdict.clients),
        activity=work.activity,
        tested=tested,
        spikes=spikes,
        operations=_operations(network, trained),
        firing_rates=_firing_rates(network, trained),
        uplink_bytes=uplink_bytes,
        downlink_bytes=downlink_bytes,
        seconds=seconds | {"evaluation": perf_counter() - began},
        rejections=verdict.rejections,
        missing=verdict.missing,
        skipped=verdict.skipped,
        nodes=nodes,
    )


def _nothing(done: Activity) -> Activity:
    """As much of everything that a network does as if nobody had done any."""
    none = [dict.fromkeys(counts, 0) for counts in (done.events_in, done.synapses_met)]
    return Activity(samples=0, steps=0, events_in=none[0], synapses_met=none[1])


def _spikes(network: SizedNetwork, done: Activity) -> dict[str, int]:
    """The spikes that entered each layer, of those that spikes enter."""
    return {name: done.events_in[name] for name in network.spiked}


def _firing_rates(network: SizedNetwork, done: Activity) -> dict[str, float]:
    return network.firing_rates(done) if done.samples else {}


def evaluate(
    network: SizedNetwork,
    model: Parameters,
    pixels: Float[Tensor, "sample pixel"],
    labels: Int64[Tensor, " sample"],
    *,
    seed: int,
    round: int,
) -> tuple[float, Activity]:
    """Share of samples whose label has the highest score, and what was done to find out.

    Test spikes are drawn anew each round. The `model` has the running statistics too, if there are any.
    """
    parameters = {name: w.unsqueeze(0).to(pixels.device) for name, w in model.items()}
    correct, done = 0, []
    engine = engine_for(pixels.device, pixels.dtype)
    size = engine.samples_at_once(network)
    for first in range(0, len(labels), size):
        positions = torch.arange(first, min(first + size, len(labels)))
        wanted = labels[first : first + size].unsqueeze(0)
        address = Address(seed, "encode-test", round, clients=(0,), first_samples=(first,))
        positions = positions.unsqueeze(0).to(pixels.device)
        batch = Batch(pixels, positions, wanted, address)
        forward = engine.forward(network, parameters, batch)
        correct += int((forward.scores.argmax(2) == wanted).sum())
        done.append(counted(forward))
    (activity,) = activities([len(labels)], [0], done)
    return correct / len(labels), activity


def _operations(network: SizedNetwork, trained: Activity) -> Operations:
    operations = network.operations()
    return synaptic(operations, trained) if operations.layers else {}


def _check(
    network: SizedNetwork,
    algorithm: Algorithm,
    fleet: Fleet,
    training: Backpropagation,
    dataset: Dataset,
    rounds: int,
) -> None:
    layers = network.architecture.layers
    pixels = int(np.prod(dataset.x_train.shape[1:]))
    if rounds < 1:
        raise InputError(
            f"rounds = {rounds}", expected="a whole number >= 1", fix="set rounds = 100"
        )
    if not network.takes(pixels) or layers[-1] != dataset.classes:
        raise InputError(
            f"a network of layers {layers} for data of {pixels} pixels and {dataset.classes} classes",
            expected="as many inputs as pixels and as many outputs as classes",
            fix=f"make the architecture for {pixels} pixels and {dataset.classes} classes",
        )
    last = max(int(shard.max()) for shard in fleet.shards)
    if last >= len(dataset.y_train):
        raise InputError(
            f"a fleet that holds sample number {last} of a data set of {len(dataset.y_train)} samples",
            expected="shards made from this data set's labels",
            fix="make the partition again from dataset.y_train",
        )
    loss = training.loss or network.usual_loss
    loss.demand_scores(network.read_out, network.time_steps)
    if algorithm.needs_sgd and not training.optimiser.plain:
        raise InputError(
            f"{algorithm.name} with {type(training.optimiser).__name__} on the clients",
            expected="SGD, for which the algorithm's mathematics holds",
            fix="train with SGD(learning_rate=0.1)",
        )
