"""What stands in for the derivative of the step function H, which has none to learn from.

Each surrogate has a `derivative`, used in the backward pass in place of H', of the distance x = U - theta of
the membrane from the threshold. Its documentation has the smooth function whose derivative this is.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from fedspike.layers.operations import Table
from fedspike.part import Part, abstractmethod


class Surrogate(Part):
    """A function of the membrane's distance from the threshold, number by number."""

    @abstractmethod
    def derivative(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """What stands in place of H'(x), of the same shape as x."""

    def operations(self) -> Table | None:
        """What a neuron that fires does at each step of a backward pass; None where nobody has counted it."""
        return None


def at_each_step(**operations: int) -> Table:
    """Of a neuron at a time step, backward."""
    return {"surrogate": {"output and step": operations}}


def fire(x: Float[Tensor, "*any"], surrogate: Surrogate) -> Float[Tensor, "*any"]:
    """H(x), 1.0 where x > 0 and else 0.0, with the surrogate's derivative for autograd.

    >>> from fedspike.parts.surrogates import Triangular
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
