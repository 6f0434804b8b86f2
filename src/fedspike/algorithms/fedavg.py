"""Federated Averaging.

    w <- w + sum over k of (n_k / n) (w_k - w)

Source: McMahan, Moore, Ramage, Hampson, Agueera y Arcas, "Communication-Efficient Learning of Deep Networks
from Decentralized Data", AISTATS 2017, Algorithm 1. The paper averages weights; with n = sum of n_k that is
the same as averaging updates.
"""

from collections.abc import Mapping

from fedspike.algorithms.algorithm import Algorithm, Tree, added
from fedspike.rules import Mean, Rule


class FedAvg(Algorithm, tag="fedavg"):
    """Every client trains on its own; the server averages, weighted by samples."""

    rule: Rule = Mean()

    def joining(self) -> Mapping[str, Rule]:
        """The updates."""
        return {"update": self.rule}

    def next_state(self, server: Tree, joined: Tree, participation: float) -> Tree:
        """The equation."""
        del participation
        return {"model": added(server["model"], joined["update"])}
