"""A spiking network one time step after the other: of the past it keeps membranes and traces, no more.

    a[t] = U[t] of neurons that only leak and add, with what enters the layer as their current

is the trace of a layer's inputs: for LIF neurons a[t] = beta*a[t-1] + s[t]. As dU_j[t]/dW_ji = a_i[t] for as
long as no reset is differentiated, the gradient of the weights at a step is that of the membranes times the
trace, where in a network without time it is times the inputs. A bias is the weight of an input that is always
1. What is kept has no gradient, so that autograd sees the present step alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from fedspike.errors import InputError
from fedspike.layers.shapes import Convolution, Layer, Pool
from fedspike.networks.batch import Batch, Forward, count, entered
from fedspike.networks.operators import PLAIN
from fedspike.networks.sized_layers import Parameters
from fedspike.networks.synapses import Made, Rows, product, through
from fedspike.part import Part
from fedspike.parts.codes import Address, Code
from fedspike.parts.neurons import Kept, Neuron
from fedspike.parts.read_outs import ReadOut
from fedspike.parts.tensors import Now, Scores


@dataclass(frozen=True)
class Step:
    """A time step of the layers that have weights, by their names: all but the traces with gradients."""

    currents: dict[str, Now]
    flow: dict[str, Now]  # spikes; membranes where these are read out
    traces: dict[str, Rows]
    trace_of_bias: float  # of an input that is always 1


@dataclass
class Steps:
    """The steps of one pass; `scores` then has what was seen on the way.

    With layers `apart` no gradient passes from one to the one before it.
    """

    network: Any
    parameters: Parameters
    batch: Batch
    apart: bool
    _membranes: dict[str, Kept] = field(default_factory=dict)
    _past: dict[str, Kept] = field(default_factory=dict)
    _ones: Kept = field(default_factory=dict)
    _entered: dict[str, Tensor] = field(default_factory=dict)
    _left: Tensor | None = None

    def __iter__(self) -> Iterator[Step]:
        """From rest to the last step."""
        network, T = self.network, self.network.time_steps
        weights = network.code.step_weights(T)
        spikes = network.code.steps(network.shown(self.batch), self.batch.address, T)
        for t, now in enumerate(spikes):
            yield self._step(now if weights is None else now * weights[t], t)

    def forward(self, scores: Scores) -> Forward:
        """What the pass was."""
        assert self._left is not None
        left = self._left * self.network.read_out.spiking
        return Forward.counted(scores, self.network.described, self._entered, left)

    def _step(self, rows: Rows, t: int) -> Step:
        network, present = self.network, self.batch.present
        shown, first = present.to(rows.dtype), network.architecture.names[0]
        one, self._ones = network.neuron.leaks(self._ones, torch.ones(1, 1, 1, dtype=torch.float64))
        step = Step({}, {}, {}, float(one))
        for name, layer in network.architecture.described.items():
            if network.code.binary or t == 0 or name != first:  # what is constant enters once
                _add(self._entered, name, entered(rows, shown))
            if isinstance(layer, Pool):
                rows = through(layer, name, self.parameters, rows, PLAIN)
                continue
            if self.apart:
                rows = rows.detach()
            trace, past = network.neuron.leaks(self._past.get(name, {}), rows.detach())
            current = traced(layer, name, self.parameters, rows, trace, step.trace_of_bias)
            neurons = network.neuron.fires if network.fires(name) else network.neuron.leaks
            rows, kept = neurons(self._membranes.get(name, {}), current)
            self._past[name] = past
            self._membranes[name] = {symbol: value.detach() for symbol, value in kept.items()}
            step.currents[name], step.flow[name], step.traces[name] = current, rows, trace
        left = count(rows.detach().sum(2).long(), present)
        self._left = left if self._left is None else self._left + left
        return step


def _add(counts: dict[str, Tensor], name: str, more: Tensor) -> None:
    counts[name] = counts[name] + more if name in counts else more


def traced(
    layer: Layer, name: str, parameters: Parameters, rows: Rows, trace: Rows, trace_of_bias: float
) -> Made:
    """What comes out of a layer with weights, whose gradients are those with the trace as its input."""
    weight, bias = parameters[f"{name}.weight"], parameters[f"{name}.bias"]
    return _Traced.apply(rows, weight, bias, trace, trace_of_bias, layer)  # type: ignore[no-any-return,no-untyped-call]


class _Traced(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        rows, weight, bias, trace, ctx.trace_of_bias, ctx.layer = inputs
        ctx.save_for_backward(trace, weight)
        return through(ctx.layer, "", {".weight": weight, ".bias": bias}, rows, PLAIN)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (delta,), (trace, weight) = gradients, ctx.saved_tensors
        wanted = ctx.needs_input_grad[0]
        if isinstance(ctx.layer, Convolution):
            slopes = [
                _convolved(ctx.layer, *own, wanted)
                for own in zip(delta, trace, weight, strict=True)
            ]
            into_rows, into_weight, into_bias = (
                None if made[0] is None else torch.stack(made) for made in zip(*slopes, strict=True)
            )
        else:
            into_rows = product(delta, weight) if wanted else None
            into_weight = product(delta.mT, trace)
            into_bias = product(delta.new_ones(len(delta), 1, delta.shape[1]), delta).squeeze(1)
        return into_rows, into_weight, into_bias * ctx.trace_of_bias, None, None, None


def _convolved(
    layer: Convolution, delta: Tensor, trace: Tensor, kernels: Tensor, wanted: bool
) -> tuple[Tensor | None, Tensor, Tensor]:
    """Of one client: the gradients of rows, if they are wanted, of kernels and of biases."""
    into_rows, into_kernels, into_bias = torch.ops.aten.convolution_backward(
        delta.reshape(len(delta), layer.out_channels, *layer.out_size),
        trace.reshape(len(trace), layer.in_channels, layer.height, layer.width),
        kernels,
        [layer.out_channels],
        [layer.stride, layer.stride],
        [layer.padding, layer.padding],
        [1, 1],
        False,
        [0, 0],
        layer.groups,
        [wanted, True, True],
    )
    return into_rows.flatten(1) if wanted else None, into_kernels, into_bias


def demand_steps(code: Code, neuron: Neuron, read_out: ReadOut, time_steps: int) -> None:
    """Raise InputError where a part has no steps, or where they are not those of all steps together."""
    if constants := [*neuron.initial(1)]:
        key = f"learn_{constants[0]}"
        fixed = f'{key} = "no"' if hasattr(neuron, key) else "take neurons of another kind"
        raise InputError(
            f"a learned {constants[0]} of {type(neuron).__name__}",
            expected="fixed constants: step by step, weights and biases are learned",
            fix=f"{fixed}, or learn by backpropagation",
            keys=(key, "learner"),
        )
    flow = torch.linspace(-1, 4, time_steps * 8).reshape(time_steps, 1, 2, 4)
    for wanted, step in (
        (neuron.spikes(flow), neuron.fires),
        (neuron.membrane(flow), neuron.leaks),
    ):
        made, kept = [], dict[str, Tensor]()
        for current in flow:
            one, kept = step(kept, current)
            made.append(one)
        _demand_same(neuron, torch.stack(made), wanted)
    pixels = torch.linspace(0, 1, 8).reshape(1, 2, 4)
    address = Address(seed=0, purpose="encode", round=1, clients=(0,), first_samples=(0,))
    if not code.moving:
        shown = torch.stack(list(code.steps(pixels, address, time_steps)))
        _demand_same(code, shown, code.spikes(pixels, address, time_steps))
    flow = flow.clamp(0, 1).round()
    shares = [read_out.share(now, t, time_steps) for t, now in enumerate(flow)]
    _demand_same(read_out, torch.stack(shares).sum(0), read_out.scores(flow))


def _demand_same(part: Part, made: Tensor, wanted: Tensor) -> None:
    if not torch.allclose(made, wanted, atol=1e-4):  # sums in another order
        raise InputError(
            f"{type(part).__name__}, whose steps one by one are others than all at once",
            expected="the same numbers, for whoever learns step by step",
            fix=f"write the step of {type(part).__name__}, too, or learn by backpropagation",
            keys=("learner", part.kind),
        )
