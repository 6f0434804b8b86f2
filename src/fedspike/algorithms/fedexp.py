"""FedExP: the server makes a longer step where the clients' updates point away from each other.

    d_k = w_k - w,    d = sum over k of p_k d_k,    p_k = n_k / n
    w <- w + eta d,   eta = max(1, (sum over k of p_k |d_k|^2) / (2 (|d|^2 + epsilon)))

Source: Jhunjhunwala, Wang, Joshi, "FedExP: Speeding Up Federated Averaging via Extrapolation", ICLR 2023,
Eq. 9, weighted as in its Section 3. The paper takes the mean of the last two models as the result; we test
the model itself.
"""

from collections.abc import Mapping
from typing import Annotated

import torch
from msgspec import Meta

from fedspike.algorithms.algorithm import Algorithm, Client, LocalModel, Tree, added
from fedspike.rules import Mean, Rule


class FedExP(Algorithm, tag="fedexp", kw_only=True):
    """FedAvg with a server's rate of its own in each round. With a single client it is FedAvg."""

    epsilon: Annotated[float, Meta(gt=0)] = 1e-3
    rule: Rule = Mean()

    def joining(self) -> Mapping[str, Rule]:
        """The updates, and their squared lengths."""
        return {"update": self.rule, "square": Mean()}

    def next_state(self, server: Tree, joined: Tree, participation: float) -> Tree:
        """The equations."""
        del participation
        update = joined["update"]
        square = sum(float(d.double().square().sum()) for d in update.values())
        rate = float(joined["square"]["length"]) / (2 * (square + self.epsilon))
        return {"model": added(server["model"], update, max(1.0, rate))}

    def answer(self, client: Client, trained: LocalModel) -> tuple[Tree, Tree]:
        """The update, and its squared length."""
        reply, memory = super().answer(client, trained)
        squares = [d.flatten(1).square().sum(1) for d in reply["update"].values()]
        length = torch.stack(squares).sum(0).unsqueeze(1)
        return {**reply, "square": {"length": length}}, memory
