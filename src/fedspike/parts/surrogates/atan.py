"""The arctangent, the default."""

import math
from typing import Annotated

from jaxtyping import Float
from msgspec import Meta
from torch import Tensor

from fedspike.layers.operations import Table
from fedspike.parts.surrogates.surrogate import Surrogate, at_each_step


class Atan(Surrogate, tag="atan"):
    """The arctangent, the default.

        derivative    alpha/2 / (1 + (pi/2 alpha x)^2)
        smooth        arctan(pi/2 alpha x)/pi + 1/2

    Source: Fang et al., "Incorporating Learnable Membrane Time Constant to Enhance Learning of Spiking
    Neural Networks", ICCV 2021; snnTorch 1.0.0 `surrogate.atan`, whose documentation has a factor 1/pi that
    its code has not.

    >>> import torch
    >>> Atan().derivative(torch.tensor([0.0, 1 / math.pi])).tolist()
    [1.0, 0.5]
    """

    alpha: Annotated[float, Meta(gt=0)] = 2.0

    def operations(self) -> Table:
        """The derivative times the gradient that comes in, a division being a multiply."""
        return at_each_step(multiply=3, add=1, compare=1)

    def derivative(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """In place of H'(x)."""
        height = self.alpha / 2
        return x.mul(math.pi * height).square_().add_(1).reciprocal_().mul_(height)
