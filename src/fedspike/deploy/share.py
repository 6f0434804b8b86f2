"""A data set dealt out to nodes, a file for each client: to try a fleet, or to outgrow one machine."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np

from fedspike.data import Dataset
from fedspike.federation.devices import Devices
from fedspike.files import write_whole


def hosted(clients: int, nodes: int) -> list[range]:
    """The clients of each node: neighbours, and on no node two more than on another.

    >>> hosted(10, 4)
    [range(0, 2), range(2, 5), range(5, 7), range(7, 10)]
    """
    return [range(clients * i // nodes, clients * (i + 1) // nodes) for i in range(nodes)]


def write(folder: Path, dataset: Dataset, devices: Devices, clients: Sequence[int]) -> None:
    """The training samples of these clients, in the order in which the simulator has them."""
    for client in clients:
        shard = devices.shards[client]
        file = BytesIO()
        np.savez_compressed(file, x_train=dataset.x_train[shard], y_train=dataset.y_train[shard])
        write_whole(folder / f"client-{client}.npz", file.getvalue(), folder.parent)
