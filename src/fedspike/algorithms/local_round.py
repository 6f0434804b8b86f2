"""The clients' side of a round, the same code in the simulator and on a device, and what it will answer."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from fedspike.algorithms.algorithm import Algorithm, Tree
from fedspike.algorithms.statistics import STATISTICS
from fedspike.algorithms.trees import move, stack
from fedspike.learning.backpropagation import Backpropagation, Trained, first_clients, train
from fedspike.networks import Parameters, SizedNetwork
from fedspike.parts.codes import Address


def local_round(
    algorithm: Algorithm,
    network: SizedNetwork,
    training: Backpropagation,
    received: Tree,
    memory: Tree,
    pixels: Float[Tensor, "sample pixel"],
    labels: Int64[Tensor, " sample"],
    shown: list[Int64[Tensor, " _shown"]],
    address: Address,
) -> tuple[Tree, Tree, Trained]:
    """Train the clients of `address` from what they `received`; return replies, new memory, and counts.

    `received` has no client axis, `memory` and the returned trees have one. `shown` is that of
    `training.train`. Statistics go back to where they came from: `received`, so to the reply, or `memory`.
    """
    broadcast = {
        group: {name: tensor.unsqueeze(0) for name, tensor in parameters.items()}
        for group, parameters in received.items()
    }

    def correct(gradients: Parameters, parameters: Parameters, k: int) -> Parameters:
        return algorithm.correct(gradients, parameters, broadcast, first_clients(memory, k))

    start = {
        name: weight.expand(len(shown), *weight.shape[1:])
        for name, weight in broadcast["model"].items()
    }
    statistics = {
        name: numbers.expand(len(shown), *numbers.shape[1:])
        for name, numbers in {**broadcast, **memory}.get(STATISTICS, {}).items()
    }
    trained = train(network, training, start, pixels, labels, shown, address, correct, statistics)
    reply, after = algorithm.answer(
        broadcast,
        trained.parameters,
        memory,
        torch.tensor(trained.steps),
        training.optimiser.learning_rate,
    )
    if STATISTICS in received:
        reply = reply | {STATISTICS: trained.statistics}
    elif STATISTICS in memory:
        after = after | {STATISTICS: trained.statistics}
    return reply, after, trained


def reply_form(algorithm: Algorithm, server: Tree) -> Tree:
    """What one client's reply to this server looks like: tensors with shape and type, without numbers.

    >>> from fedspike.algorithms import fedavg
    >>> server = fedavg().start_server({"output.bias": torch.zeros(10)})
    >>> form = reply_form(fedavg(), server)["update"]["output.bias"]
    >>> form.shape, form.dtype, form.device.type
    (torch.Size([10]), torch.float32, 'meta')
    """
    shapes = torch.device("meta")
    received = move(algorithm.send(server), shapes)
    one_client = stack([received])
    memory = stack([move(algorithm.start_client(received["model"]), shapes)])
    steps = torch.ones(1, dtype=torch.int64, device=shapes)
    reply, _ = algorithm.answer(one_client, one_client["model"], memory, steps, 1.0)
    form = {
        group: {name: tensor[0] for name, tensor in tensors.items()}
        for group, tensors in reply.items()
    }
    return form | {STATISTICS: received[STATISTICS]} if STATISTICS in received else form
