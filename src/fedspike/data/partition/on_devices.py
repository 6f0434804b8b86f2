"""Nothing is dealt out."""

from typing import ClassVar

import numpy as np

from fedspike.data.partition.partition import Indices, Partition
from fedspike.errors import InputError


class OnDevices(Partition, tag="devices"):
    """Every client is a real device with data of its own: nothing is dealt out, nor simulated."""

    dealt: ClassVar[bool] = False

    def __call__(self, labels: np.ndarray, clients: int = 10, seed: int = 0) -> list[Indices]:
        """Raise InputError: who holds what is known to the devices."""
        del labels, clients, seed
        raise InputError(
            "partition.kind = devices: the data lie on the devices",
            expected="a partition of the data set, where devices are simulated",
            fix='set partition.kind = "iid", or train on them: fedspike fleet init --own-data',
            keys=("partition",),
        )
