"""A data set dealt out to nodes, a file for each client: to try a fleet, or to outgrow one machine."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from fedspike.data import Dataset
from fedspike.data.layout import axes_of
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
        file, x, y = BytesIO(), dataset.x_train[shard], dataset.y_train[shard]
        layout: dict[str, Any] = {"signed": dataset.signed, "range": (-int(dataset.signed), 1)}
        layout["axes"] = axes_of(x.shape[1:])
        np.savez_compressed(file, x_train=x, y_train=y, **layout)
        write_whole(folder / f"client-{client}.npz", file.getvalue(), folder.parent)
