"""What enters the layers of a module while it runs, seen where it calls torch's functions.

A layer is known by its weight: `linear(x, weight, bias)` is the layer that this very tensor belongs to,
whoever calls it, once or at every time step. So nothing is attached to the module and nothing has to be taken
off again. Where a parameter goes into anything else there is no rule, and its layer is named.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from fedspike.errors import InputError
from fedspike.layers.shapes import Convolution, Dense, Layer, Pool, fan_out

_WEIGHED = {
    functional.linear: ("input", "weight", "bias"),
    functional.conv2d: ("input", "weight", "bias", "stride", "padding", "dilation", "groups"),
}
_POOLED = {
    functional.avg_pool2d: ("input", "kernel_size", "stride", "padding", "ceil_mode"),
    functional.max_pool2d: ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode"),
}
_ADAPTIVE: dict[Any, Literal["average", "max"]] = {
    functional.adaptive_avg_pool2d: "average",
    functional.adaptive_max_pool2d: "max",
}
_OTHER_POOLS = {
    *(functional.lp_pool2d, functional.fractional_max_pool2d, functional.max_pool2d_with_indices),
    *(functional.max_pool1d, functional.avg_pool1d, functional.max_pool3d, functional.avg_pool3d),
}
# Products of values with values: they cost, but no layer's weight is in them to be known by.
_PRODUCTS = {
    *(torch.matmul, torch.mm, torch.bmm, torch.baddbmm, torch.einsum),
    *(Tensor.matmul, Tensor.mm, Tensor.bmm, Tensor.__matmul__),
    functional.scaled_dot_product_attention,
}


# What hands values on as they are, in another shape.
_SHAPES = {
    *("reshape", "view", "flatten", "unflatten", "unsqueeze", "squeeze", "contiguous", "movedim"),
    *("permute", "transpose", "select", "__getitem__", "dropout", "dropout2d", "batch_norm"),
}


def layer_of(name: str) -> str:
    """The layer that a parameter belongs to; "module" where it is the module's own.

    >>> layer_of("hidden.weight"), layer_of("features.0.bias"), layer_of("gain")
    ('hidden', 'features.0', 'module')
    """
    return name.rpartition(".")[0] or "module"


class Watch(TorchFunctionMode):
    """Counts events, while it is entered: of one client, over all samples and time steps.

    `weights` are the tensors that the module is run with, by name. Afterwards `layers` are those with a rule,
    in the order in which they were first run, and `rows` how often each was run; `no_rule` says why others
    have none, and `seen` are all, with those that are not to be counted. `counts` are [3]: the events that
    entered each layer, the synapses of a convolution that they met, and those that were other numbers than 1.
    `bytes` is the size of all results together.
    """

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        not_counted: Iterable[str] = (),
        *,
        spiking: bool = False,
    ) -> None:
        super().__init__()
        self.spiking = spiking
        self.place = ["input"]  # the layer with weights that was run last, and each pool since
        self.weights, self.not_counted = weights, frozenset(not_counted)
        self.names = {id(tensor): name for name, tensor in weights.items()}
        self.layers: dict[str, Layer] = {}
        self.no_rule: dict[str, str] = {}
        self.seen: set[str] = set()
        self.rows: dict[str, int] = {}
        self.counts: dict[str, Tensor] = {}
        self.bytes = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Do what was called, and look at what it was called with."""
        del types
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        made = [tensor for tensor in _flat(result) if isinstance(tensor, Tensor)]
        if made:  # not a shape, a type, a device
            self.bytes += sum(tensor.numel() * tensor.element_size() for tensor in made)
            self._see(func, args, kwargs)
            self._mark(func, made[0], (*_flat(args), *_flat(list(kwargs.values()))))
        return result

    def _mark(self, func: Callable[..., Any], made: Tensor, values: tuple[Any, ...]) -> None:
        """Remember of what a layer makes that no neuron has had it yet."""
        handed_on = func in _POOLED or func in _ADAPTIVE or getattr(func, "__name__", "") in _SHAPES
        if func in _WEIGHED or (handed_on and getattr(values[0], "is_current", False)):
            made.is_current = True  # type: ignore[attr-defined]

    def _see(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        values = (*_flat(args), *_flat(list(kwargs.values())))
        used = [self.names[id(value)] for value in values if id(value) in self.names]
        owners = {layer_of(name) for name in used}
        if func in _WEIGHED:
            given = dict(zip(_WEIGHED[func], args, strict=False)) | kwargs
            if id(given["weight"]) in self.names and len(owners) == 1:
                self.place = [*owners]
                return self._enter(owners.pop(), func, given)
        if func in _OTHER_POOLS:
            name = f"{self.place[0]}.{func.__name__}"
            self.seen.add(name)
            self.no_rule.setdefault(name, "a pool of another kind")
        if func in _POOLED or func in _ADAPTIVE:
            names = _POOLED.get(func, ("input", "output_size"))
            given = dict(zip(names, args, strict=False)) | kwargs
            self.place.append("pool" if len(self.place) == 1 else f"pool{len(self.place)}")
            return self._enter(f"{self.place[0]}.{self.place[-1]}", func, given)
        called = getattr(func, "__name__", str(func))
        for name in used:
            self.no_rule.setdefault(layer_of(name), f"{called} of its {name.rpartition('.')[2]}")
        if not used and (func in _PRODUCTS or func in _WEIGHED):
            self.no_rule.setdefault(called, "a product of values with values")
        return None

    def _enter(self, name: str, func: Callable[..., Any], given: dict[str, Any]) -> None:
        """Count what enters the layer of this name."""
        self.seen.add(name)
        if name in self.not_counted or name in self.no_rule:
            return
        x = given["input"].detach()
        if name not in self.layers:
            try:
                layer = _layer(func, given)
                if isinstance(layer, Pool) and self.spiking:
                    layer = replace(layer, currents=getattr(given["input"], "is_current", False))
                self.layers[name] = layer
            except InputError as error:
                self.no_rule[name] = str(error.passed)
                return
        layer = self.layers[name]
        events = x != 0
        met = torch.zeros((), dtype=torch.int64, device=x.device)
        if isinstance(layer, Convolution):
            met = (events.flatten(0, -3).sum(0) * _fan_out(layer, x.device)).sum()
        counts = torch.stack([events.sum(), met, (events & (x != 1)).sum()])
        self.rows[name] = self.rows.get(name, 0) + x.numel() // layer.inputs
        self.counts[name] = self.counts[name] + counts if name in self.counts else counts


@cache
def _fan_out(layer: Convolution, device: torch.device) -> Tensor:
    return torch.from_numpy(fan_out(layer)).to(device)


def _flat(values: Any) -> list[Any]:
    """The values themselves, out of the lists and tuples that they are in."""
    if not isinstance(values, list | tuple):
        return [values]
    return [value for inner in values for value in _flat(inner)]


def _layer(func: Callable[..., Any], given: dict[str, Any]) -> Layer:
    """The layer that this call is; InputError where there is no rule for it."""
    if func == functional.linear:
        outputs, inputs = given["weight"].shape
        return Dense(inputs, outputs, given.get("bias") is not None)
    *_, channels, height, width = given["input"].shape
    if func in _ADAPTIVE:
        after = _alike(given, "output_size")
        if height != width or height % after:
            raise _unknown("windows of different sizes")
        return Pool(_ADAPTIVE[func], channels, height, width, height // after)
    if func in _POOLED:
        size = _alike(given, "kernel_size")
        if given.get("ceil_mode") and (height % size or width % size):
            raise _unknown("windows that reach over the edge")
        if given.get("stride") is not None and _alike(given, "stride") != size:
            raise _unknown("windows that overlap or leave gaps")
        if _alike(given, "padding", 0) != 0 or _alike(given, "dilation", 1) != 1:
            raise _unknown("padded or dilated windows")
        kind = "average" if func == functional.avg_pool2d else "max"
        return Pool(kind, channels, height, width, size)  # type: ignore[arg-type]
    outputs, _, kernel, across = given["weight"].shape
    if kernel != across or _alike(given, "dilation", 1) != 1:
        raise _unknown("a convolution that is not square, or dilated")
    stride, padding = _alike(given, "stride", 1), _alike(given, "padding", 0)
    bias, groups = given.get("bias") is not None, given.get("groups", 1)
    return Convolution(channels, outputs, kernel, height, width, stride, padding, bias, groups)


def _alike(given: dict[str, Any], name: str, default: int = 1) -> int:
    """The number that stands for both axes."""
    both = set(_flat(given.get(name, default)))
    if len(both) > 1 or not isinstance(next(iter(both)), int):
        raise _unknown(f"{name} = {given[name]}")
    number: int = both.pop()
    return number


def _unknown(what: str) -> InputError:
    return InputError(what, expected="a layer with a rule", fix="name it in not_counted")
