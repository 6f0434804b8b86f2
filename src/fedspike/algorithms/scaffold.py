"""SCAFFOLD: control variates take out the clients' drift.

    on client k:   g <- g - c_k + c                                    before every step
                   c_k' = c_k - c + (w - w_k) / (K eta)                option II, K steps at rate eta
    on the server: w <- w + eta_g * sum over k of (n_k / n) (w_k - w)
                   c <- c + (|S| / N) * mean over k of (c_k' - c_k)

Source: Karimireddy, Kale, Mohri, Reddi, Stich, Suresh, "SCAFFOLD: Stochastic Controlled Averaging for
Federated Learning", ICML 2020, Algorithm 1. The paper weighs all clients alike; we weigh the model's update
by samples, as FedAvg does. (w - w_k)/(K eta) is a mean gradient only if the clients use plain SGD.
"""

import torch
from torch import Tensor

from fedspike.algorithms.algorithm import Algorithm, Tree, difference
from fedspike.errors import InputError
from fedspike.networks import Parameters
from fedspike.rules.mean import weighted_mean


def scaffold(server_learning_rate: float = 1.0) -> Algorithm:
    """Each client remembers its control variate; with a single client this is FedAvg.

    Raises InputError unless `server_learning_rate` is finite and positive.
    """
    if not 0 < server_learning_rate < float("inf"):
        raise InputError(
            f"server_learning_rate = {server_learning_rate}",
            expected="a finite number > 0",
            fix="1.0 is the paper's choice",
        )

    def aggregate(server: Tree, replies: Tree, weights: Tensor, participation: float) -> Tree:
        update = weighted_mean(replies["update"], weights)
        drift = weighted_mean(replies["control"], torch.ones_like(weights))
        model, control = server["model"], server["control"]
        return {
            "model": {name: w + server_learning_rate * update[name] for name, w in model.items()},
            "control": {name: c + participation * drift[name] for name, c in control.items()},
        }

    return Algorithm(
        name="scaffold",
        start_server=lambda model: {"model": model, "control": _zeros(model)},
        start_client=lambda model: {"control": _zeros(model)},
        send=lambda server: {"model": server["model"], "control": server["control"]},
        correct=_correct,
        answer=_answer,
        aggregate=aggregate,
        combine=_combine,
        needs_sgd=True,
    )


def _zeros(model: Parameters) -> Parameters:
    return {name: torch.zeros_like(weight) for name, weight in model.items()}


def _correct(
    gradients: Parameters, parameters: Parameters, received: Tree, memory: Tree
) -> Parameters:
    del parameters
    c, c_k = received["control"], memory["control"]
    return {name: g + (c[name] - c_k[name]) for name, g in gradients.items()}


def _answer(
    received: Tree, trained: Parameters, memory: Tree, steps: Tensor, learning_rate: float
) -> tuple[Tree, Tree]:
    w, c, c_k = received["model"], received["control"], memory["control"]
    new = {}
    for name in trained:
        K = steps.reshape(-1, *[1] * (trained[name].dim() - 1))
        new[name] = c_k[name] - c[name] + (w[name] - trained[name]) / (K * learning_rate)
    reply = {"update": difference(trained, w), "control": difference(new, c_k)}
    return reply, {"control": new}


def _combine(replies: Tree, samples: Tensor, clients: Tensor) -> Tree:
    return {
        "update": weighted_mean(replies["update"], samples),
        "control": weighted_mean(replies["control"], clients),  # all clients alike
    }
