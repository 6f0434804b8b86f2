"""What layers make of the rows of values that enter them: every client's rows meet its own weights."""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from fedspike.layers.shapes import Convolution, Dense, Pool
from fedspike.networks.operators import Operators
from fedspike.networks.sized_layers import Parameters

Layer = Dense | Convolution | Pool
Rows = Float[Tensor, "client row input"]
Made = Float[Tensor, "client row output"]


def through(
    layer: Layer, name: str, parameters: Parameters, rows: Rows, operators: Operators
) -> Made:
    """What comes out of a layer; an image in a row is channel by channel, and each of these row by row."""
    if isinstance(layer, Pool):
        return pool(layer, rows, operators)
    weight, bias = parameters[f"{name}.weight"], parameters.get(f"{name}.bias")
    if isinstance(layer, Convolution):
        return convolution(layer, weight, bias, rows)
    return linear(weight, bias, rows)


def linear(
    weight: Float[Tensor, "client output input"],
    bias: Float[Tensor, "client output"] | None,
    rows: Rows,
) -> Made:
    """The product with the weight, plus the bias if there is one."""
    return _Linear.apply(rows, weight, bias)  # type: ignore[no-any-return,no-untyped-call]


class _Linear(torch.autograd.Function):
    """Rows times weight plus bias. Unlike torch's, its gradient of the weight is laid out like the weight."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(rows, weight)
        return product(rows, weight.mT, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, Tensor | None]:
        (delta,) = gradients
        rows, weight = ctx.saved_tensors
        into_rows = product(delta, weight) if ctx.needs_input_grad[0] else None
        into_weight, into_bias = product(delta.mT, rows), None
        if ctx.needs_input_grad[2]:  # the sum over rows, as a product
            into_bias = product(delta.new_ones(len(delta), 1, delta.shape[1]), delta).squeeze(1)
        return into_rows, into_weight, into_bias


def product(left: Tensor, right: Tensor, bias: Tensor | None = None) -> Tensor:
    """Of every client's matrices, plus the bias if there is one, by no more threads than there are clients.

    MKL cuts fewer products than threads, and its sums with them, so that bits would depend on both numbers.
    """
    threads = torch.get_num_threads()
    if threads > len(left):
        torch.set_num_threads(len(left))
    try:
        if bias is None:
            return torch.bmm(left, right)
        return torch.baddbmm(bias.unsqueeze(1), left, right)
    finally:
        if threads > len(left):
            torch.set_num_threads(threads)


def convolution(
    layer: Convolution,
    weight: Float[Tensor, "client out in kernel kernel"],
    bias: Float[Tensor, "client out"] | None,
    rows: Rows,
) -> Made:
    """Every client's images with its own kernels, one client after the other: oneDNN has no better way."""
    images = rows.reshape(*rows.shape[:2], layer.in_channels, layer.height, layer.width)
    how = (layer.stride, layer.padding, 1, layer.groups)
    added: list[Tensor | None] = [None] * len(rows) if bias is None else list(bias)
    if len(rows) == 1:  # as below, without the copies of taking apart and putting together
        lone = None if bias is None else bias.flatten()
        conv = F.conv2d(images.flatten(0, 1), weight.flatten(0, 1), lone, *how)
        return conv.flatten(1).unsqueeze(0)
    out = [
        F.conv2d(own, kernels, one, *how)
        for own, kernels, one in zip(images, weight, added, strict=True)
    ]
    return torch.stack(out).flatten(2)


def pool(layer: Pool, rows: Rows, operators: Operators) -> Made:
    """Windows of all images; the gradient of a maximum goes to the first of several that share it."""
    images = rows.reshape(-1, layer.height, layer.width)  # of all channels
    whole_rows, whole_columns = (size * layer.size for size in layer.out_size)
    if (whole_rows, whole_columns) != (layer.height, layer.width):
        images = images[:, :whole_rows, :whole_columns]
    if layer.kind == "max":
        pooled = F.max_pool2d(images, layer.size)
    else:
        pooled = operators.averaged(images, layer.size)
    return pooled.reshape(*rows.shape[:2], -1)
