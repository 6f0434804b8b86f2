"""A partition of one's own."""

from typing import Annotated

import numpy as np
from msgspec import Meta

from fedspike.data.partition import Partition


class InTurn(Partition, tag="in-turn"):
    """Samples are dealt out in turn, in packs, as they come in the data set."""

    pack: Annotated[int, Meta(ge=1, lt=2**31)] = 1

    def __call__(self, labels: np.ndarray, clients: int = 10, seed: int = 0) -> list[np.ndarray]:
        """Indices into `labels` [sample], one ascending array per client."""
        del seed
        owner = np.arange(labels.size) // self.pack % clients
        return [np.flatnonzero(owner == client) for client in range(clients)]
