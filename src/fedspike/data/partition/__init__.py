"""Partitions: a file for each."""

from fedspike.data.partition.centralised import Centralised
from fedspike.data.partition.classes import Classes
from fedspike.data.partition.dirichlet import Dirichlet
from fedspike.data.partition.iid import IID
from fedspike.data.partition.on_devices import OnDevices
from fedspike.data.partition.partition import Partition, class_counts
from fedspike.data.partition.quantity import Quantity
from fedspike.data.partition.shards import Shards

PARTITIONS: tuple[type[Partition], ...] = (
    *(IID, Classes, Dirichlet, Shards, Quantity, Centralised, OnDevices),
)

__all__ = [
    "IID",
    "PARTITIONS",
    "Centralised",
    "Classes",
    "Dirichlet",
    "OnDevices",
    "Partition",
    "Quantity",
    "Shards",
    "class_counts",
]
