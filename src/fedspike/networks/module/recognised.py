"""Which layer a call of one of torch's functions is; an error where there is no rule for it."""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch.nn import functional

from fedspike.errors import InputError
from fedspike.layers.beside import Groups, Norm
from fedspike.layers.shapes import Convolution, Dense, Pool, Pooling, Synapses
from fedspike.layers.sliding import Axis, SlidingKernel, SlidingPool

_OF_KERNELS = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
WEIGHED: dict[Any, tuple[str, ...]] = {
    functional.linear: ("input", "weight", "bias"),
    **dict.fromkeys((functional.conv1d, functional.conv2d, functional.conv3d), _OF_KERNELS),
}
_OF_WINDOWS = ("input", "kernel_size", "stride", "padding")
_AVERAGES = (functional.avg_pool1d, functional.avg_pool2d, functional.avg_pool3d)
_MAXIMA = (
    *(functional.max_pool1d, functional.max_pool2d, functional.max_pool3d),
    *(torch.max_pool1d, torch.max_pool2d, torch.max_pool3d),
)
POOLED: dict[Any, tuple[str, ...]] = {
    **dict.fromkeys(_AVERAGES, (*_OF_WINDOWS, "ceil_mode")),
    **dict.fromkeys(_MAXIMA, (*_OF_WINDOWS, "dilation", "ceil_mode")),
}
ADAPTIVE = {
    *(functional.adaptive_avg_pool1d, functional.adaptive_avg_pool2d),
    *(functional.adaptive_max_pool1d, functional.adaptive_max_pool2d),
    *(functional.adaptive_avg_pool3d, functional.adaptive_max_pool3d),
}
OTHER_POOLS = {
    *(functional.lp_pool1d, functional.lp_pool2d, functional.fractional_max_pool2d),
    *(functional.max_pool1d_with_indices, functional.max_pool2d_with_indices),
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


def layer(func: Callable[..., Any], given: dict[str, Any]) -> Synapses | Pooling:
    """The layer that this call is; InputError where there is no rule for it."""
    if func == functional.linear:
        outputs, inputs = given["weight"].shape
        return Dense(inputs, outputs, given.get("bias") is not None)
    if func in WEIGHED and not _is_square(func, given):
        return _sliding(given)
    if func in POOLED or func in ADAPTIVE:
        return _pool(func, given)
    *_, channels, height, width = given["input"].shape
    outputs, _, kernel, _ = given["weight"].shape
    stride, padding = _each(given, "stride", 2)[0], _paddings(given, 2)[0]
    bias, groups = given.get("bias") is not None, given.get("groups", 1)
    return Convolution(channels, outputs, kernel, height, width, stride, padding, bias, groups)


def _pool(func: Callable[..., Any], given: dict[str, Any]) -> Pooling:
    """Equal squares side by side are a `Pool`, other windows a `SlidingPool`."""
    axes, shape = int(func.__name__[-2]), given["input"].shape
    sizes, channels = shape[-axes:], shape[-axes - 1] if len(shape) > axes + 1 else 1
    if func in ADAPTIVE:
        after = _each(given, "output_size", axes)
        after = [size if one is None else one for size, one in zip(sizes, after, strict=True)]
        if any(size % one for size, one in zip(sizes, after, strict=True)):
            raise _unknown("windows of different sizes")
        over = [Axis(s, s // one, s // one) for s, one in zip(sizes, after, strict=True)]
    else:
        kernel = _each(given, "kernel_size", axes)
        stride = _each({"stride": given.get("stride") or kernel}, "stride", axes)
        moved = _each({"padding": 0, **given}, "padding", axes), _each(given, "dilation", axes)
        over = [Axis(*one) for one in zip(sizes, kernel, stride, *moved, strict=True)]
        if given.get("ceil_mode") and any(axis.left for axis in over):
            raise _unknown("windows that reach over the edge")
    kind: Literal["average", "max"] = "average" if "avg" in func.__name__ else "max"
    size = over[0].kernel
    if axes == 2 and all(axis == Axis(axis.size, size, size) for axis in over):
        return Pool(kind, channels, sizes[0], sizes[1], size)
    return SlidingPool(kind, channels, tuple(over))


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


def _unknown(what: str) -> InputError:
    return InputError(what, expected="a layer with a rule", fix="name it in not_counted")
