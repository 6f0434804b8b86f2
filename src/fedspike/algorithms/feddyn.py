"""FedDyn: each client's loss is bent until all clients have their optimum where the sum has its own.

    on client k:   g <- g - h_k + alpha (w_k - w)               before every step
                   h_k <- h_k - alpha (w_k - w)                 after the last
    on the server: h <- h - alpha (|S| / N) d,                  d = mean over k of (w_k - w)
                   w <- w + d - h / alpha

In the second equation w_k - w is as it is sent, clipped or compressed: the server's h is the mean of all h_k.
All h start at 0. Source: Acar, Zhao, Navarro, Mattina, Whatmough, Saligrama, "Federated Learning Based on
Dynamic Regularization", ICLR 2021, Algorithm 1. The paper's N is fixed; as clients join, h stays the mean of
all h_k. So it does where the server does not use an answer: that client goes on from its h_k of before.
"""

from collections.abc import Mapping
from typing import Annotated

import numpy as np
from msgspec import Meta

from fedspike.algorithms.algorithm import (
    Algorithm,
    Client,
    LocalModel,
    Tree,
    added,
    difference,
    scaled,
    zeros,
)
from fedspike.networks import Parameters
from fedspike.rules import Mean, Rule


class FedDyn(Algorithm, tag="feddyn", kw_only=True):
    """Clients are held near the model that they received, and remember which way they were held."""

    alpha: Annotated[float, Meta(gt=0)] = 0.01
    rule: Rule = Mean(by="clients")

    @property
    def models_remembered(self) -> int:
        """h_k."""
        return 1

    def start(self, model: Parameters) -> Tree:
        """The model and the server's h."""
        return {"model": model, "h": zeros(model)}

    def joining(self) -> Mapping[str, Rule]:
        """The updates; all clients' count alike."""
        return {"update": self.rule}

    def next_state(self, server: Tree, joined: Tree, participation: float) -> Tree:
        """The server's equations."""
        h = added(server["h"], joined["update"], -self.alpha * participation)
        return {
            "model": added(added(server["model"], joined["update"]), h, -1 / self.alpha),
            "h": h,
        }

    def welcome(self, server: Tree, share: float) -> Tree:
        """The mean of all h_k, those of the clients that join being 0: h <- share h."""
        return {**server, "h": scaled(server["h"], share)}

    def remember(self, received: Tree) -> Tree:
        """The client's h, zero."""
        return {"h": zeros(received["model"])}

    def correct(self, gradients: Parameters, parameters: Parameters, client: Client) -> Parameters:
        """The first equation."""
        w, h = client.received["model"], client.memory["h"]
        return {n: g - h[n] + self.alpha * (parameters[n] - w[n]) for n, g in gradients.items()}

    def answer(self, client: Client, trained: LocalModel) -> tuple[Tree, Tree]:
        """The update; the client's h is as before until the update is sent."""
        return {"update": difference(trained.parameters, client.received["model"])}, client.memory

    def packed(self, reply: Tree, memory: Tree, draws: np.random.Generator) -> tuple[Tree, Tree]:
        """The second equation."""
        del draws
        return reply, memory | {"h": added(memory["h"], reply["update"], -self.alpha)}
