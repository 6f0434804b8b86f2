"""FedBuff: the server steps as soon as it has a few answers, however old the models are that they began with.

    w <- w + eta_g / K * sum over the K answers of s(t) (w_k - w'),    s(t) = (1 + t)^-a

w' is the model that client k received, and t says how many steps the server did since. The client begins
again at the server's next step: before that there is no newer model. Source: Nguyen, Malik, Zhan, Yousefpour,
Rabbat, Malek, Huba, "Federated Learning with Buffered Asynchronous Aggregation", AISTATS 2022, Algorithm 1,
with s of its section 5 (a = 1/2). With `by = "samples"` in its rule and nobody late it is FedAvg.
"""

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta

from fedspike.algorithms.algorithm import Algorithm, Tree, added
from fedspike.networks import Parameters
from fedspike.rules import Mean, Rule


class FedBuff(Algorithm, tag="fedbuff"):
    """The server steps with every `buffer` answers; who is slower answers later, and counts less.

    Clients of the round, `clients_per_round` of them, are at work at any time.
    """

    buffer: Annotated[
        int, Meta(ge=1, lt=2**31, description="K, answers in a step; at most all")
    ] = 10
    server_learning_rate: Annotated[float, Meta(gt=0, description="eta_g")] = 1.0
    staleness_exponent: Annotated[
        float, Meta(ge=0, description="a, how much less old answers count")
    ] = 0.5
    rule: Rule = Mean(by="clients")

    @property
    def waits_for(self) -> int | None:
        """K."""
        return self.buffer

    def joining(self) -> Mapping[str, Rule]:
        """The updates."""
        return {"update": self.rule}

    def aged(self, group: str, tensors: Parameters, staleness: int) -> Parameters:
        """An update times s(t), in float64: it does not matter whether a sum of updates comes, or each."""
        s = (1 + staleness) ** -self.staleness_exponent if group == "update" else 1.0
        return {name: tensor.double() * s for name, tensor in tensors.items()}

    def next_state(self, server: Tree, joined: Tree, participation: float) -> Tree:
        """The equation."""
        del participation
        return {"model": added(server["model"], joined["update"], self.server_learning_rate)}
