"""Who holds what: labels -> one array of sample indices per client.

A partition is a frozen description that is called with the labels of the training set:

    shards = ClassesPerClient(3)(labels, clients=10, seed=0)

Every partition here is disjoint (no sample on two clients), covering (no sample left out), leaves
no client empty, returns ascending indices, and is a function of (labels, clients, seed) alone.
The classes are those that occur in the labels; {0, 5, 7} are three classes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Int64

from fedspike.errors import InputError
from fedspike.randomness import stream

Indices = Int64[np.ndarray, " _sample"]

DIRICHLET_ATTEMPTS = 1000
LARGEST_ALPHA = 1e9  # by then the proportions of 10 clients agree to 4 digits
CURVEBALL_SWEEPS = 20  # clients overlap no differently after 5 or 100; the tests measure uniformity


@runtime_checkable
class PartitionFunction(Protocol):
    """What every partition is: labels [sample], clients and seed in, one index array each out."""

    def __call__(self, labels: np.ndarray, clients: int, seed: int) -> list[Indices]:
        """Indices into `labels`, one ascending array per client."""


@dataclass(frozen=True)
class IID:
    """All samples shuffled and cut into equal parts; sizes differ by at most one.

    >>> [len(shard) for shard in IID()(np.array([0, 1, 0, 1, 0]), clients=2)]
    [3, 2]
    """

    def __call__(self, labels: np.ndarray, clients: int = 10, seed: int = 0) -> list[Indices]:
        """Indices into `labels` [sample]; raises InputError where a client would stay empty."""
        _check(labels, clients)
        order = stream(seed, "partition").permutation(labels.size)
        return [np.sort(part) for part in np.array_split(order, clients)]


@dataclass(frozen=True)
class Centralised:
    """Everything on one client: the baseline in which nothing is federated."""

    def __call__(self, labels: np.ndarray, clients: int = 1, seed: int = 0) -> list[Indices]:  # noqa: ARG002
        """All indices into `labels` [sample]; raises InputError unless `clients` is 1."""
        _check(labels, clients)
        if clients != 1:
            raise InputError(
                f"Centralised() with clients = {clients}",
                expected="one client, which holds everything",
                fix="set clients = 1, or use IID() for equal parts",
            )
        return [np.arange(labels.size)]


@dataclass(frozen=True)
class ClassesPerClient:
    """Every client holds exactly `classes` different classes, drawn at random: the study's skew.

    With N clients, k classes each and C classes in the data:

    1. every class sits on floor(N k / C) or ceil(N k / C) clients, and every assignment that does
       so is equally likely (see `_balanced_assignment`);
    2. the samples of a class are split among its holders in parts that differ by at most one;
       who gets the larger part is chosen so that the clients' sizes are as equal as can be.

    So 10 clients with 3 of Fashion-MNIST's 10 classes hold 2,000 samples of each, 6,000 together,
    and `classes` = 10 is the case without skew. Raises InputError where a class would sit on no
    client, or has fewer samples than clients to hold it.

    >>> shards = ClassesPerClient(1)(np.array([5, 5, 7, 7]), clients=2)
    >>> sorted(shard.tolist() for shard in shards)
    [[0, 1], [2, 3]]

    The study does not say how it assigned classes; this is the "#C = k" skew of Li, Diao, Chen, He,
    "Federated Learning on Non-IID Data Silos: An Experimental Study", ICDE 2022, with a difference:
    there a class may sit on any number of clients, even none.
    """

    classes: int

    def __post_init__(self) -> None:
        _check_positive("classes", self.classes)

    def __call__(self, labels: np.ndarray, clients: int = 10, seed: int = 0) -> list[Indices]:
        """Indices into `labels` [sample]; raises InputError as described above."""
        _check(labels, clients)
        values, sizes = np.unique(labels, return_counts=True)
        self._check_feasible(values, sizes, clients)
        generator = stream(seed, "partition")
        holds = _balanced_assignment(clients, self.classes, len(values), generator)
        groups = [np.flatnonzero(labels == value) for value in values]
        return _deal(groups, _equal_shares(holds, sizes), generator)

    def _check_feasible(self, values: np.ndarray, sizes: np.ndarray, clients: int) -> None:
        call = f"ClassesPerClient({self.classes}) with clients = {clients}"
        if self.classes > len(values):
            raise InputError(
                f"{call} on labels of {len(values)} classes",
                expected="at most as many classes per client as occur in the labels",
                fix=f"set classes = {len(values)} or less",
            )
        if clients * self.classes < len(values):
            raise InputError(
                f"{call} on labels of {len(values)} classes: some class would sit on no client",
                expected=f"clients * classes >= {len(values)}",
                fix=f"raise classes to {math.ceil(len(values) / clients)} "
                f"or clients to {math.ceil(len(values) / self.classes)}",
            )
        # Not the holders of this seed but the most of any seed: a sweep must not fail half-way.
        holders = math.ceil(clients * self.classes / len(values))
        if sizes.min() < holders:
            raise InputError(
                f"{call}: class {values[sizes.argmin()]} has {sizes.min()} samples "
                f"for {holders} clients",
                expected="at least one sample of each of its classes on every client",
                fix="lower clients or classes, or add samples of that class",
            )


@dataclass(frozen=True)
class Dirichlet:
    """Label skew in degrees: alpha -> 0 gives each class to one client, alpha -> infinity is IID.

    For every class c the samples are cut in the proportions p_c ~ Dirichlet_clients(alpha), at the
    rounded cumulative sums, so that every part is within one sample of its proportion. All of it is
    drawn again until every client holds `min_samples`; raises InputError after 1,000 attempts.

    This is the draw per class of Yurochkin, Agarwal, Ghosh, Greenewald, Hoang, Khazaeni, "Bayesian
    Nonparametric Federated Learning of Neural Networks", ICML 2019. The draw per client of Hsu, Qi,
    Brown, "Measuring the Effects of Non-Identical Data Distribution for Federated Visual
    Classification", 2019, keeps clients equally large; this one does not.
    """

    alpha: float
    min_samples: int = 1

    def __post_init__(self) -> None:
        _check_dirichlet(self.alpha, self.min_samples)

    def __call__(self, labels: np.ndarray, clients: int = 10, seed: int = 0) -> list[Indices]:
        """Indices into `labels` [sample]; raises InputError where `min_samples` cannot be had."""
        _check(labels, clients)
        groups = [np.flatnonzero(labels == value) for value in np.unique(labels)]
        return _dirichlet_cuts(groups, clients, seed, self.alpha, self.min_samples)


@dataclass(frozen=True)
class QuantitySkew:
    """Clients of unequal size and equal content: sizes / samples ~ Dirichlet_clients(alpha).

    Drawn again until every client holds `min_samples`; raises InputError after 1,000 attempts.
    Source: Li, Diao, Chen, He, "Federated Learning on Non-IID Data Silos: An Experimental Study",
    ICDE 2022 (its "quantity skew").
    """

    alpha: float
    min_samples: int = 1

    def __post_init__(self) -> None:
        _check_dirichlet(self.alpha, self.min_samples)

    def __call__(self, labels: np.ndarray, clients: int = 10, seed: int = 0) -> list[Indices]:
        """Indices into `labels` [sample]; raises InputError where `min_samples` cannot be had."""
        _check(labels, clients)
        everything = [np.arange(labels.size)]
        return _dirichlet_cuts(everything, clients, seed, self.alpha, self.min_samples)


@dataclass(frozen=True)
class Shards:
    """Samples sorted by label, cut into clients * shards_per_client shards, dealt at random.

    A client sees about `shards_per_client` classes, not exactly: its shards may be of one class, or
    a shard may span two. Shards differ in size by at most one sample. Source: McMahan, Moore,
    Ramage, Hampson, Agüera y Arcas, "Communication-Efficient Learning of Deep Networks from
    Decentralized Data", AISTATS 2017 (there 100 clients with 2 shards each).
    """

    shards_per_client: int

    def __post_init__(self) -> None:
        _check_positive("shards_per_client", self.shards_per_client)

    def __call__(self, labels: np.ndarray, clients: int = 10, seed: int = 0) -> list[Indices]:
        """Indices into `labels` [sample]; raises InputError if shards outnumber samples."""
        _check(labels, clients)
        count = clients * self.shards_per_client
        if count > labels.size:
            raise InputError(
                f"Shards({self.shards_per_client}) with clients = {clients}: "
                f"{count} shards of {labels.size} samples",
                expected="at least one sample per shard",
                fix=f"lower shards_per_client to {labels.size // clients} or less",
            )
        shards = np.array_split(np.argsort(labels, kind="stable"), count)
        deal = stream(seed, "partition").permutation(count).reshape(clients, -1)
        return [np.sort(np.concatenate([shards[shard] for shard in hand])) for hand in deal]


def class_counts(
    labels: np.ndarray, shards: Sequence[Indices], classes: int
) -> Int64[np.ndarray, "client class"]:
    """How many samples of each class 0 ... classes - 1 every client holds.

    >>> class_counts(np.array([0, 2, 2]), [np.array([0, 1]), np.array([2])], classes=3)
    array([[1, 0, 1],
           [0, 0, 1]])
    """
    _check_labels(labels)
    if labels.size and not (labels.min() >= 0 and labels.max() < classes):
        raise InputError(
            f"labels from {labels.min()} to {labels.max()} with classes = {classes}",
            expected=f"labels from 0 to {classes - 1}",
            fix="set classes to the largest label + 1",
        )
    counts = np.zeros((len(shards), classes), dtype=np.int64)
    for client, shard in enumerate(shards):
        counts[client] = np.bincount(labels[shard].astype(np.int64), minlength=classes)
    return counts


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


def _dirichlet_cuts(
    groups: Sequence[Indices], clients: int, seed: int, alpha: float, min_samples: int
) -> list[Indices]:
    """Each group cut among the clients in its own Dirichlet(alpha) proportions."""
    samples = sum(group.size for group in groups)
    call = f"alpha = {alpha}, min_samples = {min_samples}, clients = {clients}, {samples} samples"
    if clients * min_samples > samples:
        raise InputError(
            call,
            expected="clients * min_samples <= samples",
            fix=f"lower min_samples to {samples // clients} or less",
        )
    for attempt in range(DIRICHLET_ATTEMPTS):
        generator = stream(seed, "partition", round=attempt)  # a redraw has an address of its own
        counts = np.zeros((clients, len(groups)), dtype=np.int64)
        for column, group in enumerate(groups):
            proportions = generator.dirichlet(np.full(clients, alpha))
            inner_cuts = np.rint(np.cumsum(proportions)[:-1] * group.size)
            counts[:, column] = np.diff(inner_cuts, prepend=0, append=group.size)
        if counts.sum(axis=1).min() >= min_samples:
            return _deal(groups, counts, generator)
    raise InputError(
        f"{call}: in {DIRICHLET_ATTEMPTS} draws some client always had fewer",
        expected="a skew that leaves every client min_samples",
        fix="raise alpha, lower min_samples, or lower clients",
    )


def _deal(
    groups: Sequence[Indices],
    counts: Int64[np.ndarray, "client group"],
    generator: np.random.Generator,
) -> list[Indices]:
    """Each group shuffled, cut into the given counts, and handed to the clients in order."""
    pieces = [
        np.split(generator.permutation(group), np.cumsum(counts[:-1, column]))
        for column, group in enumerate(groups)
    ]
    return [np.sort(np.concatenate(hand)) for hand in zip(*pieces, strict=True)]


def _check_labels(labels: np.ndarray) -> None:
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise InputError(
            f"labels of type {labels.dtype} and shape {labels.shape}",
            expected="a one-dimensional array of whole numbers, one per sample",
            fix="pass class numbers, e.g. dataset.y_train (of one-hot labels: argmax(axis=1))",
        )


def _check(labels: np.ndarray, clients: int) -> None:
    _check_labels(labels)
    _check_positive("clients", clients)
    if clients > labels.size:
        raise InputError(
            f"clients = {clients} with {labels.size} samples: some client would be empty",
            expected="at most as many clients as samples",
            fix=f"lower clients to {labels.size}" if labels.size else "pass some samples",
        )


def _check_positive(name: str, value: int) -> None:
    if value < 1:
        raise InputError(
            f"{name} = {value}", expected="a whole number >= 1", fix=f"set {name} = 1 or more"
        )


def _check_dirichlet(alpha: float, min_samples: int) -> None:
    if not 0 < alpha <= LARGEST_ALPHA:  # so NaN is refused as well
        raise InputError(
            f"alpha = {alpha}",
            expected=f"a number > 0 and at most {LARGEST_ALPHA:g}",
            fix="set alpha = 0.1 for strong skew, 100 for almost none, or use IID()",
        )
    _check_positive("min_samples", min_samples)
