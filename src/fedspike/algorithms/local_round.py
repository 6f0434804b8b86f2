"""The clients' side of a round, the same code in the simulator and on a device, and what it will answer."""

import operator
from dataclasses import replace
from functools import reduce

import numpy as np
import torch

from fedspike.algorithms.algorithm import Algorithm, Client, LocalModel, Tree
from fedspike.algorithms.changed import layers
from fedspike.algorithms.fedavg import FedAvg
from fedspike.algorithms.narrowed import Narrowed
from fedspike.algorithms.trees import alone, first_clients, move, row
from fedspike.engine.choice import engine_for
from fedspike.engine.engines import Engine
from fedspike.errors import InputError
from fedspike.learning import (
    Backpropagation,
    Comparison,
    Correction,
    Learner,
    Shown,
    Trained,
    uncorrected,
)
from fedspike.networks import Parameters, SizedNetwork
from fedspike.part import tag
from fedspike.randomness import stream


def local_round(
    algorithm: Algorithm, learner: Learner, network: SizedNetwork, client: Client, shown: Shown
) -> tuple[Tree, Tree, Trained]:
    """Train clients from what they received, on what they are shown; return replies, new memory, and counts.

    All trees have a client axis, of length 1 where all received the same. Counts are of all trainings.
    """

    clients, trainings = len(shown.positions), list[Trained]()
    learner = learner.in_round(shown.address.round)
    for _ in range(algorithm.trainings):
        now = replace(client, trained=tuple(before.parameters for before in trainings))
        start = _expanded(algorithm.begin(now), clients)
        beside = replace(shown, comparison=_comparison(algorithm, now, clients))
        trainings.append(learner.learn(network, start, beside, _correction(algorithm, now)))
    last = trainings[-1]
    local = LocalModel(last.parameters, torch.tensor(last.steps), learner.learning_rate)
    each = zip(*(trained.activities for trained in trainings), strict=True)
    activities = [reduce(operator.add, own) for own in each]
    return *algorithm.answer(now, local), replace(last, activities=activities)


def _expanded(model: Parameters, clients: int) -> Parameters:
    """With one for each client, in memory once."""
    return {name: weight.expand(clients, *weight.shape[1:]) for name, weight in model.items()}


def _comparison(algorithm: Algorithm, client: Client, clients: int) -> Comparison | None:
    """The algorithm's, where it compares models."""
    if not algorithm.models_compared:
        return None
    models = tuple(_expanded(model, clients) for model in algorithm.frozen(client))
    return Comparison(models, algorithm.comparison)


def engine_of(algorithm: Algorithm, device: torch.device | str, dtype: torch.dtype) -> Engine:
    """What computes the algorithm's local training: layer by layer where models are compared."""
    engine = engine_for(device, dtype)
    return engine.by_operators if algorithm.models_compared else engine


def demand_learner(algorithm: Algorithm, learner: Learner) -> None:
    """Raise InputError where a learner cannot do what the algorithm asks of local training."""
    _demand_places(algorithm, learner)
    fix = f'set algorithm.kind = "{tag(FedAvg)}"'
    if algorithm.corrects and not learner.takes_gradients:
        raise InputError(
            f"{algorithm.kind} with the learner {learner.kind}",
            expected="a learner with gradients, which the algorithm or a remedy corrects",
            fix=fix,
            keys=("algorithm", "learner"),
        )
    if algorithm.models_compared and not learner.takes_comparisons:
        raise InputError(
            f"{algorithm.kind} with the learner {learner.kind}",
            expected="backpropagation, which has the gradient of what enters the last layer",
            fix=f'{fix}, or learner.kind = "{tag(Backpropagation)}"',
            keys=("algorithm", "learner"),
        )


def _demand_places(algorithm: Algorithm, learner: Learner) -> None:
    """Raise InputError where what a client remembers of some neurons would be used for others."""
    rolls = any(isinstance(one, Narrowed) and one.rolling for one in layers(algorithm))
    if rolls and (algorithm.models_remembered or algorithm.personal or learner.remembers({})):
        raise InputError(
            f"{algorithm.kind} with fedrolex: clients that remember, and train other neurons in each round",
            expected="clients that remember nothing of their neurons, or neurons that stay",
            fix='take [[remedies]] kind = "heterofl" in the place of fedrolex',
            keys=("remedies",),
        )


def _correction(algorithm: Algorithm, client: Client) -> Correction:
    """The algorithm's, of the first k clients."""
    if not algorithm.corrects:
        return uncorrected

    def correct(gradients: Parameters, parameters: Parameters, k: int) -> Parameters:
        trees = {"received": client.received, "memory": client.memory}
        first = {name: first_clients(tree, k) for name, tree in trees.items()}
        before = ({n: w[:k] for n, w in trained.items()} for trained in client.trained)
        return algorithm.correct(gradients, parameters, Client(**first, trained=tuple(before)))

    return correct


def packing_draws(seed: int, round: int, client: int) -> np.random.Generator:
    """What a client draws as it packs its reply to an order of this round."""
    return stream(seed, "packing", round, client)


def reply_form(algorithm: Algorithm, received: Tree) -> Tree:
    """What a client's reply to this order looks like: tensors with shape and type, without numbers.

    >>> from fedspike.algorithms import FedAvg
    >>> form = reply_form(FedAvg(), {"model": {"output.bias": torch.zeros(10)}})
    >>> form["update"]["output.bias"].shape, form["update"]["output.bias"].device.type
    (torch.Size([10]), 'meta')
    """
    # With numbers: the first sum of tensors without them imports all of sympy, seconds in each process.
    client = Client(alone(received), alone(algorithm.remember(received)))
    for _ in range(algorithm.trainings - 1):
        client = replace(client, trained=(*client.trained, algorithm.begin(client)))
    steps = torch.ones(1, dtype=torch.int64)
    reply, _ = algorithm.answer(client, LocalModel(algorithm.begin(client), steps, 1.0))
    return move(row(reply, 0), torch.device("meta"))
