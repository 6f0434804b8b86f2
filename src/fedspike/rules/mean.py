"""Stacked updates of a cohort to one update, and their statistics to those of all their data."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

Updates = dict[str, Tensor]
"""A tensor per parameter, with the clients as first axis; an update is trained minus received."""


def weighted_mean(
    updates: Updates, weights: Float[Tensor, " client"] | Int64[Tensor, " client"]
) -> dict[str, Tensor]:
    """Average over clients: sum over k of (n_k / n) u_k, n = sum of n_k.

    Summed in float64, so that the order of the clients does not show in a float32 result; see `narrowed`.
    Source: McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data",
    AISTATS 2017, Algorithm 1.

    >>> updates = {"w": torch.tensor([[1.0], [5.0]])}
    >>> weighted_mean(updates, torch.tensor([3, 1]))
    {'w': tensor([2.])}
    """
    share = weights.double() / weights.sum()
    return {
        name: narrowed(torch.tensordot(share, stacked.double(), dims=1), stacked.dtype)
        for name, stacked in updates.items()
    }


def narrowed(mean: Float[Tensor, "*shape"], dtype: torch.dtype) -> Float[Tensor, "*shape"]:
    """A float64 mean in the clients' type, the same however its sum was put together.

    Weights are multiples of a power of two, so means of updates often lie exactly between two float32
    numbers, and the error of the sum, 1e-16, which hangs on the order, would decide to which side. So the
    last 9 of its 53 bits are rounded away first, by Veltkamp's splitting (Dekker, "A floating-point
    technique for extending the available precision", Numerische Mathematik 18, 1971).

    >>> middle = torch.tensor(1 + 2.0**-24, dtype=torch.float64)  # between two float32 numbers
    >>> [float(narrowed(middle + error, torch.float32)) for error in (-2e-16, 0.0, 2e-16)]
    [1.0, 1.0, 1.0]
    """
    if dtype == mean.dtype:
        return mean
    scaled = mean * (2.0**9 + 1)
    return (scaled - (scaled - mean)).to(dtype)


def pooled(
    statistics: dict[str, Tensor], samples: Float[Tensor, " client"] | Int64[Tensor, " client"]
) -> dict[str, Tensor]:
    """Means and variances of everybody's data, from each client's own: "hidden.mean", "hidden.variance".

        mu = sum over k of (n_k / n) mu_k
        var = sum over k of (n_k / n) (var_k + (mu_k - mu)^2)

    This is exact, where an average of variances would miss how far the clients' means are apart; and it is
    the familiar sum of (n_k / n) (var_k + mu_k^2) less mu^2, without the cancellation.

    >>> two = {"a.mean": torch.tensor([[0.0], [4.0]]), "a.variance": torch.tensor([[1.0], [1.0]])}
    >>> pooled(two, torch.tensor([1, 1]))
    {'a.mean': tensor([2.]), 'a.variance': tensor([5.])}
    """
    wide = {name: stacked.double() for name, stacked in statistics.items()}
    found = weighted_mean(wide, samples)  # of variances: within the clients
    for name in statistics:
        if name.endswith(".variance"):
            mean = name.removesuffix("variance") + "mean"
            between = {name: (wide[mean] - found[mean]).square()}
            found[name] += weighted_mean(between, samples)[name]
    return {name: narrowed(found[name], stacked.dtype) for name, stacked in statistics.items()}
