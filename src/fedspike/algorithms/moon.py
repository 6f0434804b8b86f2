"""MOON: a client's representations are drawn to the received model's, and away from its own last model's.

    L     = loss + mu l_con                                                                  (equation 4)
    l_con = -log( e^(sim(z, z_glob)/tau) / (e^(sim(z, z_glob)/tau) + e^(sim(z, z_prev)/tau)) )         (3)

of each sample, and the mean over a minibatch (5). z is the representation by the model that learns, z_glob by
the one that the client received, and z_prev by the one that it trained when it took part before; these two do
not learn. sim is the cosine. The server does as FedAvg's.

z is what enters the last layer: the values of an ANN's last hidden layer, and the rates at which the neurons
of an SNN's fire, means over the time steps, whose gradient is the surrogate's. Counts have the same cosine.
The two models' passes are on the bill, each as the one of the model that learns, without its last layer.

Source: Li, He, Song, "Model-Contrastive Federated Learning", CVPR 2021, Algorithm 1 and equations 3 to 5.
Departures: there a projection head of two layers makes z; we add none, so that networks are those of all
other algorithms. A sample without a value or spike there is like nothing: where the quotient is none, its
cosine is 0 and has no gradient. In a client's first round z_prev is z_glob, so that l_con has no gradient;
the authors' code leaves it out then. A client whose answer the server did not use has its last model of
before, so that a training that diverged is forgotten. A normalisation takes the minibatch's statistics in all
three models.
"""

from collections.abc import Sequence
from typing import Annotated

import torch
from jaxtyping import Float
from msgspec import Meta
from torch import Tensor

from fedspike.algorithms.algorithm import Client, LocalModel, Tree
from fedspike.algorithms.fedavg import FedAvg
from fedspike.networks import Parameters, SizedNetwork
from fedspike.parts.losses.loss import mean
from fedspike.parts.sums import total
from fedspike.parts.tensors import PerClient, Present, Representations

PREVIOUS = "previous"


class MOON(FedAvg, tag="moon", kw_only=True):
    """FedAvg whose clients see samples as the received model does, and not as their last; mu = 0: FedAvg."""

    mu: Annotated[float, Meta(ge=0, description="weight of the contrastive loss")] = 1.0
    tau: Annotated[float, Meta(gt=0, description="temperature of its softmax")] = 0.5

    @property
    def models_compared(self) -> int:
        """The received model, and the client's last one; with mu = 0 nothing is compared."""
        return 2 if self.mu else 0

    @property
    def models_remembered(self) -> int:
        """The client's last model."""
        return 1

    def fitted(self, network: SizedNetwork) -> "MOON":
        """Itself. Raises InputError for a network of which nobody knows what enters the last layer."""
        network.demand_representations()
        return self

    def remember(self, received: Tree) -> Tree:
        """The client's last model, as received."""
        return {PREVIOUS: received["model"]}

    def frozen(self, client: Client) -> tuple[Parameters, ...]:
        """The received model, and the client's last one."""
        return client.received["model"], client.memory[PREVIOUS]

    def comparison(
        self, z: Representations, frozen: Sequence[Representations], present: Present
    ) -> PerClient:
        """mu l_con."""
        z_glob, z_prev = frozen
        a, b = similarity(z, z_glob) / self.tau, similarity(z, z_prev) / self.tau
        largest = torch.maximum(a, b).detach()  # so that no exponential is infinite
        l_con = ((a - largest).exp() + (b - largest).exp()).log() - (a - largest)
        return self.mu * mean(l_con, present)

    def answer(self, client: Client, trained: LocalModel) -> tuple[Tree, Tree]:
        """The update; the client remembers its model."""
        reply, _ = super().answer(client, trained)
        return reply, {PREVIOUS: trained.parameters}


def similarity(one: Representations, other: Representations) -> Float[Tensor, "client batch"]:
    """The cosine of each sample's; 0, without a gradient, where one has no number but 0.

    >>> one, other = torch.tensor([[[3.0, 4.0], [0.0, 0.0]]]), torch.tensor([[[8.0, 6.0], [1.0, 2.0]]])
    >>> similarity(one, other)
    tensor([[0.9600, 0.0000]])
    """
    squares = [total(z.square(), 2) for z in (one, other)]
    there = (squares[0] > 0) & (squares[1] > 0)
    lengths = [own.masked_fill(~there, 1).sqrt() for own in squares]
    return total(one * other, 2) / (lengths[0] * lengths[1]) * there
