"""FedExP: the server makes a longer step where the clients' updates point away from each other.

    d_k = w_k - w,    d = sum over k of p_k d_k,    p_k = n_k / n
    w <- w + eta d,   eta = max(1, (sum over k of p_k |d_k|^2) / (2 (|d|^2 + epsilon)))
    the global model is the mean of the last two w; clients begin with the last one

Source: Jhunjhunwala, Wang, Joshi, "FedExP: Speeding Up Federated Averaging via Extrapolation", ICLR 2023,
Eq. 9, weighted as in its Section 3. The mean is the paper's, too: w goes to and fro.
"""

from collections.abc import Mapping
from typing import Annotated

import torch
from msgspec import Meta

from fedspike.algorithms.algorithm import Algorithm, Client, LocalModel, Tree, added, scaled
from fedspike.networks import Parameters
from fedspike.parts.sums import total
from fedspike.rules import Mean, Rule

LAST = "last"  # group of the server's state: w


class FedExP(Algorithm, tag="fedexp", kw_only=True):
    """FedAvg with a server's rate of its own in each round; without the mean, FedAvg for a single client."""

    epsilon: Annotated[float, Meta(gt=0)] = 1e-3
    average: Annotated[
        bool, Meta(description="whether the global model is the mean of the last two")
    ] = True
    rule: Rule = Mean()

    def start(self, model: Parameters) -> Tree:
        """The global model, and w."""
        return {"model": model, LAST: model}

    def order(self, server: Tree, client: int) -> Tree:
        """w."""
        del client
        return {"model": server[LAST]}

    def joining(self) -> Mapping[str, Rule]:
        """The updates, and their squared lengths."""
        return {"update": self.rule, "square": Mean()}

    def next_state(self, server: Tree, joined: Tree, participation: float) -> Tree:
        """The equations."""
        del participation
        update = joined["update"]
        square = sum(float(total(d.double().square().flatten(), 0)) for d in update.values())
        rate = float(joined["square"]["length"]) / (2 * (square + self.epsilon))
        w = added(server[LAST], update, max(1.0, rate))
        mean = scaled(added(w, server[LAST]), 0.5)
        return {"model": mean if self.average else w, LAST: w}

    def answer(self, client: Client, trained: LocalModel) -> tuple[Tree, Tree]:
        """The update, and its squared length."""
        reply, memory = super().answer(client, trained)
        squares = [total(d.flatten(1).square(), 1) for d in reply["update"].values()]
        length = total(torch.stack(squares), 0).unsqueeze(1)
        return {**reply, "square": {"length": length}}, memory
