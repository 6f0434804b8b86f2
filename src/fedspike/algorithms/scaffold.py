"""SCAFFOLD: control variates take out the clients' drift.

    on client k:   g <- g - c_k + c                                    before every step
                   c_k' = c_k - c + (w - w_k) / (K eta)                option II, K steps at rate eta
    on the server: w <- w + eta_g * sum over k of (n_k / n) (w_k - w)
                   c <- c + (|S| / N) * mean over k of (c_k' - c_k)

Source: Karimireddy, Kale, Mohri, Reddi, Stich, Suresh, "SCAFFOLD: Stochastic Controlled Averaging for
Federated Learning", ICML 2020, Algorithm 1. The paper weighs all clients alike; we weigh the model's update
by samples, as FedAvg does. (w - w_k)/(K eta) is a mean gradient only if the clients use plain SGD. The
paper's N is fixed; as clients join, c stays the mean of all c_k. So it does where the server does not use an
answer: that client goes on from its c_k of before.
"""

from collections.abc import Mapping
from typing import Annotated

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


class Scaffold(Algorithm, tag="scaffold"):
    """Control variates correct the drift of the clients, each of which remembers its own.

    With a single client this is FedAvg.
    """

    server_learning_rate: Annotated[float, Meta(gt=0)] = 1.0
    rule: Rule = Mean()

    @property
    def needs_sgd(self) -> bool:
        """Only there is (w - w_k)/(K eta) a mean gradient."""
        return True

    @property
    def models_remembered(self) -> int:
        """c_k."""
        return 1

    def start(self, model: Parameters) -> Tree:
        """The model and the server's control variate."""
        return {"model": model, "control": zeros(model)}

    def order(self, server: Tree, client: int) -> Tree:
        """Both."""
        del client
        return {"model": server["model"], "control": server["control"]}

    def joining(self) -> Mapping[str, Rule]:
        """The updates, and how the control variates moved; of these all clients' count alike."""
        return {"update": self.rule, "control": Mean(by="clients")}

    def next_state(self, server: Tree, joined: Tree, participation: float) -> Tree:
        """The server's equations."""
        return {
            "model": added(server["model"], joined["update"], self.server_learning_rate),
            "control": added(server["control"], joined["control"], participation),
        }

    def welcome(self, server: Tree, share: float) -> Tree:
        """The mean of all c_k, those of the clients that join being 0: c <- share c."""
        return {**server, "control": scaled(server["control"], share)}

    def remember(self, received: Tree) -> Tree:
        """The client's control variate, zero."""
        return {"control": zeros(received["model"])}

    def correct(self, gradients: Parameters, parameters: Parameters, client: Client) -> Parameters:
        """The first equation."""
        del parameters
        c, c_k = client.received["control"], client.memory["control"]
        return {name: g + (c[name] - c_k[name]) for name, g in gradients.items()}

    def answer(self, client: Client, trained: LocalModel) -> tuple[Tree, Tree]:
        """The update, and how the client's control variate moved; it remembers the new one."""
        w, c, c_k = client.received["model"], client.received["control"], client.memory["control"]
        new = {}
        for name, w_k in trained.parameters.items():
            K = trained.steps.reshape(-1, *[1] * (w_k.dim() - 1))
            new[name] = c_k[name] - c[name] + (w[name] - w_k) / (K * trained.learning_rate)
        reply = {"update": difference(trained.parameters, w), "control": difference(new, c_k)}
        return reply, {"control": new}
