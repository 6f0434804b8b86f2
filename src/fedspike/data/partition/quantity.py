"""Clients of unequal size."""

from typing import Annotated

import numpy as np
from msgspec import Meta

from fedspike.data.partition.dirichlet_cuts import Concentration, dirichlet_cuts
from fedspike.data.partition.partition import Indices, Partition, demand_samples


class Quantity(Partition, tag="quantity"):
    """Clients of unequal size and equal content: sizes / samples ~ Dirichlet_clients(alpha).

    Drawn again until every client holds `min_samples`; raises InputError after 1,000 attempts.
    Source: Li, Diao, Chen, He, "Federated Learning on Non-IID Data Silos: An Experimental Study",
    ICDE 2022 (its "quantity skew").
    """

    alpha: Concentration
    min_samples: Annotated[int, Meta(ge=1, lt=2**31)] = 1

    def __call__(self, labels: np.ndarray, clients: int = 10, seed: int = 0) -> list[Indices]:
        """Indices into `labels` [sample]; raises InputError where `min_samples` cannot be had."""
        demand_samples(labels, clients)
        everything = [np.arange(labels.size)]
        return dirichlet_cuts(everything, clients, seed, self.alpha, self.min_samples)
