"""The weighted mean.

    sum over k of (n_k / n) u_k,    n = sum of n_k

Source: McMahan, Moore, Ramage, Hampson, Agueera y Arcas, "Communication-Efficient Learning of Deep Networks
from Decentralized Data", AISTATS 2017, Algorithm 1.
"""

from typing import ClassVar, Literal

from jaxtyping import Int64
from torch import Tensor

from fedspike.rules.exact_sum import exact_mean, exact_parts
from fedspike.rules.rule import Parameters, Replies, Rule


class Mean(Rule, tag="mean"):
    """The mean over clients: each counts by its samples, or all count alike."""

    by: Literal["samples", "clients"] = "samples"

    partial: ClassVar[bool] = True

    def join(self, replies: Replies) -> Parameters:
        """The equation, of exact sums."""
        weights = self.weights(replies.samples, replies.clients)
        over = int(weights.sum())
        return {n: exact_mean(*replies.terms(n, weights), over) for n in replies.trees[0]}

    def summed(self, replies: Replies) -> Parameters:
        """The sum of n_k u_k."""
        weights = self.weights(replies.samples, replies.clients)
        return {name: exact_parts(*replies.terms(name, weights)) for name in replies.trees[0]}

    def weights(
        self, samples: Int64[Tensor, " reply"], clients: Int64[Tensor, " reply"]
    ) -> Int64[Tensor, " reply"]:
        """n_k, or 1."""
        return samples if self.by == "samples" else clients
