"""An algorithm of one's own."""

from collections.abc import Mapping
from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor

from fedspike.algorithms import Algorithm
from fedspike.rules import Mean, Rule

Tree = dict[str, dict[str, Tensor]]


class ServerMomentum(Algorithm, tag="server-momentum"):
    """FedAvg with momentum on the server: v <- decay v + d,  w <- w + v, d being the joined update.

    Source: Hsu, Qi, Brown, "Measuring the Effects of Non-Identical Data Distribution for Federated Visual
    Classification", 2019, FedAvgM.
    """

    decay: Annotated[float, Meta(ge=0, lt=1)] = 0.5
    rule: Rule = Mean()

    def start(self, model: dict[str, Tensor]) -> Tree:
        """The model, and v = 0."""
        return {"model": model, "v": {name: torch.zeros_like(w) for name, w in model.items()}}

    def joining(self) -> Mapping[str, Rule]:
        """The updates."""
        return {"update": self.rule}

    def next_state(self, server: Tree, joined: Tree, participation: float) -> Tree:
        """The equations."""
        del participation
        v = {name: self.decay * server["v"][name] + d for name, d in joined["update"].items()}
        return {"model": {name: w + v[name] for name, w in server["model"].items()}, "v": v}
