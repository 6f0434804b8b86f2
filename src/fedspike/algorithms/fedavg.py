"""Federated Averaging.

    w <- w + sum over k of (n_k / n) (w_k - w)

Source: McMahan, Moore, Ramage, Hampson, Agueera y Arcas, "Communication-Efficient Learning of Deep Networks
from Decentralized Data", AISTATS 2017, Algorithm 1. The paper averages weights; with n = sum of n_k that is
the same as averaging updates.
"""

from torch import Tensor

from fedspike.algorithms.algorithm import Algorithm, Tree, difference
from fedspike.networks import Parameters
from fedspike.rules.mean import weighted_mean


def fedavg() -> Algorithm:
    """Every client trains on its own; the server averages, weighted by samples."""
    return Algorithm(
        name="fedavg",
        start_server=lambda model: {"model": model},
        start_client=lambda _model: {},
        send=lambda server: {"model": server["model"]},
        correct=_correct,
        answer=_answer,
        aggregate=_aggregate,
        combine=_combine,
    )


def _correct(
    gradients: Parameters, parameters: Parameters, received: Tree, memory: Tree
) -> Parameters:
    del parameters, received, memory
    return gradients


def _answer(
    received: Tree, trained: Parameters, memory: Tree, steps: Tensor, learning_rate: float
) -> tuple[Tree, Tree]:
    del steps, learning_rate
    return {"update": difference(trained, received["model"])}, memory


def _aggregate(server: Tree, replies: Tree, weights: Tensor, participation: float) -> Tree:
    del participation
    update = weighted_mean(replies["update"], weights)
    return {"model": {name: w + update[name] for name, w in server["model"].items()}}


def _combine(replies: Tree, samples: Tensor, clients: Tensor) -> Tree:
    del clients
    return {"update": weighted_mean(replies["update"], samples)}
