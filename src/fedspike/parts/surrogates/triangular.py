"""A triangle of area 1: nothing is learned where |x| > 1/k."""

from typing import Annotated

from jaxtyping import Float
from msgspec import Meta
from torch import Tensor

from fedspike.layers.operations import Table
from fedspike.parts.surrogates.surrogate import Surrogate, at_each_step


class Triangular(Surrogate, tag="triangular"):
    """A triangle of area 1: nothing is learned where |x| > 1/k.

        derivative    k max(0, 1 - k|x|)
        smooth        1/2 + z - z|z|/2,    z = kx clipped to [-1, 1]        with k = `slope`

    Source: Esser et al., "Convolutional Networks for Fast, Energy-Efficient Neuromorphic Computing", PNAS
    113, 2016, there with k = 1; SpikingJelly 2.0.0 `PiecewiseQuadratic`, named after the smooth function. It
    is not snnTorch 1.0.0's `triangular`: what that has as a derivative is the slope of a triangle, +1 below
    the threshold and -1 above it.

    >>> import torch
    >>> Triangular().derivative(torch.tensor([-0.25, 0.0, 2.0])).tolist()
    [0.75, 1.0, 0.0]
    """

    slope: Annotated[float, Meta(gt=0)] = 1.0

    def operations(self) -> Table:
        """The derivative times the gradient that comes in, a division being a multiply."""
        return at_each_step(multiply=3, add=1, compare=1)

    def derivative(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """In place of H'(x)."""
        return self.slope * (1 - self.slope * x.abs()).clamp(min=0)
