"""Vehicles meet the signs of the roads that they drive on: the skew of places."""

from typing import Annotated, NamedTuple

import numpy as np
from jaxtyping import Float64
from msgspec import Meta

from fedspike.data.partition.partition import Indices, Partition, deal, demand_samples
from fedspike.data.signs.faces import CLASSES
from fedspike.errors import InputError
from fedspike.randomness import stream


class Place(NamedTuple):
    """Where a share of all vehicles drive, and the classes of signs that stand there."""

    vehicles: float
    often: tuple[int, ...]
    sometimes: tuple[int, ...]


# Our own judgement of German roads, after what the signs are for; nobody counted. The numbers are GTSRB's.
PLACES = {
    "city": Place(
        0.35,
        often=(1, 2, 12, 13, 14, 15, 17, 25, 26, 27, 33, 34, 35, 36, 37, 38, 39, 40),
        sometimes=(0, 3, 16, 18, 28, 29),
    ),
    "side streets": Place(
        0.15,
        often=(0, 1, 13, 15, 16, 17, 22, 27, 28, 29),
        sometimes=(11, 14, 18, 33, 34, 36, 37),
    ),
    "country roads": Place(
        0.25,
        often=(4, 5, 6, 7, 9, 11, 12, 18, 19, 20, 21, 31, 41),
        sometimes=(3, 10, 13, 14, 22, 23, 26, 32, 40, 42),
    ),
    "motorway": Place(
        0.15,
        often=(3, 5, 6, 7, 8, 9, 10, 24, 25, 32, 41, 42),
        sometimes=(4, 18, 23, 38),
    ),
    "mountains": Place(
        0.10,
        often=(18, 19, 20, 21, 22, 23, 24, 30, 31),
        sometimes=(2, 3, 4, 9, 11, 12, 16, 41),
    ),
}


class Roads(Partition, tag="roads"):
    """Each client is a vehicle that drives in one place, and meets the traffic signs that stand there.

    For the 43 classes of GTSRB and of the drawn signs. 35 % of the vehicles drive in a city, 15 % in side
    streets, 25 % on country roads, 15 % on motorways and 10 % in mountains, as nearly as their number allows;
    who drives where is drawn. Where a sign stands often its weight is 1, where it stands seldom it is s =
    `seldom`, and where it sometimes stands it is sqrt(s); the samples of a class are cut among the vehicles
    in proportion to these, at the rounded cumulative sums. With s = 1 all vehicles meet the same signs. Which
    signs stand where is this project's own judgement (data/partition/roads.py), not a count.
    """

    seldom: Annotated[
        float,
        Meta(gt=0, le=1, description="how often beside often; 1: no skew"),
    ] = 0.05

    def __call__(self, labels: np.ndarray, clients: int = 20, seed: int = 0) -> list[Indices]:
        """Indices into `labels` [sample]; raises InputError where the labels are no traffic signs."""
        demand_samples(labels, clients)
        values = np.unique(labels)
        if not np.array_equal(values, np.arange(CLASSES)):
            raise InputError(
                f"partition {self.kind} over {len(values)} classes, from {values[0]} to {values[-1]}",
                expected=f"the {CLASSES} classes of traffic signs, 0 to {CLASSES - 1}",
                fix='set data.kind = "signs", or take the partition Dirichlet',
                keys=("kind",),
            )
        generator = stream(seed, "partition")
        driven = generator.permutation(_places(clients))
        shares = np.cumsum(self._weights()[driven], axis=0)
        groups = [np.flatnonzero(labels == value) for value in values]
        cuts = np.rint(shares / shares[-1] * [len(group) for group in groups])
        shards = deal(groups, np.diff(cuts, axis=0, prepend=0).astype(np.int64), generator)
        if fewest := [client for client, shard in enumerate(shards) if not len(shard)]:
            raise InputError(
                f"clients = {clients} with {labels.size} samples: client {fewest[0]} meets no sign",
                expected="a sample at least for each vehicle",
                fix="lower clients, or draw more samples",
                keys=("clients",),
            )
        return shards

    def _weights(self) -> Float64[np.ndarray, "place class"]:
        weights = np.full((len(PLACES), CLASSES), self.seldom)
        for row, place in zip(weights, PLACES.values(), strict=True):
            row[list(place.sometimes)] = self.seldom**0.5
            row[list(place.often)] = 1.0
        return weights


def _places(clients: int) -> np.ndarray:
    """The place of each vehicle, in order: whole shares first, then those with the largest rest."""
    wanted = clients * np.array([place.vehicles for place in PLACES.values()])
    counts = np.floor(wanted + 1e-9).astype(int)
    for place in np.argsort(counts - wanted, kind="stable")[: clients - counts.sum()]:
        counts[place] += 1
    return np.repeat(np.arange(len(PLACES)), counts)
