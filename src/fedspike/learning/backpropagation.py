"""Backpropagation, for a spiking network through all its time steps."""

from dataclasses import replace as moved
from typing import Annotated, ClassVar

import torch
from msgspec import Meta
from msgspec.structs import replace

from fedspike.engine.engines import Engine, Learned, Share, in_parts
from fedspike.errors import InputError
from fedspike.layers.operations import NetworkOperations, Table, joined
from fedspike.learning.learner import Together
from fedspike.learning.minibatches import Minibatches, along, lengths
from fedspike.networks import Batch, Parameters, SizedNetwork
from fedspike.networks.dropout import dropped
from fedspike.parts.losses import Loss
from fedspike.parts.optimisers import at_each_step


class Backpropagation(Minibatches, tag="backpropagation"):
    """So many epochs over a client's samples, in minibatches, with the gradients of a loss.

    Without a loss it is the network's usual one. The gradients of a minibatch may be added up of parts of it,
    so that no more than a part is in memory; that is the same sum, rounded differently.
    """

    dropout: Annotated[
        float, Meta(ge=0, lt=1, description="share of hidden values left out in training")
    ] = 0.0
    clip: Annotated[
        float,
        Meta(ge=0, description="longer gradients of a minibatch are shortened to it; 0: none"),
    ] = 0.0

    takes_comparisons: ClassVar[bool] = True

    samples_at_once: Annotated[
        Together, Meta(description="samples of a minibatch that are in memory together")
    ] = "all"

    def seen(self, batch: Batch) -> Batch:
        """With what is left out."""
        return moved(batch, dropout=self.dropout) if self.dropout else batch

    def shortened(self, gradients: Parameters) -> Parameters:
        """All tensors of a client together to the length `clip`: g <- g min(1, clip / |g|).

        Source: Pascanu, Mikolov, Bengio, "On the difficulty of training recurrent neural networks", ICML
        2013.
        """
        if not self.clip:
            return gradients
        scale = (self.clip / lengths(gradients).clamp(min=1e-12)).clamp(max=1)
        return {name: g * along(scale, g) for name, g in gradients.items()}

    def trains(self, network: SizedNetwork) -> NetworkOperations:
        """With what dropout draws in hidden layers."""
        operations = super().trains(network)
        return operations.left_out(dropped(network.described)) if self.dropout else operations

    def operations(self) -> Table | None:
        """With a clip, too: the gradient's length, and its shortening."""
        operations = super().operations()
        if operations is None or not self.clip:
            return operations
        return joined([(operations, 1), (at_each_step(multiply=2, add=1), 1)])

    def in_parts(self, samples: Together) -> "Backpropagation":
        """With so many in memory together."""
        return replace(self, samples_at_once=samples)

    def demand_network(self, network: SizedNetwork) -> None:
        """Raise InputError, too, for a network that needs the whole minibatch, in parts."""
        super().demand_network(network)
        if self.dropout:
            network.demand_dropout()
        if self.samples_at_once != "all" and network.statistics():
            raise InputError(
                f"samples_at_once = {self.samples_at_once} with a normalisation",
                expected='"all", because its statistics are of a whole minibatch',
                fix='set normalisation.kind = "none", or leave samples_at_once out',
                keys=("samples_at_once",),
            )

    def _at_once(self, rows: int) -> int:
        return rows if self.samples_at_once == "all" else min(rows, self.samples_at_once)

    def bytes_of_a_step(self, engine: Engine, network: SizedNetwork, rows: int) -> int:
        """Of the largest part, at the least."""
        return super().bytes_of_a_step(engine, network, self._at_once(rows))

    def peak_of_a_step(self, engine: Engine, network: SizedNetwork, rows: int) -> int:
        """Of the largest part and, where there are several, the sum of their gradients."""
        at_once = self._at_once(rows)
        added_up = 4 * network.architecture.parameters if at_once < rows else 0
        return super().peak_of_a_step(engine, network, at_once) + added_up

    def taught(
        self,
        engine: Engine,
        network: SizedNetwork,
        loss: Loss,
        parameters: Parameters,
        batch: Batch,
    ) -> Learned:
        """Exact gradients, by the engine."""
        rows = batch.positions.shape[1]
        if (at_once := self._at_once(rows)) == rows:
            return engine.learn(network, loss, parameters, batch)

        def learn(part: Batch, share: Share) -> Learned:
            forward, losses, slopes = engine.learn(network, loss, parameters, part)
            own = share(torch.ones_like(losses))
            none = own == 0  # of a client without a sample in this part there is no mean either
            for slope in slopes.values():
                axes = (-1, *[1] * (slope.dim() - 1))
                slope.mul_(own.to(slope).view(axes)).masked_fill_(none.view(axes), 0)
            return Learned(forward, share(losses).masked_fill(none, 0), slopes)

        return in_parts(batch, at_once, learn)

    def in_a_row(self, engine: Engine, network: SizedNetwork) -> bool:
        """Where minibatches are taught whole and as here, and the optimiser forgets."""
        alike = type(self).taught is Backpropagation.taught and self.samples_at_once == "all"
        forgets = self.optimiser_memory == "forgotten" and not self.ascent and not self.clip
        loss = self.loss or network.usual_loss
        return alike and forgets and engine.steps_itself(network, loss, self.optimiser)
