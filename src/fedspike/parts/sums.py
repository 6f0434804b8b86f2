"""Sums whose bits depend on the numbers that are added alone: not on who stands beside them, nor on threads.

Torch adds the columns at the end of a tensor in another order than those that fill whole vectors, and cuts a
tensor elsewhere for every number of threads, so the sum of a client's numbers over samples or time steps
would hang on its company. Here an axis is folded in halves: numbers are added two by two, and such an
addition is rounded once, wherever the two lie. Zeros at the end change no bit.

All of torch's sums, means, norms and the like over an axis before the last have this fault, and so have
those over all numbers at once. Of its functions number by number `sigmoid`, `softplus`, `gelu`, `hypot`,
`atan2` and `pow` with a fraction do; `exp`, `log`, `tanh` and the root do not.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


def total(numbers: Float[Tensor, "*shape"], axis: int) -> Float[Tensor, "*_others"]:
    """The sum over one axis, counted from the front, which is then gone.

    >>> total(torch.tensor([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]]), 0)
    tensor([ 6., 60.])
    """
    return _Total.apply(numbers, axis)  # type: ignore[no-any-return,no-untyped-call]


def repeated(numbers: Float[Tensor, "_one *shape"], times: int) -> Float[Tensor, "_times *shape"]:
    """One thing so many times, in memory once; unlike torch's, the sum in its gradient is a `total`."""
    if len(numbers) == times:
        return numbers
    return _Repeated.apply(numbers, times)  # type: ignore[no-any-return,no-untyped-call]


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, numbers: Tensor, axis: int) -> Tensor:
        ctx.axis, ctx.shape = axis, numbers.shape
        folded, left = numbers, numbers.shape[axis]
        while left > 1:
            half = 1 << (left - 1).bit_length() - 1  # a power of two, so that zeros may follow
            low, high = folded.narrow(axis, 0, half), folded.narrow(axis, half, left - half)
            folded = low.clone() if folded is numbers else low
            folded.narrow(axis, 0, left - half).add_(high)
            left = half
        return folded.select(axis, 0).clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0].unsqueeze(ctx.axis).expand(ctx.shape), None


class _Repeated(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, numbers: Tensor, times: int) -> Tensor:
        return numbers.expand(times, *numbers.shape[1:])

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return total(gradients[0], 0).unsqueeze(0), None
