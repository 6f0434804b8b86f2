"""Ditto: beside FedAvg's model each client trains one of its own, which is held near that.

    on client k:   v_k <- training from v_k, g <- g + lambda (v_k - w) before every step
                   w_k <- training from w
    on the server: w <- w + sum over k of (n_k / n) (w_k - w)

All v_k start as the server's initial model. Source: Li, Hu, Beirami, Smith, "Ditto: Fair and Robust Federated
Learning Through Personalization", ICML 2021, Algorithm 1. Both trainings take all epochs of the learner, so a
round costs twice as much.
"""

from typing import Annotated

from msgspec import Meta

from fedspike.algorithms.algorithm import Client, LocalModel, Tree
from fedspike.algorithms.fedavg import FedAvg
from fedspike.algorithms.personal import OWN
from fedspike.networks import Parameters


class Ditto(FedAvg, tag="ditto", kw_only=True):
    """FedAvg, and a model of each client's own; the larger `pull`, the nearer that is to all others'."""

    pull: Annotated[float, Meta(ge=0, description="lambda")] = 0.1

    @property
    def trainings(self) -> int:
        """Of the client's own model, and of the shared one."""
        return 2

    @property
    def models_remembered(self) -> int:
        """v_k."""
        return 1

    def remember(self, received: Tree) -> Tree:
        """The client's own model, as received."""
        return {OWN: received["model"]}

    def begin(self, client: Client) -> Parameters:
        """v_k, then w."""
        return client.received["model"] if client.trained else client.memory[OWN]

    def correct(self, gradients: Parameters, parameters: Parameters, client: Client) -> Parameters:
        """The first equation, of v_k."""
        if client.trained:
            return gradients
        w = client.received["model"]
        return {n: g + self.pull * (parameters[n] - w[n]) for n, g in gradients.items()}

    def answer(self, client: Client, trained: LocalModel) -> tuple[Tree, Tree]:
        """The shared model's update; the client remembers its own model."""
        reply, _ = super().answer(client, trained)
        return reply, {OWN: {name: client.trained[0][name] for name in client.memory[OWN]}}

    def own(self, ordered: Tree, memory: Tree) -> Parameters:
        """v_k."""
        del ordered
        return memory[OWN]
