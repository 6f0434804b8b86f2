"""Which layer a call of one of torch's functions is; an error where there is no rule for it."""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch.nn import functional

from fedspike.errors import InputError
from fedspike.layers.beside import Groups, Norm
from fedspike.layers.shapes import Convolution, Dense, Pool, Synapses
from fedspike.layers.sliding import Axis, SlidingKernel

_OF_KERNELS = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
WEIGHED: dict[Any, tuple[str, ...]] = {
    functional.linear: ("input", "weight", "bias"),
    **dict.fromkeys((functional.conv1d, functional.conv2d, functional.conv3d), _OF_KERNELS),
}
POOLED = {
    functional.avg_pool2d: ("input", "kernel_size", "stride", "padding", "ceil_mode"),
    functional.max_pool2d: ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode"),
}
ADAPTIVE: dict[Any, Literal["average", "max"]] = {
    functional.adaptive_avg_pool2d: "average",
    functional.adaptive_max_pool2d: "max",
}
OTHER_POOLS = {
    *(functional.lp_pool2d, functional.fractional_max_pool2d, functional.max_pool2d_with_indices),
    *(functional.max_pool1d, functional.avg_pool1d, functional.max_pool3d, functional.avg_pool3d),
}
NORMS = {
    functional.batch_norm: ("input", "running_mean", "running_var", "weight", "bias", "training"),
    functional.layer_norm: ("input", "normalized_shape", "weight", "bias"),
    functional.group_norm: ("input", "num_groups", "weight", "bias"),
}
# Products of values with values: they cost, but no layer's weight is in them to be known by.
PRODUCTS = {
    *(torch.matmul, torch.mm, torch.bmm, torch.baddbmm, torch.einsum),
    *(torch.Tensor.matmul, torch.Tensor.mm, torch.Tensor.bmm, torch.Tensor.__matmul__),
    functional.scaled_dot_product_attention,
}
SUMS = {torch.add, torch.Tensor.add, torch.Tensor.__add__, torch.Tensor.__radd__}


def norm(func: Callable[..., Any], given: dict[str, Any]) -> tuple[Norm, Groups | None]:
    """The normalisation that this call is, and the groups that it makes."""
    x = given["input"]
    numbers = [given[name].numel() for name in ("weight", "bias") if given.get(name) is not None]
    if func == functional.batch_norm:
        return Norm(x.numel(), 0, sum(numbers), 2 * given["running_mean"].numel()), None
    size = given["normalized_shape"] if func == functional.layer_norm else None
    of_one = torch.Size(size).numel() if size is not None else x[0].numel() // given["num_groups"]
    groups = x.numel() // of_one
    return Norm(x.numel(), groups, sum(numbers)), Groups(groups)


def layer(func: Callable[..., Any], given: dict[str, Any]) -> Synapses | Pool:
    """The layer that this call is; InputError where there is no rule for it."""
    if func == functional.linear:
        outputs, inputs = given["weight"].shape
        return Dense(inputs, outputs, given.get("bias") is not None)
    if func in WEIGHED and not _is_square(func, given):
        return _sliding(given)
    *_, channels, height, width = given["input"].shape
    if func in ADAPTIVE:
        after = _alike(given, "output_size")
        if height != width or height % after:
            raise _unknown("windows of different sizes")
        return Pool(ADAPTIVE[func], channels, height, width, height // after)
    if func in POOLED:
        size = _alike(given, "kernel_size")
        if given.get("ceil_mode") and (height % size or width % size):
            raise _unknown("windows that reach over the edge")
        if given.get("stride") is not None and _alike(given, "stride") != size:
            raise _unknown("windows that overlap or leave gaps")
        if _alike(given, "padding", 0) != 0 or _alike(given, "dilation", 1) != 1:
            raise _unknown("padded or dilated windows")
        kind = "average" if func == functional.avg_pool2d else "max"
        return Pool(kind, channels, height, width, size)  # type: ignore[arg-type]
    outputs, _, kernel, _ = given["weight"].shape
    stride, padding = _each(given, "stride", 2)[0], _paddings(given, 2)[0]
    bias, groups = given.get("bias") is not None, given.get("groups", 1)
    return Convolution(channels, outputs, kernel, height, width, stride, padding, bias, groups)


def _is_square(func: Callable[..., Any], given: dict[str, Any]) -> bool:
    """Whether both axes of two are alike, and the kernel is not dilated."""
    alike = [set(_each(given, name, 2)) for name in ("stride", "dilation")]
    return (
        func == functional.conv2d
        and len({*given["weight"].shape[2:]}) == 1
        and [len(alike[0]), alike[1]] == [1, {1}]
        and len({*_paddings(given, 2)}) == 1
    )


def _sliding(given: dict[str, Any]) -> SlidingKernel:
    outputs, _, *kernel = given["weight"].shape
    axes = len(kernel)
    sizes = given["input"].shape[-axes:]
    moved = (_each(given, "stride", axes), _paddings(given, axes), _each(given, "dilation", axes))
    return SlidingKernel(
        given["input"].shape[-axes - 1],
        outputs,
        tuple(Axis(*one) for one in zip(sizes, kernel, *moved, strict=True)),
        given.get("bias") is not None,
        given.get("groups", 1),
    )


def _each(given: dict[str, Any], name: str, axes: int) -> list[int]:
    """The number of each axis; a single one stands for all."""
    value = given.get(name, 1)
    several = list(value) if isinstance(value, list | tuple) else [value]
    return several * axes if len(several) == 1 else several


def _paddings(given: dict[str, Any], axes: int) -> list[int]:
    padding = given.get("padding", 0)
    if not isinstance(padding, str):
        return _each({"padding": padding}, "padding", axes)
    kernel, dilation = given["weight"].shape[2:], _each(given, "dilation", axes)
    added = [d * (k - 1) if padding == "same" else 0 for k, d in zip(kernel, dilation, strict=True)]
    if any(both % 2 for both in added):
        raise _unknown("a padding that differs from side to side")
    return [both // 2 for both in added]


def _alike(given: dict[str, Any], name: str, default: int = 1) -> int:
    """The number that stands for both axes."""
    value = given.get(name, default)
    both = set(value) if isinstance(value, list | tuple) else {value}
    if len(both) > 1 or not isinstance(next(iter(both)), int):
        raise _unknown(f"{name} = {given[name]}")
    number: int = both.pop()
    return number


def _unknown(what: str) -> InputError:
    return InputError(what, expected="a layer with a rule", fix="name it in not_counted")
