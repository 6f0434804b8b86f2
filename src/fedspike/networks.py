"""One architecture, two twins: the conventional (ANN) and the spiking (SNN) network, and a baseline.

Both have the same parameters: same names, shapes, initial values and bytes on the wire. What differs is
what flows: real numbers once, or spikes over T time steps.

    ANN: x -> ReLU(W x + b) -> ... -> W x + b                   scores = values of the last layer
    SNN: s[t] -> LIF(W s[t] + b) -> ... -> LIF(W s[t] + b)      scores = spike counts of the last layer

The baseline is the ANN whose values have as few levels as the SNN's spike counts (QANN).

Every tensor of a network carries the clients as an axis: client k's samples meet client k's weights.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, Real
from torch import Tensor

from fedspike import kernels
from fedspike.encoding import Address, RateCode
from fedspike.errors import InputError
from fedspike.kernels import packed
from fedspike.kernels.packed import PackedSpikes
from fedspike.neurons import LIF

Parameters = dict[str, Tensor]


@dataclass(frozen=True)
class Forward:
    """What a forward pass returns.

    `events_in[layer][client]` is the exact number of events that entered the layer, over all time steps
    and all samples present: spikes, or for an ANN values that are not zero. `events_out` are the spikes
    that left the last layer; an ANN's scores are no events.
    """

    scores: Float[Tensor, "client batch class"]
    events_in: dict[str, Int64[Tensor, " client"]]
    events_out: Int64[Tensor, " client"]


@dataclass(frozen=True)
class Architecture:
    """Fully connected layers; `layers` counts neurons from the input to the classes.

    >>> architecture = Architecture((784, 100, 10))
    >>> architecture.names, architecture.parameters, architecture.synapses
    (('hidden', 'output'), 79510, 79400)
    """

    layers: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.layers) < 2 or min(self.layers) < 1:
            raise InputError(
                f"layers = {self.layers}",
                expected="an input and an output layer at least, each of one neuron or more",
                fix="the founding study's network is (784, 100, 10)",
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The layers that have weights, first to last."""
        hidden = len(self.layers) - 2
        inner = ("hidden",) if hidden == 1 else tuple(f"hidden{i + 1}" for i in range(hidden))
        return (*inner, "output")

    @property
    def sizes(self) -> dict[str, tuple[int, int]]:
        """Inputs and outputs of every layer that has weights."""
        return dict(
            zip(self.names, zip(self.layers[:-1], self.layers[1:], strict=True), strict=True)
        )

    @property
    def synapses(self) -> int:
        """Connections between neurons, sum of inputs x outputs."""
        return sum(inputs * outputs for inputs, outputs in self.sizes.values())

    @property
    def parameters(self) -> int:
        """Learned numbers: a weight per synapse and a bias per neuron."""
        return self.synapses + sum(self.layers[1:])

    def init(self, generator: np.random.Generator) -> Parameters:
        """Draw initial weights and biases, uniform on +-1/sqrt(inputs): the default of torch's Linear.

        Weights are `[outputs, inputs]`, biases `[outputs]`, float32.
        """
        parameters = {}
        for name, (inputs, outputs) in self.sizes.items():
            bound = inputs**-0.5
            for part, shape in (("weight", (outputs, inputs)), ("bias", (outputs,))):
                values = generator.uniform(-bound, bound, shape).astype(np.float32)
                parameters[f"{name}.{part}"] = torch.from_numpy(values)
        return parameters


@dataclass(frozen=True)
class ANN:
    """The conventional twin: ReLU layers, read once per sample."""

    architecture: Architecture

    def bytes_per_sample(self, device: str) -> int:
        """Memory of a training step, about: every value and its gradient."""
        del device
        return 8 * sum(self.architecture.layers)

    def nonzero(self, pixels: Float[Tensor, "*sample pixel"]) -> Int64[Tensor, "*sample"]:
        """How many values of each sample enter the first layer as events."""
        return (pixels != 0).sum(-1)

    def run(
        self,
        parameters: Parameters,
        pixels: Float[Tensor, "client batch pixel"],
        address: Address,
        present: Bool[Tensor, "client batch"] | None = None,
        nonzero: Int64[Tensor, "client batch"] | None = None,
    ) -> Forward:
        """From pixels to scores: the values of the output layer, before any softmax.

        Nothing is random here, so `address` is not used. `present` marks the samples that are real where
        a batch was padded; only they are counted. `nonzero` is `self.nonzero(pixels)`, for callers that
        show a sample more than once.
        """
        del address
        nonzero = self.nonzero(pixels) if nonzero is None else nonzero
        return _conventional(self.architecture, parameters, pixels, nonzero, present, torch.relu_)


@dataclass(frozen=True)
class QANN:
    """The ANN with quantised values: inputs and hidden values take 2^bits levels, weights stay as they are.

        q(v) = R/n round(n clip(v/R, 0, 1)),    n = 2^bits - 1
        dq/dv = 1 if 0 < v < R else 0           (straight-through: the rounding is left out)

    with R = 1 for pixels and R = `ceiling` for hidden values, where q stands in place of the ReLU. The
    baseline for an SNN of T time steps is the one of ceil(log2(T+1)) bits: a spike count has T+1 values.
    R is the same for all clients and rounds, so that an average of models means the same as the models;
    R = 4 was chosen among 1, 2, 4 and 8 on training images held out, at 10 and at 3 classes a client.

    Source: Yan, Bai, Wong, "Reconsidering the energy efficiency of spiking neural networks",
    arXiv:2409.08290, 2024, for the bits; quantiser and gradient: Zhou et al., "DoReFa-Net",
    arXiv:1606.06160, 2016, there with R = 1.
    """

    architecture: Architecture
    bits: int
    ceiling: float = 4.0

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 16:
            raise InputError(
                f"bits = {self.bits}",
                expected="a whole number from 1 to 16",
                fix="6 bits have as many levels as the spike counts of 50 time steps, and some",
            )
        if not 0 < self.ceiling < float("inf"):
            raise InputError(
                f"ceiling = {self.ceiling}", expected="a finite number > 0", fix="4.0 is usual"
            )

    def bytes_per_sample(self, device: str) -> int:
        """Memory of a training step, about: every value before and after rounding, and its gradient."""
        del device
        return 12 * sum(self.architecture.layers)

    def quantised(
        self, values: Float[Tensor, "*any"], ceiling: float | None = None
    ) -> Float[Tensor, "*any"]:
        """q of these hidden values; of pixels, with a `ceiling` of 1."""
        ceiling = self.ceiling if ceiling is None else ceiling
        return _Quantise.apply(values, 2**self.bits - 1, ceiling)  # type: ignore[no-any-return,no-untyped-call]

    def nonzero(self, pixels: Float[Tensor, "*sample pixel"]) -> Int64[Tensor, "*sample"]:
        """How many values of each sample enter the first layer as events: those not rounded to 0."""
        return (self.quantised(pixels, ceiling=1.0) != 0).sum(-1)

    def run(
        self,
        parameters: Parameters,
        pixels: Float[Tensor, "client batch pixel"],
        address: Address,
        present: Bool[Tensor, "client batch"] | None = None,
        nonzero: Int64[Tensor, "client batch"] | None = None,
    ) -> Forward:
        """From pixels to scores; see `ANN.run`."""
        del address
        nonzero = self.nonzero(pixels) if nonzero is None else nonzero
        inputs = self.quantised(pixels, ceiling=1.0)
        return _conventional(
            self.architecture, parameters, inputs, nonzero, present, self.quantised
        )


@dataclass(frozen=True)
class SNN:
    """The spiking twin: LIF layers, read for T time steps, answering with its spike counts."""

    architecture: Architecture
    neuron: LIF
    code: RateCode

    def bytes_per_sample(self, device: str) -> int:
        """Memory of a training step, about: pixels and their spikes as bits, or all as plain floats."""
        pixels, *neurons = self.architecture.layers
        steps = self.code.time_steps
        if device != "cpu" or not kernels.ACTIVE:
            return 12 * steps * (pixels + sum(neurons))
        return 4 * pixels + 8 * pixels * -(-steps // 64)

    def nonzero(self, pixels: Float[Tensor, "*sample pixel"]) -> None:
        """Nothing that could be known before: what enters the first layer is drawn anew each time."""
        del pixels

    def run(
        self,
        parameters: Parameters,
        pixels: Float[Tensor, "client batch pixel"],
        address: Address,
        present: Bool[Tensor, "client batch"] | None = None,
        nonzero: Int64[Tensor, "client batch"] | None = None,
    ) -> Forward:
        """From pixels to scores: encode, then `forward`; in compiled kernels where they are active.

        `present` marks the samples that are real where a batch was padded; only they are counted.
        `nonzero` is not used.
        """
        del nonzero
        if self.is_compiled_for(pixels):
            spikes = self.code.packed(pixels, address)
            if torch.is_grad_enabled():
                return self.packed_forward(parameters, spikes, present)
            return self._passed(parameters, spikes, present)[0]
        return self.forward(parameters, self.code.spikes(pixels, address), present)

    def is_compiled_for(self, pixels: Float[Tensor, "client batch pixel"]) -> bool:
        """Whether compiled kernels take these pixels; `learn` needs them."""
        return packed.can_take(pixels)

    def learn(
        self,
        parameters: Parameters,
        pixels: Float[Tensor, "client batch pixel"],
        address: Address,
        present: Bool[Tensor, "client batch"],
        targets: Float[Tensor, "client batch class"],
        slopes: Float[Tensor, "client batch"],
    ) -> tuple[Forward, Parameters]:
        """`run` and the gradients of a loss with dL/dscores = slopes (scores - targets), in compiled kernels.

        Autograd gives the same through `run`; here no membrane leaves the processor's cache.
        """
        spikes = self.code.packed(pixels, address)
        return self._passed(parameters, spikes, present, (targets, slopes))

    def _passed(
        self,
        parameters: Parameters,
        spikes: PackedSpikes,
        present: Bool[Tensor, "client batch"] | None,
        target: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Forward, Parameters]:
        names = self.architecture.names
        weights = [parameters[f"{name}.weight"] for name in names]
        biases = [parameters[f"{name}.bias"] for name in names]
        passed = self.neuron.packed_network(spikes, weights, biases, target)
        events = zip(names, passed.events, strict=True)
        events_in = {name: _count(seen, present) for name, seen in events}
        forward = _read_out(passed.scores, events_in, present)
        gradients: Parameters = {}
        if target is not None:
            for name, weight, bias in zip(
                names, passed.into_weights, passed.into_biases, strict=True
            ):
                gradients |= {f"{name}.weight": weight, f"{name}.bias": bias}
        return forward, gradients

    def forward(
        self,
        parameters: Parameters,
        spikes: Float[Tensor, "time client batch pixel"],
        present: Bool[Tensor, "client batch"] | None = None,
    ) -> Forward:
        """Scores are the output layer's spikes, summed over time."""
        events_in = {}
        for name in self.architecture.names:
            # Sums of 0s and 1s: exact in float32 over less than 2^24 neurons, then in int64.
            events_in[name] = _count(spikes.detach().sum(3).long().sum(0), present)
            # The weights do not change with time, so one product serves all time steps.
            rows = spikes.movedim(0, 1).flatten(1, 2)
            currents = _linear(parameters, name, rows)
            currents = currents.reshape(len(rows), len(spikes), -1, currents.shape[2])
            spikes = self.neuron.spikes(currents.movedim(1, 0))
        return _read_out(spikes.sum(0), events_in, present)

    def packed_forward(
        self,
        parameters: Parameters,
        spikes: PackedSpikes,
        present: Bool[Tensor, "client batch"] | None = None,
    ) -> Forward:
        """The same on spikes as bits, with gradients for whatever is done with the scores."""
        events_in = {}
        for name in self.architecture.names:
            events_in[name] = _count(spikes.counts().sum(2), present)
            weight, bias = parameters[f"{name}.weight"], parameters[f"{name}.bias"]
            spikes = self.neuron.packed(packed.linear(spikes, weight, bias))
        return _read_out(spikes.scores(), events_in, present)


Network = ANN | QANN | SNN


def _conventional(
    architecture: Architecture,
    parameters: Parameters,
    flow: Float[Tensor, "client batch pixel"],
    nonzero: Int64[Tensor, "client batch"],
    present: Bool[Tensor, "client batch"] | None,
    activation: Callable[[Tensor], Tensor],
) -> Forward:
    """Linear layers with an activation between them, whose values are 0 or more."""
    names, clients = architecture.names, len(flow)
    events_in = {names[0]: _count(nonzero, present)}
    if clients == 1:
        # A lone matrix product is cut among the threads, and its sums with it; of two, each has one.
        flow = flow.expand(2, *flow.shape[1:])
        parameters = {name: w.expand(2, *w.shape[1:]) for name, w in parameters.items()}
    for name, following in pairwise(names):
        flow = activation(_linear(parameters, name, flow))
        # Sums of 0s and 1s: exact in float32 over less than 2^24 neurons, then in int64.
        events_in[following] = _count(flow.detach()[:clients].sign().sum(2), present)
    scores = _linear(parameters, names[-1], flow)[:clients]
    return Forward(scores, events_in, torch.zeros_like(events_in[names[0]]))


def _linear(
    parameters: Parameters, name: str, rows: Float[Tensor, "client row input"]
) -> Float[Tensor, "client row output"]:
    weight, bias = parameters[f"{name}.weight"], parameters[f"{name}.bias"]
    return _Linear.apply(rows, weight, bias)  # type: ignore[no-any-return,no-untyped-call]


class _Linear(torch.autograd.Function):
    """Rows times weight plus bias. Unlike torch's, its gradient of the weight is laid out like the weight."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(rows, weight)
        return torch.baddbmm(bias.unsqueeze(1), rows, weight.mT)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        (delta,) = gradients
        rows, weight = ctx.saved_tensors
        into_rows = torch.bmm(delta, weight) if ctx.needs_input_grad[0] else None
        return into_rows, torch.bmm(delta.mT, rows), delta.sum(1)


class _Quantise(torch.autograd.Function):
    """To the nearest of n + 1 levels from 0 to R; the gradient passes where nothing was clipped."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, n: int, ceiling: float) -> Tensor:
        ctx.save_for_backward((values > 0) & (values < ceiling))
        return values.div(ceiling).clamp_(0, 1).mul_(n).round_().mul_(ceiling / n)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (passed,) = ctx.saved_tensors
        return gradients[0] * passed, None, None


def _read_out(
    counts: Float[Tensor, "client batch class"],
    events_in: dict[str, Int64[Tensor, " client"]],
    present: Bool[Tensor, "client batch"] | None,
) -> Forward:
    """Spike counts are the scores, and all of them together the spikes that left the last layer."""
    return Forward(counts, events_in, _count(counts.detach().sum(2), present))


def _count(
    per_sample: Real[Tensor, "client batch"], present: Bool[Tensor, "client batch"] | None
) -> Int64[Tensor, " client"]:
    """Events per client, of the samples present."""
    present_ones = per_sample if present is None else per_sample * present
    return present_ones.sum(1, dtype=torch.int64)
