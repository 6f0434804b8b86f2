"""FedProx: a spring ties every client to the model it received.

    min over w of F_k(w) + (mu/2) |w - w_received|^2,  so  g <- g + mu (w - w_received)

Source: Li, Sahu, Zaheer, Sanjabi, Talwalkar, Smith, "Federated Optimization in Heterogeneous Networks",
MLSys 2020, Eq. 2. Here every client does its full number of local steps (no gamma-inexact solutions).
"""

from dataclasses import replace

from fedspike.algorithms.algorithm import Algorithm, Tree
from fedspike.algorithms.fedavg import fedavg
from fedspike.errors import InputError
from fedspike.networks import Parameters


def fedprox(mu: float = 0.01) -> Algorithm:
    """FedAvg with the proximal term; mu = 0 is FedAvg. Raises InputError for a negative or infinite mu."""
    if not 0 <= mu < float("inf"):
        raise InputError(f"mu = {mu}", expected="a finite number >= 0", fix="0.01 is a usual start")

    def correct(
        gradients: Parameters, parameters: Parameters, received: Tree, memory: Tree
    ) -> Parameters:
        del memory
        anchor = received["model"]
        return {name: g + mu * (parameters[name] - anchor[name]) for name, g in gradients.items()}

    return replace(fedavg(), name="fedprox", correct=correct)
