"""Equal parts of everything."""

import numpy as np

from fedspike.data.partition.partition import Indices, Partition, demand_samples
from fedspike.randomness import stream


class IID(Partition, tag="iid"):
    """All samples shuffled and cut into equal parts; sizes differ by at most one.

    >>> [len(shard) for shard in IID()(np.array([0, 1, 0, 1, 0]), clients=2)]
    [3, 2]
    """

    def classes_per_client(self, classes: int) -> int:
        """All."""
        return classes

    def __call__(self, labels: np.ndarray, clients: int = 10, seed: int = 0) -> list[Indices]:
        """Indices into `labels` [sample]; raises InputError where a client would stay empty."""
        demand_samples(labels, clients)
        order = stream(seed, "partition").permutation(labels.size)
        return [np.sort(part) for part in np.array_split(order, clients)]
