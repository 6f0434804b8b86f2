"""Stacked updates of a cohort to one update."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

Updates = dict[str, Tensor]
"""A tensor per parameter, with the clients as first axis; an update is trained minus received."""


def weighted_mean(
    updates: Updates, weights: Float[Tensor, " client"] | Int64[Tensor, " client"]
) -> dict[str, Tensor]:
    """Average over clients: sum over k of (n_k / n) u_k, n = sum of n_k.

    Summed in float64, so that the order of the clients does not show in a float32 result.
    Source: McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data",
    AISTATS 2017, Algorithm 1.

    >>> updates = {"w": torch.tensor([[1.0], [5.0]])}
    >>> weighted_mean(updates, torch.tensor([3, 1]))
    {'w': tensor([2.])}
    """
    share = weights.double() / weights.sum()
    return {
        name: torch.tensordot(share, stacked.double(), dims=1).to(stacked.dtype)
        for name, stacked in updates.items()
    }
