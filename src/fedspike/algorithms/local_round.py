"""The clients' side of a round, the same code in the simulator and on a device, and what it will answer."""

from collections.abc import Callable

import torch

from fedspike.algorithms.algorithm import Algorithm, Tree
from fedspike.algorithms.trees import stack
from fedspike.learning import Correction, Trained
from fedspike.learning.backpropagation import first_clients
from fedspike.networks import Parameters

Learn = Callable[[Parameters, Correction], Trained]
"""(start, correct) -> what came of it: a learner with its network and the clients' samples.

`start` has the network's parameters and its statistics, all with a client axis.
"""


def local_round(
    algorithm: Algorithm,
    received: Tree,
    memory: Tree,
    clients: int,
    learn: Learn,
    learning_rate: float,
) -> tuple[Tree, Tree, Trained]:
    """Train so many clients from what they `received`; return replies, new memory, and counts.

    All trees have a client axis, of length 1 where all received the same.
    """

    def correct(gradients: Parameters, parameters: Parameters, k: int) -> Parameters:
        own = first_clients(received, k), first_clients(memory, k)
        return algorithm.correct(gradients, parameters, *own)

    start = {
        name: tensor.expand(clients, *tensor.shape[1:])
        for name, tensor in algorithm.begin(received, memory).items()
    }
    trained = learn(start, correct)
    after = trained.parameters | trained.statistics
    steps = torch.tensor(trained.steps)
    reply, memory = algorithm.answer(received, after, memory, steps, learning_rate)
    return reply, memory, trained


def reply_form(algorithm: Algorithm, received: Tree) -> Tree:
    """What a client's reply to this order looks like: tensors with shape and type, without numbers.

    >>> from fedspike.algorithms import FedAvg
    >>> form = reply_form(FedAvg(), {"model": {"output.bias": torch.zeros(10)}})
    >>> form["update"]["output.bias"].shape, form["update"]["output.bias"].device.type
    (torch.Size([10]), 'meta')
    """
    # With numbers: the first sum of tensors without them imports all of sympy, seconds in each process.
    one_client, memory = stack([received]), stack([algorithm.remember(received)])
    trained = algorithm.begin(one_client, memory)
    reply, _ = algorithm.answer(one_client, trained, memory, torch.ones(1, dtype=torch.int64), 1.0)
    return {
        group: {name: tensor[0].to("meta") for name, tensor in tensors.items()}
        for group, tensors in reply.items()
    }
