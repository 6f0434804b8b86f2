"""A surrogate of one's own, whose operations nobody has counted."""

from typing import Annotated

from jaxtyping import Float
from msgspec import Meta
from torch import Tensor

from fedspike.parts.surrogates import Surrogate


class Rectangle(Surrogate, tag="rectangle"):
    """1/width where the membrane is within width/2 of the threshold, else 0.

    Source: Wu, Deng, Li, Zhu, Shi, "Spatio-temporal backpropagation for training high-performance spiking
    neural networks", Frontiers in Neuroscience 12, 2018, h1.
    """

    width: Annotated[float, Meta(gt=0)] = 1.0

    def derivative(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """In place of H'(x)."""
        return (x.abs() < self.width / 2).to(x.dtype) / self.width
