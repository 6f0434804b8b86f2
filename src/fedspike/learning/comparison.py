"""A term of the loss that an algorithm adds: of what enters the last layer, here and in models that stay.

    L = loss(scores, labels) + term(z, (z_1, z_2, ...))

z are the representations of a minibatch by the model that learns, z_1, z_2, ... those by the others. These
see the same spikes, and cost a forward pass each, but for the last layer. Where a network is normalised, they
take the minibatch's own statistics, as the one that learns does.
"""

from dataclasses import dataclass, replace

from fedspike.engine.engines import Engine
from fedspike.networks import Batch, Parameters, SizedNetwork, Term
from fedspike.networks.batch import Compared


@dataclass(frozen=True)
class Comparison:
    """The term, and the models that do not learn; all their tensors have a leading client axis."""

    models: tuple[Parameters, ...]
    term: Term

    def of(self, engine: Engine, network: SizedNetwork, batch: Batch) -> Batch:
        """A batch of the first clients, with what these models make of it."""
        k = len(batch.positions)
        frozen = tuple(
            engine.representations(network, {n: w[:k] for n, w in model.items()}, batch)
            for model in self.models
        )
        return replace(batch, compared=Compared(frozen, self.term))
