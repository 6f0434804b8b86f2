"""The logistic function."""

from typing import Annotated

import torch
from jaxtyping import Float
from msgspec import Meta
from torch import Tensor

from fedspike.layers.operations import Table
from fedspike.parts.surrogates.surrogate import Surrogate, at_each_step


class Sigmoid(Surrogate, tag="sigmoid"):
    """The logistic function.

        derivative    k s(kx) s(-kx)
        smooth        s(kx) = 1 / (1 + exp(-kx))        with k = `slope`

    Source: snnTorch 1.0.0 `surrogate.sigmoid`, which writes the derivative as k exp(-kx) / (exp(-kx) + 1)^2:
    the same, but not a number in float32 below kx = -88, where it is 0 here. k s(kx) (1 - s(kx)) would be the
    same, too, but for rounding: 1 - s(kx) has no digit left above kx = 17.

    >>> Sigmoid(slope=4.0).derivative(torch.tensor([0.0, 100.0])).tolist()
    [1.0, 0.0]
    """

    slope: Annotated[float, Meta(gt=0)] = 25.0

    def operations(self) -> Table:
        """The derivative times the gradient that comes in, a division being a multiply."""
        return at_each_step(multiply=5, add=2, compare=1, exp=1)

    def derivative(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """In place of H'(x)."""
        kx = self.slope * x
        return self.slope * torch.sigmoid(kx) * torch.sigmoid(-kx)
