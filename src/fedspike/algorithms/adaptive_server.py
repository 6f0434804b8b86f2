"""Adaptive server optimisers: the joined update is treated as a gradient by one of them.

    d = sum over k of (n_k / n) (w_k - w)
    m <- b1 m + (1 - b1) d,    v <- second(v, d),    w <- w + eta m / (sqrt(v) + tau)

m starts at 0 and v at tau^2; there is no bias correction. Source: Reddi, Charles, Zaheer, Garrett, Rush,
Konecny, Kumar, McMahan, "Adaptive Federated Optimization", ICLR 2021, Algorithm 2.
"""

from collections.abc import Mapping
from typing import Annotated

import torch
from msgspec import Meta

from fedspike.algorithms.algorithm import Algorithm, Tree, zeros
from fedspike.networks import Parameters
from fedspike.part import abstractmethod
from fedspike.rules import Mean, Rule

Positive = Annotated[float, Meta(gt=0)]
Decay = Annotated[float, Meta(ge=0, le=1)]


class Adaptive(Algorithm, kw_only=True):
    """The equations, but for the second moment, which each kind has of its own."""

    learning_rate: Positive = 0.01
    beta1: Decay = 0.9
    tau: Positive = 1e-3
    rule: Rule = Mean()

    @abstractmethod
    def second(self, v: torch.Tensor, d: torch.Tensor) -> torch.Tensor:
        """The next second moment of a tensor whose joined update is d."""

    def start(self, model: Parameters) -> Tree:
        """The model and both moments."""
        v = {name: torch.full_like(weight, self.tau**2) for name, weight in model.items()}
        return {"model": model, "m": zeros(model), "v": v}

    def joining(self) -> Mapping[str, Rule]:
        """The updates."""
        return {"update": self.rule}

    def next_state(self, server: Tree, joined: Tree, participation: float) -> Tree:
        """The equations."""
        del participation
        model, m, v = {}, {}, {}
        for name, d in joined["update"].items():
            m[name] = self.beta1 * server["m"][name] + (1 - self.beta1) * d
            v[name] = self.second(server["v"][name], d)
            step = m[name] / (v[name].sqrt() + self.tau)
            model[name] = server["model"][name] + self.learning_rate * step
        return {"model": model, "m": m, "v": v}
