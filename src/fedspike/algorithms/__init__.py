"""Federated algorithms: each a small record of pure functions, see `Algorithm`."""

from fedspike.algorithms.algorithm import Algorithm, Tree
from fedspike.algorithms.fedadam import fedadam
from fedspike.algorithms.fedavg import fedavg
from fedspike.algorithms.fedprox import fedprox
from fedspike.algorithms.local_round import local_round, reply_form
from fedspike.algorithms.scaffold import scaffold
from fedspike.algorithms.statistics import with_statistics

__all__ = [
    "Algorithm",
    "Tree",
    "fedadam",
    "fedavg",
    "fedprox",
    "local_round",
    "reply_form",
    "scaffold",
    "with_statistics",
]
