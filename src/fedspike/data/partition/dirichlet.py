"""Label skew in degrees."""

from typing import Annotated

import numpy as np
from msgspec import Meta

from fedspike.data.partition.dirichlet_cuts import Concentration, dirichlet_cuts
from fedspike.data.partition.partition import Indices, Partition, demand_samples


class Dirichlet(Partition, tag="dirichlet"):
    """Label skew in degrees: alpha -> 0 gives each class to one client, alpha -> infinity is IID.

    For every class c the samples are cut in the proportions p_c ~ Dirichlet_clients(alpha), at the
    rounded cumulative sums, so that every part is within one sample of its proportion. All of it is
    drawn again until every client holds `min_samples`; raises InputError after 1,000 attempts.

    This is the draw per class of Yurochkin, Agarwal, Ghosh, Greenewald, Hoang, Khazaeni, "Bayesian
    Nonparametric Federated Learning of Neural Networks", ICML 2019. The draw per client of Hsu, Qi,
    Brown, "Measuring the Effects of Non-Identical Data Distribution for Federated Visual
    Classification", 2019, keeps clients equally large (`EqualDirichlet`); this one does not.
    """

    alpha: Concentration
    min_samples: Annotated[int, Meta(ge=1, lt=2**31)] = 1

    def __call__(self, labels: np.ndarray, clients: int = 10, seed: int = 0) -> list[Indices]:
        """Indices into `labels` [sample]; raises InputError where `min_samples` cannot be had."""
        demand_samples(labels, clients)
        groups = [np.flatnonzero(labels == value) for value in np.unique(labels)]
        return dirichlet_cuts(groups, clients, seed, self.alpha, self.min_samples)
