"""The minibatches of a cohort's round, the same step of all clients side by side.

Clients come with the one that has most batches first: those still training are then always a prefix.
"""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from fedspike.learning.learner import Shown
from fedspike.networks import Batch
from fedspike.networks.batch import computed_in, held
from fedspike.randomness import stream


class Batches:
    """Of what the clients are shown in so many epochs: minibatches of a size, padded to so many `rows`.

    `steps` are those of each client, `present[client, step]` the samples of a minibatch.
    """

    def __init__(self, shown: Shown, epochs: int, size: int, rows: int, classes: int) -> None:
        own = [schedule(len(one) // epochs, epochs, size) for one in shown.positions]
        self.steps = [len(one) for one in own]
        if sorted(self.steps, reverse=True) != self.steps:
            raise ValueError("clients must come with the most batches first")
        positions = stacked(shown.positions, own, rows)
        self.present = (positions >= 0).sum(2)
        self._shown, self._schedules = shown, own
        self._positions = positions.to(shown.pixels.device)
        self._labels = shown.labels[self._positions.clamp(min=0)]
        there = self._positions >= 0
        self._held = held(self._labels, there, classes, computed_in(shown.pixels)) / epochs

    def __len__(self) -> int:
        return self.steps[0]

    def in_a_row(self) -> Batch:
        """All of them, those of a step as so many clients, and the next step's behind them.

        Clients that have finished have empty ones.
        """
        shown, steps, clients = self._shown, len(self), len(self.steps)
        first = [
            own[step][0] if step < len(own) else 0
            for step in range(steps)
            for own in self._schedules
        ]
        where = replace(
            shown.address, clients=steps * shown.address.clients, first_samples=tuple(first)
        )
        positions, labels = (x.movedim(1, 0).flatten(0, 1) for x in (self._positions, self._labels))
        held_by_each = self._held.expand(steps, clients, -1).flatten(0, 1)
        return Batch(shown.pixels, positions, labels, where, held_by_each)

    def __getitem__(self, step: int) -> Batch:
        """That of the clients that are still training."""
        shown, k = self._shown, sum(count > step for count in self.steps)
        here = replace(
            shown.address,
            clients=shown.address.clients[:k],
            first_samples=tuple(one[step][0] for one in self._schedules[:k]),
        )
        positions, labels = self._positions[:k, step], self._labels[:k, step]
        return Batch(shown.pixels, positions, labels, here, self._held[:k])


def balanced(shown: Shown, epochs: int) -> Shown:
    """As many samples, of which a client's classes have equal shares in each epoch, but for one or so.

    Samples of a class that has too few are shown again, equally often but for one; of one that has too many
    some are left out.
    """
    where = shown.address

    def drawn(client: int, own: Int64[Tensor, " _shown"]) -> Int64[Tensor, " _shown"]:
        generator = stream(where.seed, "balanced", where.round, client)
        every = []
        for epoch in own.numpy().reshape(epochs, -1):
            labels = shown.labels[torch.from_numpy(epoch).to(shown.labels.device)].cpu().numpy()
            classes = generator.permutation(np.unique(labels))
            shares = np.array_split(np.arange(len(epoch)), len(classes))
            chosen = [
                np.resize(generator.permutation(epoch[labels == one]), len(share))
                for one, share in zip(classes, shares, strict=True)
            ]
            every.append(generator.permutation(np.concatenate(chosen)))
        return torch.from_numpy(np.concatenate(every))

    each = zip(where.clients, shown.positions, strict=True)
    return replace(shown, positions=[drawn(client, own) for client, own in each])


def schedule(samples: int, epochs: int, batch_size: int) -> list[tuple[int, int]]:
    """First and last-plus-one position of every batch of a client that is shown so many in each epoch.

    No batch spans two epochs; an epoch's last batch holds what is left.

    >>> schedule(4, epochs=2, batch_size=3)
    [(0, 3), (3, 4), (4, 7), (7, 8)]
    """
    return [
        (epoch * samples + first, epoch * samples + min(first + batch_size, samples))
        for epoch in range(epochs)
        for first in range(0, samples, batch_size)
    ]


def stacked(
    shown: list[Int64[Tensor, " _shown"]], schedules: list[list[tuple[int, int]]], rows: int
) -> Int64[Tensor, "client step row"]:
    """Positions of all samples, batch by batch, padded with -1."""
    shape = (len(shown), max(len(schedule) for schedule in schedules), rows)
    positions = torch.full(shape, -1)
    for client, schedule in enumerate(schedules):
        for step, (first, last) in enumerate(schedule):
            positions[client, step, : last - first] = shown[client][first:last]
    return positions
