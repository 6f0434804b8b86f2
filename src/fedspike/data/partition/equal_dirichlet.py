"""Label skew in degrees, on clients of equal size."""

import numpy as np
from jaxtyping import Float64, Int64

from fedspike.data.partition.dirichlet_cuts import Concentration
from fedspike.data.partition.partition import Indices, Partition, deal, demand_samples
from fedspike.randomness import stream


class EqualDirichlet(Partition, tag="equal-dirichlet"):
    """Label skew in degrees on equally large clients: the smaller alpha, the fewer classes each holds.

    Client after client draws its class proportions q ~ Dirichlet(alpha p), and then the classes of its
    samples from q, one after the other and without replacement. Here p are the proportions of the training
    set times the number of classes, so that alpha is the mean concentration of a class, as in `Dirichlet`.

    Where a class has run out, q is rescaled over the others; where nothing of q is left, it is drawn anew
    over the classes that are. So the last clients hold what the others left, whatever alpha is.

    Source: Hsu, Qi, Brown, "Measuring the Effects of Non-Identical Data Distribution for Federated Visual
    Classification", arXiv 1909.06335: q ~ Dir(alpha p) with p that sum to 1, so that their alpha is ours
    times the number of classes. Flower's baseline fedavgm draws in the same way and counts alpha as here; its
    p are equal on all data, and it adds 1e-5 to the rest of q whenever a class runs out.

    >>> shards = EqualDirichlet(0.01)(np.array([0, 1, 0, 1, 0, 1, 1]), clients=3)
    >>> [len(shard) for shard in shards]
    [3, 2, 2]
    """

    alpha: Concentration

    def __call__(self, labels: np.ndarray, clients: int = 10, seed: int = 0) -> list[Indices]:
        """Indices into `labels` [sample]; raises InputError where a client would stay empty."""
        demand_samples(labels, clients)
        values, left = np.unique(labels, return_counts=True)
        generator = stream(seed, "partition")
        concentration = self.alpha * left / left.mean()
        counts = np.zeros((clients, len(values)), np.int64)
        for client, own in enumerate(counts):
            samples = (labels.size + clients - 1 - client) // clients
            own += _drawn(samples, concentration, left, generator)
            left = left - own
        return deal([np.flatnonzero(labels == value) for value in values], counts, generator)


def _drawn(
    samples: int,
    concentration: Float64[np.ndarray, " class"],
    left: Int64[np.ndarray, " class"],
    generator: np.random.Generator,
) -> Int64[np.ndarray, " class"]:
    """How many of each class so many draws from one q give, of no class more than are `left`.

    Those that a class could not give are drawn again from the others: one by one it would be the same.
    """
    counts, q = np.zeros_like(left), generator.dirichlet(concentration)
    while wanted := samples - counts.sum():
        there = counts < left
        if not q[there].any():
            q[there] = generator.dirichlet(concentration[there])
        chances = np.where(there, q, 0.0)
        drawn = generator.multinomial(wanted, chances / chances.sum())
        counts = np.minimum(counts + drawn, left)
    return counts
