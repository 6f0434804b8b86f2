"""What stands in for the derivative of the step function H, which has none to learn from.

Each surrogate is a `derivative`, used in the backward pass in place of H', and the `smooth` function that it
is the derivative of. Both take the distance x = U - theta of the membrane from the threshold.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from fedspike.errors import InputError


@dataclass(frozen=True)
class Atan:
    """The arctangent: the default, and the only one that the compiled kernels have, with alpha = 2.

        derivative    alpha/2 / (1 + (pi/2 alpha x)^2)
        smooth        arctan(pi/2 alpha x)/pi + 1/2

    Source: Fang et al., "Incorporating Learnable Membrane Time Constant to Enhance Learning of Spiking
    Neural Networks", ICCV 2021; snnTorch 1.0.0 `surrogate.atan`, whose documentation has a factor 1/pi that
    its code has not.

    >>> Atan().derivative(torch.tensor([0.0, 1 / math.pi])).tolist()
    [1.0, 0.5]
    """

    alpha: float = 2.0

    def __post_init__(self) -> None:
        _check_steepness("alpha", self.alpha, usual=2.0)

    def derivative(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """In place of H'(x)."""
        height = self.alpha / 2
        return x.mul(math.pi * height).square_().add_(1).reciprocal_().mul_(height)

    def smooth(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """In place of H(x), from 0 to 1."""
        return torch.atan(math.pi / 2 * self.alpha * x) / math.pi + 0.5


@dataclass(frozen=True)
class FastSigmoid:
    """The fast sigmoid, also called softsign.

        derivative    1 / (1 + k|x|)^2
        smooth        x / (1 + k|x|)        with k = `slope`

    It rises by 2/k in all, not by 1, because the source leaves out a factor k/2.

    Source: Zenke, Ganguli, "SuperSpike: Supervised Learning in Multilayer Spiking Neural Networks", Neural
    Computation 30, 2018, with the slope of snnTorch 1.0.0 `surrogate.fast_sigmoid`.

    >>> FastSigmoid(slope=1.0).derivative(torch.tensor([0.0, 1.0])).tolist()
    [1.0, 0.25]
    """

    slope: float = 25.0

    def __post_init__(self) -> None:
        _check_steepness("slope", self.slope, usual=25.0)

    def derivative(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """In place of H'(x)."""
        return 1 / (1 + self.slope * x.abs()) ** 2

    def smooth(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """In place of H(x), from -1/k to 1/k."""
        return x / (1 + self.slope * x.abs())


@dataclass(frozen=True)
class Sigmoid:
    """The logistic function.

        derivative    k s(kx) (1 - s(kx))
        smooth        s(kx) = 1 / (1 + exp(-kx))        with k = `slope`

    Source: snnTorch 1.0.0 `surrogate.sigmoid`, which writes the derivative as k exp(-kx) / (exp(-kx) + 1)^2:
    the same, but not a number in float32 below kx = -88, where it is 0 here.

    >>> Sigmoid(slope=4.0).derivative(torch.tensor([0.0, 100.0])).tolist()
    [1.0, 0.0]
    """

    slope: float = 25.0

    def __post_init__(self) -> None:
        _check_steepness("slope", self.slope, usual=25.0)

    def derivative(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """In place of H'(x)."""
        s = self.smooth(x)
        return self.slope * s * (1 - s)

    def smooth(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """In place of H(x), from 0 to 1."""
        return torch.sigmoid(self.slope * x)


@dataclass(frozen=True)
class Triangular:
    """A triangle of area 1: nothing is learned where |x| > 1/k.

        derivative    k max(0, 1 - k|x|)
        smooth        1/2 + z - z|z|/2,    z = kx clipped to [-1, 1]        with k = `slope`

    Source: Esser et al., "Convolutional Networks for Fast, Energy-Efficient Neuromorphic Computing", PNAS
    113, 2016, there with k = 1; SpikingJelly 2.0.0 `PiecewiseQuadratic`, named after the smooth function. It
    is not snnTorch 1.0.0's `triangular`: what that has as a derivative is the slope of a triangle, +1 below
    the threshold and -1 above it.

    >>> Triangular().derivative(torch.tensor([-0.25, 0.0, 2.0])).tolist()
    [0.75, 1.0, 0.0]
    """

    slope: float = 1.0

    def __post_init__(self) -> None:
        _check_steepness("slope", self.slope, usual=1.0)

    def derivative(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """In place of H'(x)."""
        return self.slope * (1 - self.slope * x.abs()).clamp(min=0)

    def smooth(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """In place of H(x), from 0 to 1."""
        z = (self.slope * x).clamp(-1, 1)
        return 0.5 + z - z * z.abs() / 2


Surrogate = Atan | FastSigmoid | Sigmoid | Triangular


def fire(x: Float[Tensor, "*any"], surrogate: Surrogate) -> Float[Tensor, "*any"]:
    """H(x), 1.0 where x > 0 and else 0.0, with the surrogate's derivative for autograd.

    >>> x = torch.tensor([-1.0, 0.0, 0.5], requires_grad=True)
    >>> fire(x, Triangular()).tolist()
    [0.0, 0.0, 1.0]
    >>> torch.autograd.grad(fire(x, Triangular()).sum(), x)[0].tolist()
    [0.0, 1.0, 0.5]
    """
    return _Fire.apply(x, surrogate)  # type: ignore[no-any-return,no-untyped-call]


class _Fire(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, surrogate: Surrogate) -> Tensor:
        ctx.surrogate = surrogate
        ctx.save_for_backward(x)
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return ctx.surrogate.derivative(x) * gradients[0], None


def _check_steepness(name: str, steepness: float, usual: float) -> None:
    if not 0 < steepness < math.inf:
        raise InputError(
            f"{name} = {steepness}", expected="a finite number > 0", fix=f"{usual} is usual"
        )
