"""What an engine is: it computes a step of many clients at once, and knows how many it takes at a time."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from fedspike.networks import Batch, ConvolutionalLayers, Forward, Parameters, SizedNetwork
from fedspike.networks.batch import held
from fedspike.networks.operators import Operators
from fedspike.parts.losses import Calibration, Loss
from fedspike.parts.neurons import Competitive
from fedspike.parts.optimisers import Optimiser, Step
from fedspike.parts.plasticity import Competed, Plasticity, Presented
from fedspike.parts.sums import total
from fedspike.parts.tensors import Held, PerClient, Representations, Scores

# Clients are computed side by side as long as a step of theirs together stays under this size: about 30
# clients of the founding study.
BLOCK_BYTES = 96 * 2**20
_MOST_TESTED = 1000

Part = TypeVar("Part")
Result = TypeVar("Result")


Share = Callable[[PerClient], PerClient]
"""Of a mean loss over the samples of a part, what it adds to that over the whole batch."""


class Learned(NamedTuple):
    """What a minibatch taught: its forward pass, every client's mean loss, and the gradients."""

    forward: Forward
    losses: PerClient
    gradients: Parameters


class Stepped(NamedTuple):
    """Forward passes and mean losses of models that learned step by step, as their batches were given."""

    forward: Forward
    losses: PerClient


class Engine(ABC):
    """Computes on `device`. All engines see the same spikes and counts; sums may be rounded differently."""

    device: torch.device
    operators: Operators

    @abstractmethod
    def forward(self, network: SizedNetwork, parameters: Parameters, batch: Batch) -> Forward:
        """Scores and counts of a batch, without gradients; running statistics are among the parameters."""

    @abstractmethod
    def learn(
        self, network: SizedNetwork, loss: Loss, parameters: Parameters, batch: Batch
    ) -> Learned:
        """Forward pass, mean loss and gradients of one minibatch of every client.

        Of running statistics, which are among the parameters, there are no gradients. The loss has what the
        batch is `compared` with in it.
        """

    def train(
        self,
        network: SizedNetwork,
        loss: Loss,
        optimiser: Optimiser,
        parameters: Parameters,
        batches: Batch,
    ) -> Stepped | None:
        """All minibatches of every client in one call, a step of the optimiser for each, in place.

        Those of a step are so many clients of `batches`, and the next step's come behind them; a client
        that has no more has an empty one. Of what it `steps_itself`; None where that is too much at once.
        """
        del network, loss, optimiser, parameters, batches
        return None

    def steps_itself(self, network: SizedNetwork, loss: Loss, optimiser: Optimiser) -> bool:
        """Whether `train` takes these."""
        del network, loss, optimiser
        return False

    @property
    def by_operators(self) -> "Engine":
        """The engine that computes networks layer by layer, so that it knows what enters each."""
        return self

    def representations(
        self, network: SizedNetwork, parameters: Parameters, batch: Batch
    ) -> Representations:
        """What a batch is in front of the last layer, without gradients, layer by layer."""
        size = network.samples_in_cache if self.device.type == "cpu" else None
        with torch.no_grad():
            return torch.cat(
                [
                    network.run(parameters, part, self.operators).representations
                    for part in (batch.parts(size) if size else [batch])
                ],
                dim=1,
            )

    @abstractmethod
    def step(self, optimiser: Optimiser, step: Step) -> None:
        """A step of an optimiser, in place."""

    @abstractmethod
    def compete(
        self, plasticity: Plasticity, neuron: Competitive, presented: Presented
    ) -> Competed:
        """Show samples to competing neurons; weights and thresholds change in place if they learn."""

    @abstractmethod
    def bytes_per_sample(self, network: SizedNetwork) -> int:
        """Memory of a training step, about; 0 where nothing leaves the processor's cache."""

    @abstractmethod
    def bytes_of_step(self, network: SizedNetwork, rows: int) -> int:
        """Memory of a training step of one client on one thread, beside parameters and whole gradients."""

    def clients_at_once(self, network: SizedNetwork, rows: int) -> int:
        """Clients with batches of so many rows that are trained side by side: a cache full of them."""
        room = BLOCK_BYTES
        if self.device.type == "cuda":
            room = torch.cuda.mem_get_info(self.device)[0] // 4
        # A client's parameters, gradients, two moments of Adam, and room to work.
        size = rows * self.bytes_per_sample(network) + 24 * network.architecture.parameters
        return max(1, room // size)

    def has_small_operators(self, network: SizedNetwork) -> bool:
        """Whether a network is computed by many of them, each too small for several threads."""
        convolutional = isinstance(network.architecture, ConvolutionalLayers)
        return convolutional and self.device.type == "cpu"

    def samples_at_once(self, network: SizedNetwork) -> int:
        """Samples that are tested in one pass."""
        return min(_MOST_TESTED, max(1, BLOCK_BYTES // max(1, self.bytes_per_sample(network))))

    def each(
        self, network: SizedNetwork, parts: list[Part], work: Callable[[Part], Result]
    ) -> Iterator[Result]:
        """The work on every part, in order. Of a convolutional network each thread takes a part of its own.

        Its many small operators gain little from threads within each; a part's bits do not depend on it.
        """
        threads = torch.get_num_threads()
        if not self.has_small_operators(network):
            yield from map(work, parts)
            return
        torch.set_num_threads(1)
        try:
            with ThreadPoolExecutor(threads) as pool:
                yield from pool.map(work, parts)
        finally:
            torch.set_num_threads(threads)


def calibration(loss: Loss, batch: Batch, classes: int) -> Calibration | None:
    """What a loss makes of the scores of a batch's clients."""
    return loss.calibration(held_by(batch, classes))


def held_by(batch: Batch, classes: int) -> Held:
    """How many samples of each class the clients of a batch have."""
    if batch.held is not None:
        return batch.held
    return held(batch.labels, batch.present, classes, batch.dtype)


def losses_of(loss: Loss, scores: Scores, batch: Batch, time_steps: int) -> PerClient:
    """Every client's mean loss, of scores calibrated to its classes, and its penalty.

    A batch without the received model's scores is one of that model.
    """
    by_class, labels, present = held_by(batch, scores.shape[2]), batch.labels, batch.present
    to_classes = loss.calibration(by_class)
    calibrated = scores if to_classes is None else to_classes.of(scores)
    losses = loss(calibrated, labels, present, time_steps)
    if not loss.penalises:
        return losses
    received = scores.detach() if batch.received is None else batch.received
    return losses + loss.penalty(scores, received, labels, present, by_class)


def in_parts(
    batch: Batch, samples: int | None, learn: Callable[[Batch, Share], Learned]
) -> Learned:
    """What a batch taught, so many samples of every client at a time; None: all at once."""
    if samples is None:
        return learn(batch, lambda losses: losses)
    forwards, losses, gradients = [], [], dict[str, Tensor]()
    for part in batch.parts(samples):

        def share(mean: PerClient, present: Tensor = part.present) -> PerClient:
            return mean * present.sum(1).to(mean.dtype) / batch.present.sum(1)

        learned = learn(part, share)
        slopes = learned.gradients
        gradients = {n: gradients[n].add_(g) for n, g in slopes.items()} if gradients else slopes
        losses.append(learned.losses)
        forwards.append(learned.forward)
    return Learned(Forward.joined(forwards), total(torch.stack(losses), 0), gradients)
