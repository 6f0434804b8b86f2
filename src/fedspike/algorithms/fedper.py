"""FedPer: each client keeps its last layers.

    on client k:   (w_k, v_k) <- training from (w, v_k)              v_k: its last K_P layers

Source: Arivazhagan, Aggarwal, Singh, Choudhary, "Federated Learning with Personalization Layers", 2019,
Algorithms 1 and 2. There each client draws its own first v_k; here all have the initial model's.
"""

from typing import Annotated

from msgspec import Meta

from fedspike.algorithms.personal import Personal, of_last_layers
from fedspike.networks import Parameters


class FedPer(Personal, tag="fedper", kw_only=True):
    """FedAvg of the first layers; each client has the last `layers` of its own."""

    layers: Annotated[int, Meta(ge=1, lt=2**31, description="at the end, of each client's own")] = 1

    def kept(self, model: Parameters) -> tuple[str, ...]:
        """Those of the last layers."""
        return of_last_layers(model, self.layers)
