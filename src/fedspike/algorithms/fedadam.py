"""FedAdam: the joined update is treated as a gradient by Adam on the server.

    d = sum over k of (n_k / n) (w_k - w)
    m <- b1 m + (1 - b1) d,    v <- b2 v + (1 - b2) d^2,    w <- w + eta m / (sqrt(v) + tau)

m starts at 0 and v at tau^2; there is no bias correction. Source: Reddi, Charles, Zaheer, Garrett, Rush,
Konecny, Kumar, McMahan, "Adaptive Federated Optimization", ICLR 2021, Algorithm 2.
"""

from collections.abc import Mapping
from typing import Annotated

import torch
from msgspec import Meta

from fedspike.algorithms.algorithm import Algorithm, Tree
from fedspike.networks import Parameters
from fedspike.rules import Mean, Rule

Positive = Annotated[float, Meta(gt=0)]
Decay = Annotated[float, Meta(ge=0, le=1)]


class FedAdam(Algorithm, tag="fedadam"):
    """Adam on the server, applied to the mean update.

    With beta1 = 0, beta2 = 1 and learning_rate = 2 tau it is FedAvg.
    """

    learning_rate: Positive = 0.01
    beta1: Decay = 0.9
    beta2: Decay = 0.99
    tau: Positive = 1e-3
    rule: Rule = Mean()

    def start(self, model: Parameters) -> Tree:
        """The model and Adam's two moments."""
        return {
            "model": model,
            "m": {name: torch.zeros_like(weight) for name, weight in model.items()},
            "v": {name: torch.full_like(weight, self.tau**2) for name, weight in model.items()},
        }

    def joining(self) -> Mapping[str, Rule]:
        """The updates."""
        return {"update": self.rule}

    def next_state(self, server: Tree, joined: Tree, participation: float) -> Tree:
        """The equations."""
        del participation
        model, m, v = {}, {}, {}
        for name, d in joined["update"].items():
            m[name] = self.beta1 * server["m"][name] + (1 - self.beta1) * d
            v[name] = self.beta2 * server["v"][name] + (1 - self.beta2) * d.square()
            step = m[name] / (v[name].sqrt() + self.tau)
            model[name] = server["model"][name] + self.learning_rate * step
        return {"model": model, "m": m, "v": v}
