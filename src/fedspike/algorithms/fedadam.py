"""FedAdam: the averaged update is treated as a gradient by Adam on the server.

    d = sum over k of (n_k / n) (w_k - w)
    m <- b1 m + (1 - b1) d,    v <- b2 v + (1 - b2) d^2,    w <- w + eta m / (sqrt(v) + tau)

m starts at 0 and v at tau^2; there is no bias correction. Source: Reddi, Charles, Zaheer, Garrett, Rush,
Konecny, Kumar, McMahan, "Adaptive Federated Optimization", ICLR 2021, Algorithm 2.
"""

from dataclasses import replace

import torch
from torch import Tensor

from fedspike.algorithms.algorithm import Algorithm, Tree
from fedspike.algorithms.fedavg import fedavg
from fedspike.errors import InputError
from fedspike.networks import Parameters
from fedspike.rules.mean import weighted_mean


def fedadam(
    learning_rate: float = 0.01, beta1: float = 0.9, beta2: float = 0.99, tau: float = 1e-3
) -> Algorithm:
    """Adaptive steps on the server; beta1 = 0, beta2 = 1, learning_rate = 2 tau is FedAvg.

    Raises InputError for a rate or tau that is not positive, or a beta outside [0, 1].
    """
    for name, value in (("learning_rate", learning_rate), ("tau", tau)):
        if not 0 < value < float("inf"):
            raise InputError(
                f"{name} = {value}", expected="a finite number > 0", fix="try 0.01 and tau 1e-3"
            )
    for name, value in (("beta1", beta1), ("beta2", beta2)):
        if not 0 <= value <= 1:
            raise InputError(f"{name} = {value}", expected="in [0, 1]", fix="try 0.9 and 0.99")

    def start_server(model: Parameters) -> Tree:
        return {
            "model": model,
            "m": {name: torch.zeros_like(weight) for name, weight in model.items()},
            "v": {name: torch.full_like(weight, tau**2) for name, weight in model.items()},
        }

    def aggregate(server: Tree, replies: Tree, weights: Tensor, participation: float) -> Tree:
        del participation
        update = weighted_mean(replies["update"], weights)
        model, m, v = {}, {}, {}
        for name, d in update.items():
            m[name] = beta1 * server["m"][name] + (1 - beta1) * d
            v[name] = beta2 * server["v"][name] + (1 - beta2) * d.square()
            step = m[name] / (v[name].sqrt() + tau)
            model[name] = server["model"][name] + learning_rate * step
        return {"model": model, "m": m, "v": v}

    return replace(fedavg(), name="fedadam", start_server=start_server, aggregate=aggregate)
