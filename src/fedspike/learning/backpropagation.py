"""Backpropagation, for a spiking network through all its time steps."""

from fedspike.engine.engines import Engine, Learned
from fedspike.learning.minibatches import Minibatches
from fedspike.networks import Batch, Parameters, SizedNetwork
from fedspike.parts.losses import Loss


class Backpropagation(Minibatches, tag="backpropagation"):
    """So many epochs over a client's samples, in minibatches, with the gradients of a loss.

    Without a loss it is the network's usual one.
    """

    def taught(
        self,
        engine: Engine,
        network: SizedNetwork,
        loss: Loss,
        parameters: Parameters,
        batch: Batch,
    ) -> Learned:
        """Exact gradients, by the engine."""
        return engine.learn(network, loss, parameters, batch)
