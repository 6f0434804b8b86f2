"""Some classes that all clients hold, the others each on one client."""

from typing import Annotated

import numpy as np
from msgspec import Meta

from fedspike.data.partition.partition import Indices, Partition, deal, demand_samples
from fedspike.errors import InputError
from fedspike.randomness import stream


class SharedClasses(Partition, tag="shared-classes"):
    """All clients hold the `shared` classes, and each of the other classes sits on one client alone.

    Which classes are shared, and who gets which of the others, is drawn; clients get equally many of them,
    but for one where they do not go up. The samples of a shared class are split in parts that differ by at
    most one. Raises InputError where a client would get no class of its own, or no sample of a shared one.

    Source: Motta, Nanni, arXiv 2603.13037, whose two devices learn one class both and one more each alone.

    >>> shards = SharedClasses(1)(np.array([5, 5, 7, 7, 9, 9]), clients=2)
    >>> sorted(len(shard) for shard in shards)
    [3, 3]
    """

    shared: Annotated[int, Meta(ge=0, lt=2**31, description="classes that every client holds")] = 1

    def __call__(self, labels: np.ndarray, clients: int = 10, seed: int = 0) -> list[Indices]:
        """Indices into `labels` [sample]; raises InputError as described above."""
        demand_samples(labels, clients)
        values, sizes = np.unique(labels, return_counts=True)
        alone = len(values) - self.shared
        if alone < clients:
            ways = [f"clients = {alone} or less"] if alone > 0 else []
            if len(values) >= clients:
                ways.append(f"shared = {len(values) - clients} or less")
            raise InputError(
                f"shared = {self.shared} of {len(values)} classes, for clients = {clients}",
                expected="a class of its own for each client beside the shared ones",
                fix=f"set {' or '.join(ways) or 'both lower'}",
                keys=("shared", "clients"),
            )
        generator = stream(seed, "partition")
        order = generator.permutation(len(values))
        counts = np.zeros((clients, len(values)), dtype=np.int64)
        for place, group in enumerate(order):
            if place >= self.shared:
                counts[(place - self.shared) % clients, group] = sizes[group]
                continue
            if sizes[group] < clients:
                raise InputError(
                    f"shared = {self.shared}: class {values[group]} has {sizes[group]} samples",
                    expected=f"a sample of each shared class for each of {clients} clients",
                    fix="lower clients or shared",
                    keys=("clients", "shared"),
                )
            counts[:, group] = sizes[group] // clients
            counts[: sizes[group] % clients, group] += 1
        groups = [np.flatnonzero(labels == value) for value in values]
        return deal(groups, counts, generator)
