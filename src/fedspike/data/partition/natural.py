"""The skew that data have by themselves: a client is a person, a voice, a place."""

from collections.abc import Sequence
from typing import Annotated, NoReturn

import numpy as np
from msgspec import Meta

from fedspike.data.owners import Owners
from fedspike.data.partition.partition import Indices, Partition
from fedspike.errors import InputError
from fedspike.randomness import stream


class Natural(Partition, tag="natural"):
    """Each client is one owner of samples, as the data say: a writer, a voice, a place.

    Data have owners where their source says which column or folder names them. Clients are in the order of
    their owners' names. Where the fleet has fewer clients than there are owners, as many are drawn, and the
    samples of the others are left out; owners of fewer than `least` samples take no part.

    Source: Caldas et al., "LEAF: A Benchmark for Federated Settings", arXiv 1812.01097.
    """

    least: Annotated[int, Meta(ge=1, lt=2**31, description="samples that an owner must have")] = 1

    def __call__(self, labels: np.ndarray, clients: int = 10, seed: int = 0) -> NoReturn:
        """Raise InputError: labels alone do not say whose samples they are."""
        del labels, clients, seed
        raise InputError(
            f"partition {self.kind} of samples without owners",
            expected="data that say whose sample each one is",
            fix='name the column, data.owner = "writer", or take another partition',
            keys=("kind",),
        )

    def over(
        self, labels: np.ndarray, owners: Owners | None, clients: int, seed: int
    ) -> Sequence[Indices]:
        """Positions of the samples [sample] of each client; raises InputError where owners are too few."""
        if owners is None:
            self(labels, clients, seed)
        sizes = np.bincount(owners.of, minlength=len(owners.names))
        there = np.flatnonzero(sizes >= self.least)
        if not 1 <= clients <= len(there):
            raise InputError(
                f"clients = {clients} of {len(owners.names)} owners, {len(there)} of them with {self.least} "
                f"sample{'s' if self.least > 1 else ''} or more",
                expected="an owner for each client",
                fix=f"set clients = {len(there)}" if len(there) else "lower partition.least",
                keys=("clients", "least"),
            )
        drawn = np.sort(stream(seed, "partition").permutation(there)[:clients])
        order = np.argsort(owners.of, kind="stable")
        ends = np.cumsum(sizes)
        return [order[ends[owner] - sizes[owner] : ends[owner]] for owner in drawn]
