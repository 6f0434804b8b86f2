"""The clients' side of a round, the same code in the simulator and on a device, and what it will answer."""

import numpy as np
import torch

from fedspike.algorithms.algorithm import Algorithm, Client, LocalModel, Tree
from fedspike.algorithms.trees import alone, first_clients, move, row
from fedspike.learning import Learner, Shown, Trained
from fedspike.networks import Parameters, SizedNetwork
from fedspike.randomness import stream


def local_round(
    algorithm: Algorithm, learner: Learner, network: SizedNetwork, client: Client, shown: Shown
) -> tuple[Tree, Tree, Trained]:
    """Train clients from what they received, on what they are shown; return replies, new memory, and counts.

    All trees have a client axis, of length 1 where all received the same.
    """

    def correct(gradients: Parameters, parameters: Parameters, k: int) -> Parameters:
        first = Client(first_clients(client.received, k), first_clients(client.memory, k))
        return algorithm.correct(gradients, parameters, first)

    clients = len(shown.positions)
    start = {n: w.expand(clients, *w.shape[1:]) for n, w in algorithm.begin(client).items()}
    trained = learner.learn(network, start, shown, correct)
    local = LocalModel(trained.parameters, torch.tensor(trained.steps), learner.learning_rate)
    return *algorithm.answer(client, local), trained


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
    steps = torch.ones(1, dtype=torch.int64)
    reply, _ = algorithm.answer(client, LocalModel(algorithm.begin(client), steps, 1.0))
    return move(row(reply, 0), torch.device("meta"))
