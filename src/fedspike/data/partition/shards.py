"""Shards of samples sorted by label."""

from typing import Annotated

import numpy as np
from msgspec import Meta

from fedspike.data.partition.partition import Indices, Partition, demand_samples
from fedspike.errors import InputError
from fedspike.randomness import stream


class Shards(Partition, tag="shards"):
    """Samples sorted by label, cut into clients * shards_per_client shards, dealt at random.

    A client sees about `shards_per_client` classes, not exactly: its shards may be of one class, or
    a shard may span two. Shards differ in size by at most one sample. Source: McMahan, Moore,
    Ramage, Hampson, Agüera y Arcas, "Communication-Efficient Learning of Deep Networks from
    Decentralized Data", AISTATS 2017 (there 100 clients with 2 shards each).
    """

    shards_per_client: Annotated[int, Meta(ge=1, lt=2**31)]

    def __call__(self, labels: np.ndarray, clients: int = 10, seed: int = 0) -> list[Indices]:
        """Indices into `labels` [sample]; raises InputError if shards outnumber samples."""
        demand_samples(labels, clients)
        count = clients * self.shards_per_client
        if count > labels.size:
            raise InputError(
                f"shards_per_client = {self.shards_per_client} with clients = {clients}: "
                f"{count} shards of {labels.size} samples",
                expected="at least one sample per shard",
                fix=f"lower shards_per_client to {labels.size // clients} or less",
                keys=("shards_per_client", "clients"),
            )
        shards = np.array_split(np.argsort(labels, kind="stable"), count)
        deal = stream(seed, "partition").permutation(count).reshape(clients, -1)
        return [np.sort(np.concatenate([shards[shard] for shard in hand])) for hand in deal]
