"""Who holds what: labels -> one array of sample indices per client.

A partition is a frozen description that is called with the labels of the training set:

    shards = Classes(3)(labels, clients=10, seed=0)

Every partition that ships leaves no client empty, returns ascending indices, and is a function of (labels,
clients, seed) alone, `Natural` of the samples' owners, too. But for `Resampled` it is disjoint (no sample on
two clients), and but for these two covering (no sample left out).
The classes are those that occur in the labels; {0, 5, 7} are three classes.
"""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from jaxtyping import Int64

from fedspike.data.owners import Owners
from fedspike.data.partition.holdings import Holdings, Listed
from fedspike.errors import InputError
from fedspike.part import Part, abstractmethod

Indices = Int64[np.ndarray, " _sample"]


class Partition(Part):
    """A rule that divides a training set among clients.

    `one_client` says that it takes one client alone, `dealt` that there is a data set to divide.
    """

    one_client: ClassVar[bool] = False
    dealt: ClassVar[bool] = True

    @abstractmethod
    def __call__(self, labels: np.ndarray, clients: int = 10, seed: int = 0) -> Sequence[Indices]:
        """Indices into `labels` [sample], one ascending array per client."""

    def over(
        self, labels: np.ndarray, owners: Owners | None, clients: int, seed: int
    ) -> Sequence[Indices]:
        """The same of samples that may have `owners`, which few rules ask for."""
        del owners
        return self(labels, clients=clients, seed=seed)

    def classes_per_client(self, classes: int) -> int | None:
        """How many of so many classes each client holds, where the rule fixes that; else None."""
        del classes
        return None


def class_counts(
    labels: np.ndarray, shards: Sequence[Indices], classes: int, most: int | None = None
) -> Int64[np.ndarray, "client class"]:
    """How many samples of each class 0 ... classes - 1 every client holds, or each of the first ones.

    >>> class_counts(np.array([0, 2, 2]), [np.array([0, 1]), np.array([2])], classes=3)
    array([[1, 0, 1],
           [0, 0, 1]])
    """
    demand_labels(labels)
    if labels.size and not (labels.min() >= 0 and labels.max() < classes):
        raise InputError(
            f"labels from {labels.min()} to {labels.max()} with classes = {classes}",
            expected=f"labels from 0 to {classes - 1}",
            fix="set classes to the largest label + 1",
        )
    holdings = shards if isinstance(shards, Holdings) else Listed.of(shards)
    return holdings.class_counts(labels, classes, most)


def deal(
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


def demand_labels(labels: np.ndarray) -> None:
    """Raise InputError unless these are class numbers, [sample]."""
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise InputError(
            f"labels of type {labels.dtype} and shape {labels.shape}",
            expected="a one-dimensional array of whole numbers, one per sample",
            fix="pass class numbers, e.g. dataset.y_train (of one-hot labels: argmax(axis=1))",
        )


def demand_samples(labels: np.ndarray, clients: int) -> None:
    """Raise InputError unless these are class numbers, and as many as clients at least."""
    demand_labels(labels)
    if clients < 1:
        raise InputError(
            f"clients = {clients}",
            expected="a whole number >= 1",
            fix="set clients = 1 or more",
            keys=("clients",),
        )
    if clients > labels.size:
        raise InputError(
            f"clients = {clients} with {labels.size} samples: some client would be empty",
            expected="at most as many clients as samples",
            fix=f"lower clients to {labels.size}" if labels.size else "pass some samples",
            keys=("clients",),
        )
