"""The logistic function."""

import math
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

    Source: snnTorch 1.0.0 `surrogate.sigmoid`, which writes the derivative as k z / (z + 1)^2, z = exp(-kx).
    Here z = exp(-k|x|), which is the same, but a number also below kx = -88; beyond |kx| = 86 in float32,
    where numbers lose their digits, it is 0. k s(kx) (1 - s(kx)) has no digit left above
    kx = 17, and torch's own sigmoid rounds by a number's place in its tensor (see `parts/sums.py`).

    >>> Sigmoid(slope=4.0).derivative(torch.tensor([0.0, 0.5]))
    tensor([1.0000, 0.4200])
    """

    slope: Annotated[float, Meta(gt=0)] = 25.0

    def operations(self) -> Table:
        """The derivative times the gradient that comes in, a division being a multiply."""
        return at_each_step(multiply=5, add=2, compare=1, exp=1)

    def derivative(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """In place of H'(x)."""
        least = 2 * torch.finfo(x.dtype).tiny  # smaller ones have lost digits, and are slow
        z = x.abs().mul_(-self.slope).clamp_(min=math.log(least)).exp_()
        z = torch.threshold_(z, 2 * least, 0.0)
        return z.mul(self.slope).div_(z.add_(1).square_())
