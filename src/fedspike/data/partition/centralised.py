"""Nothing is federated."""

from typing import ClassVar

import numpy as np

from fedspike.data.partition.partition import Indices, Partition, demand_samples
from fedspike.errors import InputError


class Centralised(Partition, tag="centralised"):
    """Everything on one client: the baseline in which nothing is federated."""

    one_client: ClassVar[bool] = True

    def __call__(self, labels: np.ndarray, clients: int = 1, seed: int = 0) -> list[Indices]:  # noqa: ARG002
        """All indices into `labels` [sample]; raises InputError unless `clients` is 1."""
        demand_samples(labels, clients)
        if clients != 1:
            raise InputError(
                f"a centralised partition with clients = {clients}",
                expected="one client, which holds everything",
                fix="set clients = 1, or take the partition IID for equal parts",
                keys=("clients",),
            )
        return [np.arange(labels.size)]
