"""Fleets of more clients than there are samples."""

from functools import cached_property
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Int64
from msgspec import Meta

from fedspike.data.partition.dirichlet_cuts import Concentration
from fedspike.data.partition.holdings import Holdings, Positions
from fedspike.data.partition.partition import Partition, demand_labels
from fedspike.errors import InputError
from fedspike.randomness import stream

TOGETHER = 1024  # samples, at least, that are drawn from one address


class Resampled(Partition, tag="resampled"):
    """Every client draws its own `samples` from the whole training set, so there may be a million clients.

    Drawn with replacement, as a bootstrap sample is: clients share samples, and one may hold a sample twice.
    A client's samples are drawn when they are asked for, so the fleet takes no memory. With `alpha` each
    client has class proportions q ~ Dirichlet(alpha p) of its own, and draws its samples' classes from q; p
    are the proportions of the training set times the number of classes. Infinite: all are alike, IID.

    Source of the skew: Hsu, Qi, Brown, "Measuring the Effects of Non-Identical Data Distribution for
    Federated Visual Classification", arXiv 1909.06335, there without replacement (`EqualDirichlet`).

    >>> fleet = Resampled(samples=3)(np.array([0, 1, 0, 1, 0]), clients=1_000_000)
    >>> len(fleet), [len(fleet[client]) for client in (0, 999_999)]
    (1000000, [3, 3])
    """

    samples: Annotated[int, Meta(ge=1, lt=2**31, description="that each client draws")] = 100
    alpha: Concentration | Literal["infinite"] = "infinite"

    def __call__(self, labels: np.ndarray, clients: int = 10, seed: int = 0) -> "Drawn":
        """Positions in `labels` [sample], ascending; raises InputError where a client would hold more."""
        demand_labels(labels)
        if clients < 1 or not labels.size:
            raise InputError(
                f"clients = {clients} with {labels.size} samples",
                expected="a client and a sample, at least",
                fix="set clients = 1 or more" if labels.size else "pass some samples",
                keys=("clients",),
            )
        if self.samples > labels.size:
            raise InputError(
                f"samples = {self.samples} of a training set of {labels.size}",
                expected="at most as many for each client as there are in all",
                fix=f"lower samples to {labels.size}",
                keys=("samples",),
            )
        alpha = None if self.alpha == "infinite" else self.alpha
        return Drawn(labels, clients, seed, self.samples, alpha)


class Drawn(Holdings):
    """The samples of each client as it draws them: some clients together, always the same ones."""

    def __init__(
        self, labels: np.ndarray, clients: int, seed: int, samples: int, alpha: float | None
    ) -> None:
        self.sizes = np.broadcast_to(np.int64(samples), clients)
        self._labels, self._seed, self._samples, self._alpha = labels, seed, samples, alpha
        self._together = -(-TOGETHER // samples)

    def some(self, first: int, last: int) -> Positions:
        """Drawn."""
        if first >= last:
            return np.zeros(0, np.int64)
        together = self._together
        groups = range(first // together, -(-last // together))
        rows = np.concatenate([self._group(group) for group in groups])
        begin = first - groups[0] * together
        return rows[begin : begin + last - first].reshape(-1)

    @property
    def highest(self) -> int:
        """That of the training set."""
        return len(self._labels) - 1

    def _group(self, group: int) -> Int64[np.ndarray, "_client sample"]:
        """The samples of the clients that are drawn together."""
        generator = stream(self._seed, "partition", client=group)
        shape = self._together, self._samples
        if self._alpha is None:
            return np.sort(generator.integers(len(self._labels), size=shape), axis=1)
        by_class, sizes = self._by_class
        q = generator.dirichlet(self._alpha * sizes / sizes.mean(), size=shape[0])
        ends = q.cumsum(1) / q.sum(1, keepdims=True)
        drawn = generator.random(shape)
        kinds = np.stack(
            [np.searchsorted(own, u, "right") for own, u in zip(ends, drawn, strict=True)]
        )
        kinds = np.minimum(kinds, len(sizes) - 1)
        within = (generator.random(shape) * sizes[kinds]).astype(np.int64)
        return np.sort(by_class[np.cumsum(sizes)[kinds] - sizes[kinds] + within], axis=1)

    @cached_property
    def _by_class(self) -> tuple[Positions, Int64[np.ndarray, " class"]]:
        """All positions, one class after the other, and how many each class has."""
        _, sizes = np.unique(self._labels, return_counts=True)
        return np.argsort(self._labels, kind="stable"), sizes.astype(np.int64)
