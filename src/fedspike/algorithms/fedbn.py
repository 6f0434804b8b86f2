"""FedBN: each client keeps its normalisation.

    on client k:   (w_k, v_k) <- training from (w, v_k)     v_k: gammas and running statistics

Source: Li, Jiang, Zhang, Kamp, Dou, "FedBN: Federated Learning on Non-IID Features via Local Batch
Normalization", ICLR 2021, Algorithm 1. For the statistics see algorithms/statistics.py.
"""

from fedspike.algorithms.personal import Personal
from fedspike.networks import Parameters


class FedBN(Personal, tag="fedbn", kw_only=True):
    """FedAvg of all but the normalisation, of which each client has its own; without one it is FedAvg."""

    def kept(self, model: Parameters) -> tuple[str, ...]:
        """The gammas."""
        return tuple(name for name in model if name.endswith(".gamma"))
