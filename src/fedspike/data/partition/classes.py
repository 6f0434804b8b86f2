"""A number of classes for each client."""

import math
from typing import Annotated

import numpy as np
from jaxtyping import Bool, Int64
from msgspec import Meta

from fedspike.data.partition.partition import Indices, Partition, deal, demand_samples
from fedspike.errors import InputError
from fedspike.randomness import stream

CURVEBALL_SWEEPS = 20  # clients overlap no differently after 5 or 100; the tests measure uniformity


class Classes(Partition, tag="classes"):
    """Every client holds exactly `classes` different classes, drawn at random: the study's skew.

    With N clients, k classes each and C classes in the data:

    1. every class sits on floor(N k / C) or ceil(N k / C) clients, and every assignment that does
       so is equally likely (see `_balanced_assignment`);
    2. the samples of a class are split among its holders in parts that differ by at most one;
       who gets the larger part is chosen so that the clients' sizes are as equal as can be.

    So 10 clients with 3 of Fashion-MNIST's 10 classes hold 2,000 samples of each, 6,000 together,
    and `classes` = 10 is the case without skew. Raises InputError where a class would sit on no
    client, or has fewer samples than clients to hold it.

    >>> shards = Classes(1)(np.array([5, 5, 7, 7]), clients=2)
    >>> sorted(shard.tolist() for shard in shards)
    [[0, 1], [2, 3]]

    The study does not say how it assigned classes; this is the "#C = k" skew of Li, Diao, Chen, He,
    "Federated Learning on Non-IID Data Silos: An Experimental Study", ICDE 2022, with a difference:
    there a class may sit on any number of clients, even none.
    """

    classes: Annotated[int, Meta(ge=1, lt=2**31)]

    def classes_per_client(self, classes: int) -> int:
        """As many as it says."""
        del classes
        return self.classes

    def __call__(self, labels: np.ndarray, clients: int = 10, seed: int = 0) -> list[Indices]:
        """Indices into `labels` [sample]; raises InputError as described above."""
        demand_samples(labels, clients)
        values, sizes = np.unique(labels, return_counts=True)
        self._check_feasible(values, sizes, clients)
        generator = stream(seed, "partition")
        holds = _balanced_assignment(clients, self.classes, len(values), generator)
        groups = [np.flatnonzero(labels == value) for value in values]
        return deal(groups, _equal_shares(holds, sizes), generator)

    def _check_feasible(self, values: np.ndarray, sizes: np.ndarray, clients: int) -> None:
        call = f"classes = {self.classes} with clients = {clients}"
        if self.classes > len(values):
            raise InputError(
                f"{call} on labels of {len(values)} classes",
                expected="at most as many classes per client as occur in the labels",
                fix=f"set classes = {len(values)} or less",
                keys=("classes",),
            )
        if clients * self.classes < len(values):
            raise InputError(
                f"{call} on labels of {len(values)} classes: some class would sit on no client",
                expected=f"clients * classes >= {len(values)}",
                fix=f"raise classes to {math.ceil(len(values) / clients)} "
                f"or clients to {math.ceil(len(values) / self.classes)}",
                keys=("classes", "clients"),
            )
        # Not the holders of this seed but the most of any seed: a sweep must not fail half-way.
        holders = math.ceil(clients * self.classes / len(values))
        if sizes.min() < holders:
            raise InputError(
                f"{call}: class {values[sizes.argmin()]} has {sizes.min()} samples "
                f"for {holders} clients",
                expected="at least one sample of each of its classes on every client",
                fix="lower clients or classes, or add samples of that class",
                keys=("clients", "classes"),
            )


def _balanced_assignment(
    clients: int, per_client: int, classes: int, generator: np.random.Generator
) -> Bool[np.ndarray, "client class"]:
    """Who holds which class: `per_client` a row, floor or ceil of the mean a column, at random.

    Start: deal the classes round and round, `per_client` in a row to each client. That is balanced,
    and the classes of a client differ because per_client <= classes. Then Curveball: pair the
    clients at random; each pair pools the classes that only one of the two holds and deals them
    again. A trade changes no row or column sum, so this ends, always valid, after a fixed number
    of sweeps, and tends to the uniform distribution over all balanced assignments.

    Strona, Nappo, Boccacci, Fattorini, San-Miguel-Ayanz, "A fast and unbiased procedure to
    randomize ecological binary matrices with fixed row and column totals", Nature Communications,
    2014. Uniform: Carstens, "Proof of uniform sampling of binary matrices with fixed row sums and
    column sums for the fast Curveball algorithm", Physical Review E, 2015.
    """
    deck = np.arange(clients * per_client).reshape(clients, per_client) % classes
    names = generator.permutation(classes)  # which classes get the ceil is drawn, too
    holds = np.zeros((clients, classes), dtype=np.bool_)
    holds[np.arange(clients)[:, None], names[deck]] = True
    for _ in range(CURVEBALL_SWEEPS):
        order = generator.permutation(clients)
        for one, other in zip(order[0::2], order[1::2], strict=False):  # an odd one sits out
            pool = generator.permutation(np.flatnonzero(holds[one] ^ holds[other]))
            mine = pool[: np.count_nonzero(holds[one] & ~holds[other])]
            holds[one, pool], holds[other, pool] = False, True
            holds[one, mine], holds[other, mine] = True, False
    return holds


def _equal_shares(
    holds: Bool[np.ndarray, "client class"], sizes: Int64[np.ndarray, " class"]
) -> Int64[np.ndarray, "client class"]:
    """Samples of each class on each holder: floor(size / holders), and the spare ones one by one.

    A spare sample goes to the smallest client that it can reach, where a holder may take it and
    pass on a spare of another class. That makes the client sizes as equal as the holdings allow:
    Harvey, Ladner, Lovász, Tamir, "Semi-matchings for bipartite graphs and load balancing",
    Journal of Algorithms, 2006 (its first algorithm).
    """
    holders = holds.sum(axis=0)
    shares: Int64[np.ndarray, "client class"] = holds * (sizes // holders)
    spare = np.zeros_like(holds)
    totals = shares.sum(axis=1)
    for start in np.repeat(np.arange(sizes.size), sizes % holders):
        takes = np.full(len(holds), -1)  # client -> class of the spare that it would take
        gives: dict[int, int] = {}  # class -> client that would pass its spare of it on
        queue = [int(start)]
        for kind in queue:  # grows as we read: breadth first
            reached = holds[:, kind] & ~spare[:, kind] & (takes < 0)
            takes[reached] = kind
            for passed in np.flatnonzero(spare[reached].any(axis=0)).tolist():
                if passed not in queue:
                    gives[passed] = int(np.argmax(reached & spare[:, passed]))
                    queue.append(passed)
        client = int(np.argmin(np.where(takes < 0, totals.max() + 1, totals)))
        totals[client] += 1
        while (kind := int(takes[client])) != start:
            spare[client, kind], spare[gives[kind], kind] = True, False
            client = gives[kind]
        spare[client, start] = True
    shares += spare
    return shares
