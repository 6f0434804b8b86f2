"""FedProx: a spring ties every client to the model it received.

    min over w of F_k(w) + (mu/2) |w - w_received|^2,  so  g <- g + mu (w - w_received)

Source: Li, Sahu, Zaheer, Sanjabi, Talwalkar, Smith, "Federated Optimization in Heterogeneous Networks",
MLSys 2020, Eq. 2. Here every client does its full number of local steps (no gamma-inexact solutions).
"""

from typing import Annotated

from msgspec import Meta

from fedspike.algorithms.algorithm import Client
from fedspike.algorithms.fedavg import FedAvg
from fedspike.networks import Parameters


class FedProx(FedAvg, tag="fedprox", kw_only=True):
    """FedAvg whose clients are held near the model that they received; mu = 0 is FedAvg."""

    mu: Annotated[float, Meta(ge=0)] = 0.01

    def correct(self, gradients: Parameters, parameters: Parameters, client: Client) -> Parameters:
        """The equation."""
        anchor = client.received["model"]
        return {n: g + self.mu * (parameters[n] - anchor[n]) for n, g in gradients.items()}
