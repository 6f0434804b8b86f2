"""The fast sigmoid, also called softsign."""

from typing import Annotated

from jaxtyping import Float
from msgspec import Meta
from torch import Tensor

from fedspike.layers.operations import Table
from fedspike.parts.surrogates.surrogate import Surrogate, at_each_step


class FastSigmoid(Surrogate, tag="fast-sigmoid"):
    """The fast sigmoid, also called softsign.

        derivative    1 / (1 + k|x|)^2
        smooth        x / (1 + k|x|)        with k = `slope`

    It rises by 2/k in all, not by 1, because the source leaves out a factor k/2.

    Source: Zenke, Ganguli, "SuperSpike: Supervised Learning in Multilayer Spiking Neural Networks", Neural
    Computation 30, 2018, with the slope of snnTorch 1.0.0 `surrogate.fast_sigmoid`.

    >>> import torch
    >>> FastSigmoid(slope=1.0).derivative(torch.tensor([0.0, 1.0])).tolist()
    [1.0, 0.25]
    """

    slope: Annotated[float, Meta(gt=0)] = 25.0

    def operations(self) -> Table:
        """The derivative times the gradient that comes in, a division being a multiply."""
        return at_each_step(multiply=3, add=1, compare=1)

    def derivative(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """In place of H'(x)."""
        return 1 / (1 + self.slope * x.abs()) ** 2
