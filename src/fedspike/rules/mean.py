"""The weighted mean.

    sum over k of (n_k / n) u_k,    n = sum of n_k

Source: McMahan, Moore, Ramage, Hampson, Agueera y Arcas, "Communication-Efficient Learning of Deep Networks
from Decentralized Data", AISTATS 2017, Algorithm 1.
"""

from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from fedspike.rules.rule import Parameters, Replies, Rule


class Mean(Rule, tag="mean"):
    """The mean over clients: each counts by its samples, or all count alike."""

    by: Literal["samples", "clients"] = "samples"

    partial: ClassVar[bool] = True

    def join(self, replies: Replies) -> Parameters:
        """Summed in float64, so that the order of the clients seldom shows in float32; see `narrowed`."""
        weights = replies.samples if self.by == "samples" else replies.clients
        return {name: average(replies.stacked(name), weights) for name in replies.trees[0]}


def average(
    tensors: Float[Tensor, "reply *shape"], weights: Int64[Tensor, " reply"]
) -> Float[Tensor, "*shape"]:
    """The equation."""
    mean: Tensor = torch.tensordot(weights.double() / weights.sum(), tensors, dims=1)
    return mean
