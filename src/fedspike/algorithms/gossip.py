"""Gossip: each client takes the weighted mean of its own model and its neighbours'.

    on client i:          x_i <- local training from x_i
    with its neighbours:  x_i <- sum over j of W_ij x_j,     `mixings` times

On a ring it is what is called ring learning, on a complete graph FedAvg with equal weights. W is in
algorithms/graphs/graph.py.

Source: Lian, Zhang, Zhang, Hsieh, Zhang, Liu, "Can Decentralized Algorithms Outperform Centralized
Algorithms? A Case Study for Decentralized Parallel Stochastic Gradient Descent", NeurIPS 2017, Algorithm 1
(D-PSGD), which adds a step to the mixed model; Sun, Li, Wang, "Decentralized Federated Averaging", IEEE TPAMI
45, 2023, Algorithm 1 (DFedAvg), where, as here, models are mixed after several steps.
"""

from collections.abc import Collection, Sequence
from typing import Annotated

import torch
from jaxtyping import Float64
from msgspec import Meta
from msgspec.structs import replace
from torch import Tensor

from fedspike.algorithms.algorithm import Algorithm, Tree
from fedspike.algorithms.decentralised import MODELS, Decentralised
from fedspike.algorithms.graphs import FleetGraph
from fedspike.networks import Parameters


class Gossip(Decentralised, tag="gossip", kw_only=True):
    """No server: after its training each client mixes its model with those of its neighbours in the graph.

    Each link carries a model each way, in each of the `mixings` of a round.
    """

    mixings: Annotated[
        int, Meta(ge=1, le=1000, description="how often models are mixed in a round")
    ] = 1

    def on(self, graph: FleetGraph) -> Algorithm:
        """On the graph as it is."""
        return replace(self, graph=graph)

    def carried(
        self, client: int, there: Collection[int], received: int, sent: int
    ) -> tuple[int, int]:
        """In each mixing."""
        down, up = super().carried(client, there, received, sent)
        return self.mixings * down, self.mixings * up

    def exchanged(self, server: Tree, models: Parameters, there: list[int]) -> Tree:
        """The second equation; what a client that is away would count, its neighbours count themselves."""
        W = self.fleet_graph.among(there).tolist()
        mixed = {}
        for name, x in models.items():
            for _ in range(self.mixings):
                x = torch.stack([_weighted(weights, x) for weights in W])
            mixed[name] = x.to(server[MODELS][name].dtype)
        return {MODELS: mixed}


def _weighted(
    weights: Sequence[float], x: Float64[Tensor, "client *shape"]
) -> Float64[Tensor, "*shape"]:
    """The sum of w_j x_j, one after the other: its bits hang on no matrix product."""
    weighted = torch.zeros_like(x[0])
    for w, own in zip(weights, x, strict=True):
        if w:
            weighted += w * own
    return weighted
