"""What enters the layers of a module while it runs, seen where it calls torch's functions.

A layer is known by its weight: `linear(x, weight, bias)` is the layer that this very tensor belongs to,
whoever calls it, once or at every time step. So nothing is attached to the module and nothing has to be taken
off again. Where a parameter goes into anything else there is no rule, and its layer is named.

Whatever such a layer makes carries where it comes from, through pools, shapes and neurons: so a pool is that
of the layer whose values it pools, whichever was run last.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from fedspike.errors import InputError
from fedspike.layers.beside import Beside, Neurons, Sum, together
from fedspike.layers.shapes import Layer, Pooling, Sliding, fan_out
from fedspike.networks.module.recognised import (
    ADAPTIVE,
    NORMS,
    OTHER_POOLS,
    POOLED,
    PRODUCTS,
    SUMS,
    WEIGHED,
    layer,
    norm,
)

# What hands values on as they are, in another shape.
_SHAPES = {
    *("reshape", "view", "flatten", "unflatten", "unsqueeze", "squeeze", "contiguous", "movedim"),
    *("permute", "transpose", "select", "__getitem__", "dropout", "dropout2d", "batch_norm"),
    *("dropout1d", "dropout3d", "unbind", "chunk", "split", "pad", "cat", "stack", "__iter__"),
}
# What makes one value of each.
_ACTIVATIONS = {
    *("relu", "relu_", "relu6", "leaky_relu", "elu", "celu", "selu", "gelu", "silu", "mish"),
    *(torch.sigmoid.__name__, "tanh", "hardtanh", "hardswish", "hardsigmoid", "softplus"),
}
CONSTANTS = ("beta", "alpha", "threshold")  # of neurons, which may be learned
_WATCHING: ContextVar["Watch | None"] = ContextVar("watching", default=None)


def layer_of(name: str) -> str:
    """The layer that a parameter belongs to; "module" where it is the module's own.

    >>> layer_of("hidden.weight"), layer_of("features.0.bias"), layer_of("gain")
    ('hidden', 'features.0', 'module')
    """
    return name.rpartition(".")[0] or "module"


def run_as(name: str, forward: Callable[..., Any], *given: Any, **named: Any) -> Any:
    """Run neurons whose spikes are told to whoever watches; what happens in them is theirs."""
    watch = _WATCHING.get()
    if watch is None:
        return forward(*given, **named)
    with watch.within(name):
        answer = forward(*given, **named)
    watch.fired(name, answer, given[0])
    return answer


class Watch(TorchFunctionMode):
    """Counts events, while it is entered: of one client, over all samples and time steps.

    `weights` are the tensors that the module is run with, by name. Afterwards `layers` are those with a rule,
    in the order in which they were first run, and `rows` how often each was run; `no_rule` says why others
    have none, and `seen` are all, with those that are not to be counted. Of what stands `beside` them the
    sizes are those of all samples and steps together. `counts` are [3]: the events that entered each layer,
    the synapses of a convolution that they met, and those that were other numbers than 1; of neurons, the
    spikes that they fired. Numbers that are no spikes entered those in `real`. Behind those in `unnamed` are
    neurons that nobody told of. `bytes` is the size of all
    results together.
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
        self.place: tuple[str, ...] = ("input",)  # the last layer that was run, and each pool since
        self.neuron = ""  # what is run now
        self.weights, self.not_counted = weights, frozenset(not_counted)
        self.names = {id(tensor): name for name, tensor in weights.items()}
        self.layers: dict[str, Layer | Beside] = {}
        self.beside: dict[str, Beside] = {}
        self.real: set[str] = set()
        self.unnamed: list[
            tuple[str, Tensor]
        ] = []  # and whether any fired: states begin with zeros
        self.no_rule: dict[str, str] = {}
        self.seen: set[str] = set()
        self.rows: dict[str, int] = {}
        self.counts: dict[str, Tensor] = {}
        self.bytes = 0

    def __enter__(self) -> "Watch":
        self._before = _WATCHING.set(self)
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)  # type: ignore[no-untyped-call]
        _WATCHING.reset(self._before)

    @contextmanager
    def within(self, neuron: str) -> Iterator[None]:
        """While neurons of this name are run."""
        before, self.neuron = self.neuron, neuron
        try:
            yield
        finally:
            self.neuron = before

    def fired(self, name: str, answer: Any, current: Tensor) -> None:
        """Neurons of this name answered with spikes, alone or before their states."""
        spikes = answer[0] if isinstance(answer, tuple) else answer
        spikes.is_flow, spikes.place = True, getattr(current, "place", self.place)
        self._beside(name, Neurons(spikes.numel()))
        none = torch.zeros((), dtype=torch.int64, device=spikes.device)
        self._count(name, torch.stack([(spikes.detach() != 0).sum(), none, none]))

    def shown(self, flow: Any, *, real: bool = False) -> None:
        """The input of the module, before it is run; `real` where it is no spikes."""
        flow.place, flow.is_real = ("input",), real

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
            values = (*_flat(args), *_flat(list(kwargs.values())))
            self._see(func, args, kwargs, values)
            self._mark(func, made, values)
        return result

    def _mark(self, func: Callable[..., Any], made: list[Any], values: tuple[Any, ...]) -> None:
        """Remember where values come from, and whether no neuron has had them yet."""
        name, tensors = getattr(func, "__name__", ""), [v for v in values if isinstance(v, Tensor)]
        pooled = func in POOLED or func in ADAPTIVE
        first: Any = tensors[0] if tensors else None
        summed = func in SUMS and _meet(tensors)
        handed_on = pooled or name in _SHAPES
        flows = func in WEIGHED or func in NORMS or summed
        for one in made:
            if func in WEIGHED or (handed_on and getattr(first, "is_current", False)):
                one.is_current = True
            if flows or ((handed_on or name in _ACTIVATIONS) and getattr(first, "is_flow", False)):
                one.is_flow = True
            averaged = pooled and "avg" in name
            passed = handed_on or name in _ACTIVATIONS
            if flows or averaged or (passed and any(getattr(t, "is_real", False) for t in tensors)):
                one.is_real = True
            if func in WEIGHED or pooled or summed:
                one.place = self.place
            elif (passed or func in NORMS) and hasattr(first, "place"):
                one.place = first.place

    def _see(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        values: tuple[Any, ...],
    ) -> None:
        used = [self.names[id(value)] for value in values if id(value) in self.names]
        owners = {layer_of(name) for name in used}
        if func in WEIGHED:
            given = dict(zip(WEIGHED[func], args, strict=False)) | kwargs
            if id(given["weight"]) in self.names and len(owners) == 1:
                self._ask_after(given["input"], *owners)
                self.place = (*owners,)
                return self._enter(owners.pop(), func, given)
        if func in OTHER_POOLS:
            name = f"{self.place[0]}.{func.__name__}"
            self.seen.add(name)
            self.no_rule.setdefault(name, "a pool of another kind")
        if func in POOLED or func in ADAPTIVE:
            given = (
                dict(zip(POOLED.get(func, ("input", "output_size")), args, strict=False)) | kwargs
            )
            return self._enter(self._behind(given["input"], "pool"), func, given)
        if func in NORMS and self._normalised(func, args, kwargs, owners):
            return None
        tensors = [value for value in values if isinstance(value, Tensor)]
        if func in SUMS and _meet(tensors) and not self.neuron:
            latest = [one for one in tensors if getattr(one, "place", ("",))[0] == self.place[0]]
            self._beside(self._behind([*latest, *tensors][0], "sum"), Sum(tensors[0].numel()))
        called = getattr(func, "__name__", str(func))
        for name in used:
            owner, _, constant = name.rpartition(".")
            if not (self.neuron and owner == self.neuron and constant in CONSTANTS):
                self.no_rule.setdefault(layer_of(name), f"{called} of its {constant}")
        if not used and (func in PRODUCTS or func in WEIGHED):
            self.no_rule.setdefault(called, "a product of values with values")
        return None

    def _ask_after(self, x: Any, entered: str) -> None:
        """Remember the layer behind which something made spikes that is no neuron with a name."""
        later = self.rows and entered != next(iter(self.rows))
        told = getattr(x, "is_flow", False) or hasattr(x, "place")
        if self.spiking and later and not told:
            self.unnamed.append((self.place[0], x.detach().any()))

    def _behind(self, x: Any, what: str) -> str:
        """The name of a pool or a sum behind the layer that `x` comes from: the place from now on."""
        start = getattr(x, "place", self.place)
        self.place = (*start, what if len(start) == 1 else f"{what}{len(start)}")
        return f"{self.place[0]}.{self.place[-1]}"

    def _normalised(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        owners: set[str],
    ) -> bool:
        """Whether a normalisation has a rule: it then is among the layers."""
        given = dict(zip(NORMS[func], args, strict=False)) | kwargs
        if given.get("training") or len(owners) > 1:
            return False
        if not owners and func in NORMS and hasattr(given["input"], "place"):
            owners = {f"{given['input'].place[0]}.norm"}
        if not owners:
            return False
        (name,) = owners
        one, groups = norm(func, given)
        self._beside(name, one)
        if groups is not None:
            self._beside(f"{name}.groups", groups)
        return True

    def _beside(self, name: str, one: Beside) -> None:
        """Add to what stands beside the layers, all samples and steps together."""
        self.seen.add(name)
        if name in self.not_counted:
            return
        one = together(self.beside[name], one) if name in self.beside else one
        self.beside[name] = self.layers[name] = one

    def _enter(self, name: str, func: Callable[..., Any], given: dict[str, Any]) -> None:
        """Count what enters the layer of this name."""
        self.seen.add(name)
        if name in self.not_counted or name in self.no_rule:
            return
        x = given["input"].detach()
        if name not in self.layers:
            try:
                shape: Layer = layer(func, given)
                if isinstance(shape, Pooling) and self.spiking:
                    shape = replace(shape, currents=getattr(given["input"], "is_current", False))
                self.layers[name] = shape
            except InputError as error:
                self.no_rule[name] = str(error.passed)
                return
        if getattr(given["input"], "is_real", False):
            self.real.add(name)
        entered = self.layers[name]
        events = x != 0
        met = torch.zeros((), dtype=torch.int64, device=x.device)
        if isinstance(entered, Sliding):
            reach = _fan_out(entered, x.device)
            met = (events.flatten(0, -reach.dim() - 1).sum(0) * reach).sum()
        self.rows[name] = self.rows.get(name, 0) + x.numel() // entered.inputs
        self._count(name, torch.stack([events.sum(), met, (events & (x != 1)).sum()]))

    def _count(self, name: str, counts: Tensor) -> None:
        self.counts[name] = self.counts[name] + counts if name in self.counts else counts


@cache
def _fan_out(layer: Sliding, device: torch.device) -> Tensor:
    return torch.from_numpy(fan_out(layer)).to(device)


def _meet(tensors: list[Tensor]) -> bool:
    """Whether two branches are added: values that both come from layers or neurons."""
    return len(tensors) == 2 and all(getattr(one, "is_flow", False) for one in tensors)


def _flat(values: Any) -> list[Any]:
    """The values themselves, out of the lists and tuples that they are in."""
    if not isinstance(values, list | tuple):
        return [values]
    return [value for inner in values for value in _flat(inner)]
