"""MIFA: clients that are away are remembered by their last update.

    on client k:   G_k' = w_k - w                              k remembers it, and sends G_k' - G_k
    on the server: G <- G + (|S| / N) * mean over k of (G_k' - G_k)
                   w <- w + G

All G start at 0, so that G is the mean over all N clients of their last updates, and the server never holds
more than one of them. Where the server does not use an answer, that client goes on from its G_k of before.
Source: Gu, Huang, Zhang, Huang, "Fast Federated Learning in the Presence of Arbitrary
Device Unavailability", NeurIPS 2021, Algorithm 1 in the form of its appendix that saves the server's memory.
There updates are divided by a rate that decays and multiplied by it again; ours is constant. The paper begins
when every client was there once; we do not wait, as the authors' second variant does not (MIFA_code,
fdu_no_wait.py).
"""

from collections.abc import Mapping

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


class MIFA(Algorithm, tag="mifa"):
    """The server steps along the mean of all clients' last updates, of those that are away too.

    Where all clients take part in every round it is FedAvg with equal weights.
    """

    rule: Rule = Mean(by="clients")

    @property
    def models_remembered(self) -> int:
        """G_k."""
        return 1

    def start(self, model: Parameters) -> Tree:
        """The model and the mean of all last updates."""
        return {"model": model, "G": zeros(model)}

    def joining(self) -> Mapping[str, Rule]:
        """How the clients' last updates changed."""
        return {"change": self.rule}

    def next_state(self, server: Tree, joined: Tree, participation: float) -> Tree:
        """The server's equations."""
        G = added(server["G"], joined["change"], participation)
        return {"model": added(server["model"], G), "G": G}

    def welcome(self, server: Tree, share: float) -> Tree:
        """The mean of all G_k, those of the clients that join being 0: G <- share G."""
        return {**server, "G": scaled(server["G"], share)}

    def remember(self, received: Tree) -> Tree:
        """The client's last update, zero."""
        return {"G": zeros(received["model"])}

    def answer(self, client: Client, trained: LocalModel) -> tuple[Tree, Tree]:
        """The client's equation."""
        G = difference(trained.parameters, client.received["model"])
        return {"change": difference(G, client.memory["G"])}, {"G": G}
