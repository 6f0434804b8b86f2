"""FedAsync: the server mixes in each answer as it comes, the less the older the model that it began with.

    w <- (1 - a_t) w + a_t w_k,    a_t = alpha s(t),    s(t) = (1 + t)^-a

w_k is the whole model that client k trained, and t says how many steps the server did since it was sent.
Source: Xie, Koyejo, Gupta, "Asynchronous Federated Optimization", arXiv:1903.03934, 2019, Algorithm 1, with
the polynomial s of its section 5.2. The paper mixes one answer a step; of `answers` at once we take the mean
of the moves. Its clients are held near the model that they received; that term is FedProx's, and not here.
"""

from collections.abc import Mapping
from typing import Annotated

import torch
from msgspec import Meta

from fedspike.algorithms.algorithm import Algorithm, Client, LocalModel, Tree
from fedspike.networks import Parameters
from fedspike.rules import Mean, Rule


class FedAsync(Algorithm, tag="fedasync"):
    """The server mixes in each client's model when it comes, and late ones less.

    Clients of the round, `clients_per_round` of them, are at work at any time.
    """

    mixing: Annotated[float, Meta(gt=0, le=1, description="alpha")] = 0.6
    staleness_exponent: Annotated[
        float, Meta(ge=0, description="a, how much less old answers count")
    ] = 0.5
    answers: Annotated[int, Meta(ge=1, lt=2**31, description="in a step; at most all")] = 1
    rule: Rule = Mean(by="clients")

    @property
    def waits_for(self) -> int | None:
        """One, in the paper."""
        return self.answers

    def joining(self) -> Mapping[str, Rule]:
        """The models times s, and s itself."""
        return {"trained": self.rule, "s": self.rule}

    def aged(self, group: str, tensors: Parameters, staleness: int) -> Parameters:
        """Times s(t), in float64."""
        del group
        s = (1 + staleness) ** -self.staleness_exponent
        return {name: tensor.double() * s for name, tensor in tensors.items()}

    def next_state(self, server: Tree, joined: Tree, participation: float) -> Tree:
        """The equation, as w + alpha (s w_k - s w)."""
        del participation
        s, trained = joined["s"]["s"].clamp(0, 1), joined["trained"]  # whatever a client says
        model = {n: w + self.mixing * (trained[n] - s * w) for n, w in server["model"].items()}
        return {"model": model}

    def answer(self, client: Client, trained: LocalModel) -> tuple[Tree, Tree]:
        """The trained model, and a 1 that ages with it."""
        first = next(iter(trained.parameters.values()))
        ones = torch.ones(len(first), 1, dtype=first.dtype, device=first.device)
        return {"trained": trained.parameters, "s": {"s": ones}}, client.memory
