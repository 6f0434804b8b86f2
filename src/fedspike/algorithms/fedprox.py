"""FedProx: a spring ties every client to the model it received.

    min over w of F_k(w) + (mu/2) |w - w_received|^2,  so  g <- g + mu (w - w_received)

Source: Li, Sahu, Zaheer, Sanjabi, Talwalkar, Smith, "Federated Optimization in Heterogeneous Networks",
MLSys 2020, Eq. 2. Here every client does its full number of local steps (no gamma-inexact solutions).
"""

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta

from fedspike.algorithms.algorithm import Algorithm, Client, Tree, added
from fedspike.networks import Parameters
from fedspike.rules import Mean, Rule


class FedProx(Algorithm, tag="fedprox"):
    """FedAvg whose clients are held near the model that they received; mu = 0 is FedAvg."""

    mu: Annotated[float, Meta(ge=0)] = 0.01
    rule: Rule = Mean()

    def joining(self) -> Mapping[str, Rule]:
        """The updates."""
        return {"update": self.rule}

    def next_state(self, server: Tree, joined: Tree, participation: float) -> Tree:
        """As of FedAvg."""
        del participation
        return {"model": added(server["model"], joined["update"])}

    def correct(self, gradients: Parameters, parameters: Parameters, client: Client) -> Parameters:
        """The equation."""
        anchor = client.received["model"]
        return {n: g + self.mu * (parameters[n] - anchor[n]) for n, g in gradients.items()}
