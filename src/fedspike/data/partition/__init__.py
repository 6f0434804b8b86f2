"""Partitions: a file for each."""

from fedspike import part
from fedspike.data.partition.centralised import Centralised as Centralised
from fedspike.data.partition.classes import Classes as Classes
from fedspike.data.partition.dirichlet import Dirichlet as Dirichlet
from fedspike.data.partition.equal_dirichlet import EqualDirichlet as EqualDirichlet
from fedspike.data.partition.holdings import Holdings as Holdings
from fedspike.data.partition.holdings import Listed as Listed
from fedspike.data.partition.holdings import Unknown as Unknown
from fedspike.data.partition.iid import IID as IID
from fedspike.data.partition.natural import Natural as Natural
from fedspike.data.partition.on_devices import OnDevices as OnDevices
from fedspike.data.partition.partition import Partition as Partition
from fedspike.data.partition.partition import class_counts as class_counts
from fedspike.data.partition.quantity import Quantity as Quantity
from fedspike.data.partition.resampled import Resampled as Resampled
from fedspike.data.partition.roads import Roads as Roads
from fedspike.data.partition.shards import Shards as Shards
from fedspike.data.partition.shared_classes import SharedClasses as SharedClasses

PARTITIONS = part.kinds(Partition, vars(), usual=IID)
