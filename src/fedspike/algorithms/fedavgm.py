"""FedAvgM: momentum on the server.

    d = sum over k of (n_k / n) (w_k - w)
    u <- beta u + d,    w <- w + eta u

u starts at 0. Source: Hsu, Qi, Brown, "Measuring the Effects of Non-Identical Data Distribution for Federated
Visual Classification", 2019, Section 4.3.
"""

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta

from fedspike.algorithms.algorithm import Algorithm, Tree, added, zeros
from fedspike.networks import Parameters
from fedspike.rules import Mean, Rule


class FedAvgM(Algorithm, tag="fedavgm", kw_only=True):
    """FedAvg whose server goes on in the direction of the updates before; beta = 0 is FedAvg."""

    beta: Annotated[float, Meta(ge=0, lt=1)] = 0.9
    learning_rate: Annotated[float, Meta(gt=0)] = 1.0
    rule: Rule = Mean()

    def start(self, model: Parameters) -> Tree:
        """The model and the momentum."""
        return {"model": model, "momentum": zeros(model)}

    def joining(self) -> Mapping[str, Rule]:
        """The updates."""
        return {"update": self.rule}

    def next_state(self, server: Tree, joined: Tree, participation: float) -> Tree:
        """The equations."""
        del participation
        momentum = added(joined["update"], server["momentum"], self.beta)
        return {
            "model": added(server["model"], momentum, self.learning_rate),
            "momentum": momentum,
        }
