"""Federated algorithms: who sends what, and how answers become the next model; a file for each."""

from fedspike.algorithms.algorithm import Algorithm, Tree, added, difference
from fedspike.algorithms.changed import Changed
from fedspike.algorithms.fedadam import FedAdam
from fedspike.algorithms.fedavg import FedAvg
from fedspike.algorithms.fedprox import FedProx
from fedspike.algorithms.local_round import local_round, reply_form
from fedspike.algorithms.scaffold import Scaffold
from fedspike.algorithms.statistics import with_statistics

ALGORITHMS: tuple[type[Algorithm], ...] = (FedAvg, FedProx, Scaffold, FedAdam)

__all__ = [
    "ALGORITHMS",
    "Algorithm",
    "Changed",
    "FedAdam",
    "FedAvg",
    "FedProx",
    "Scaffold",
    "Tree",
    "added",
    "difference",
    "local_round",
    "reply_form",
    "with_statistics",
]
