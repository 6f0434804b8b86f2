"""Local training in minibatches, the whole cohort at once, whatever the gradients come from.

Every tensor carries the clients as its first axis, so one step here is one minibatch step of every client
that still has a batch left. Clients come with the one that has most batches first: those still training
are then always a prefix, and a finished client's weights are simply not touched any more.
"""

from dataclasses import replace as moved
from typing import Annotated, ClassVar

import torch
from jaxtyping import Int64
from msgspec import Meta
from msgspec.structs import replace
from torch import Tensor

from fedspike.engine.choice import engine_for
from fedspike.engine.engines import Engine, Learned
from fedspike.layers.operations import Table
from fedspike.learning.activities import Counts, activities, counted
from fedspike.learning.learner import Correction, Learner, Shown, Trained
from fedspike.networks import Batch, Network, Parameters, SizedNetwork
from fedspike.networks.batch import held
from fedspike.part import abstractmethod
from fedspike.parts.losses import Loss
from fedspike.parts.optimisers import Adam, Optimiser, Step


class Minibatches(Learner):
    """So many epochs over a client's samples, a step of the optimiser for each minibatch.

    A kind says how a minibatch's gradients are made. Without a loss it is the network's usual one.
    """

    loss: Loss | None = None
    optimiser: Optimiser = Adam()
    epochs: Annotated[
        int, Meta(ge=1, lt=2**31, description="passes over a client's samples of the round")
    ] = 1
    batch_size: Annotated[int, Meta(ge=1, lt=2**31, description="samples per step")] = 128

    left_to_network: ClassVar[tuple[str, ...]] = ("loss",)

    def suited(self, network: Network) -> "Minibatches":
        """With the usual loss of a conventional network, where the loss is one of spike counts."""
        if self.loss is not None and self.loss.needs_spikes and not network.spiking:
            return replace(self, loss=None)
        return self

    def fitted(self, network: Network) -> "Minibatches":
        """With the network's usual loss, if it has none; raises InputError for one of other scores."""
        loss = network.usual_loss if self.loss is None else self.loss
        network.demand_loss(loss)
        return replace(self, loss=loss)

    def demand_network(self, network: SizedNetwork) -> None:
        """Raise InputError where its loss is not one of what the network answers in its time steps."""
        if self.loss is not None and network.code is not None:
            self.loss.demand_scores(network.read_out, network.time_steps)

    @abstractmethod
    def taught(
        self,
        engine: Engine,
        network: SizedNetwork,
        loss: Loss,
        parameters: Parameters,
        batch: Batch,
    ) -> Learned:
        """Forward pass, mean loss and gradients of one minibatch of every client.

        Running statistics are among the parameters; of these there are no gradients.
        """

    @property
    def learning_rate(self) -> float:
        """The optimiser's."""
        return self.optimiser.learning_rate

    @property
    def copies(self) -> int:
        """The parameter, its gradient, that of the step before, and what the optimiser remembers."""
        return 3 + len(self.optimiser.start({}))

    @property
    def follows_the_gradient(self) -> bool:
        """Whether the optimiser is plain gradient descent."""
        return self.optimiser.plain

    def learn(
        self, network: SizedNetwork, start: Parameters, shown: Shown, correct: Correction
    ) -> Trained:
        """Step by step; a finished client's weights are not touched any more."""
        schedules = [
            schedule(len(own) // self.epochs, self.epochs, self.batch_size)
            for own in shown.positions
        ]
        steps = [len(schedule) for schedule in schedules]
        if sorted(steps, reverse=True) != steps:
            raise ValueError("clients must come with the most batches first")
        positions = stacked(shown.positions, schedules, self.rows(len(shown.positions[0])))
        present = (positions >= 0).sum(2)
        positions = positions.to(shown.pixels.device)
        wanted = shown.labels[positions.clamp(min=0)]
        parameters = {name: weight.clone() for name, weight in start.items()}
        learned = parameters.keys() - network.statistics().keys()
        memory = self.optimiser.start({n: w for n, w in parameters.items() if n in learned})
        losses = torch.zeros(len(shown.positions), dtype=torch.float64)
        loss_of = self.loss or network.usual_loss
        engine = engine_for(shown.pixels.device, shown.pixels.dtype)
        classes = network.architecture.layers[-1]
        by_class = held(wanted, positions >= 0, classes, shown.pixels.dtype) / self.epochs
        counts: list[Counts] = []

        for step in range(max(steps)):
            k = sum(count > step for count in steps)  # the clients that are still training
            first_samples = tuple(schedule[step][0] for schedule in schedules[:k])
            here = moved(
                shown.address, clients=shown.address.clients[:k], first_samples=first_samples
            )
            batch = Batch(shown.pixels, positions[:k, step], wanted[:k, step], here, by_class[:k])
            current = {name: weight[:k] for name, weight in parameters.items()}
            forward, loss, gradients = self.taught(engine, network, loss_of, current, batch)
            own = {name: current[name] for name in gradients}
            corrected = correct(gradients, own, k)
            own = {name: own[name] for name in corrected}
            remembered = {
                group: {name: numbers[:k] for name, numbers in tensors.items()}
                for group, tensors in memory.items()
            }
            now = Step(own, corrected, remembered, step + 1)
            engine.step(self.optimiser, now)
            for name, numbers in forward.statistics.items():
                current[name].copy_(numbers)

            losses[:k] += loss.cpu() * present[:k, step]
            counts.append(counted(forward))

        samples = [len(positions) for positions in shown.positions]
        mean_losses = (losses / torch.tensor(samples)).tolist()
        activities_done = activities(samples, steps, counts)
        return Trained(parameters, steps, mean_losses, activities_done)

    def operations(self) -> Table | None:
        """The optimiser's."""
        return self.optimiser.operations()

    def rows(self, shown: int) -> int:
        """Rows that each batch of a client is padded to: a power of two, or the batch size.

        It depends on the client alone, so that company in a stack changes none of its bits.

        >>> from fedspike.learning import Backpropagation
        >>> [Backpropagation(batch_size=128).rows(shown) for shown in (1, 5, 100, 2000)]
        [1, 8, 128, 128]
        """
        samples = shown // self.epochs
        return min(self.batch_size, 1 << (samples - 1).bit_length())


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
