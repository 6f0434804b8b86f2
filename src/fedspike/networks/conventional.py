"""Conventional networks: of plain values (ANN), and of quantised ones (QANN).

x -> ReLU(W x + b) -> ... -> W x + b        scores = values of the last layer
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import msgspec
import numpy as np
import torch
from jaxtyping import Float
from msgspec import Meta
from torch import Tensor

from fedspike.errors import InputError
from fedspike.layers.operations import NetworkOperations
from fedspike.networks.architecture import Architecture, FullyConnected
from fedspike.networks.batch import Batch, Forward, entered
from fedspike.networks.dropout import factors
from fedspike.networks.layer_operations import conventional
from fedspike.networks.network import Network, SizedNetwork
from fedspike.networks.operators import PLAIN, Operators
from fedspike.networks.sized_layers import Layers, Parameters
from fedspike.networks.synapses import through

MOST_BITS = 16


class ANN(Network, tag="ann"):
    """The conventional twin: ReLU layers, read once per sample."""

    architecture: Architecture = FullyConnected()

    def over(self, shape: tuple[int, ...], classes: int) -> "ConventionalNetwork":
        """The network for samples of this shape; raises InputError where they do not fit."""
        return ConventionalNetwork(self.architecture.over(shape, classes))


class QANN(Network, tag="qann"):
    """The ANN with quantised values: inputs and hidden values take 2^bits levels, weights stay as they are.

        q(v) = R/n round(n clip(v/R, 0, 1)),    n = 2^bits - 1
        dq/dv = 1 if 0 < v < R else 0           (straight-through: the rounding is left out)

    with R = 1 for pixels and R = `ceiling` for hidden values, where q stands in place of the ReLU. The
    baseline for an SNN of T time steps is the one of ceil(log2(T+1)) bits, `bits` = "auto": a spike count has
    T+1 values. `time_steps` is then that T.
    R is the same for all clients and rounds, so that an average of models means the same as the models;
    R = 4 was chosen among 1, 2, 4 and 8 on training images held out, at 10 and at 3 classes a client.

    Source: Yan, Bai, Wong, "Reconsidering the energy efficiency of spiking neural networks",
    arXiv:2409.08290, 2024, for the bits; quantiser and gradient: Zhou et al., "DoReFa-Net",
    arXiv:1606.06160, 2016, there with R = 1.
    """

    architecture: Architecture = FullyConnected()
    bits: Annotated[
        Annotated[int, Meta(ge=1, le=16)] | Literal["auto"],
        Meta(description="of inputs and hidden values; auto: ceil(log2(T + 1))"),
    ] = "auto"
    ceiling: Annotated[float, Meta(gt=0, description="hidden values are clipped there")] = 4.0
    time_steps: Annotated[
        Annotated[int, Meta(ge=1, lt=2**31)] | None,
        Meta(description="T of the spiking network beside it; that of [snn], else 50"),
    ] = None

    in_names: ClassVar[tuple[str, ...]] = ("bits",)

    def check(self) -> None:
        """Count the bits; raises InputError where there would be more than 16."""
        bits, steps = self.bits, self.time_steps or 50
        if bits == "auto":
            bits = steps.bit_length()
        if bits > MOST_BITS:
            raise InputError(
                f"QANN: time_steps = {steps}, as many levels as their spike counts",
                expected=f"at most {MOST_BITS} bits",
                fix=f"set bits = {MOST_BITS}, or fewer time steps",
                keys=("time_steps", "bits"),
            )
        msgspec.structs.force_setattr(self, "bits", bits)
        msgspec.structs.force_setattr(self, "time_steps", None)

    def over(self, shape: tuple[int, ...], classes: int) -> "ConventionalNetwork":
        """The network for samples of this shape; raises InputError where they do not fit."""
        quantiser = Quantiser(int(self.bits), self.ceiling)
        return ConventionalNetwork(self.architecture.over(shape, classes), quantiser)


@dataclass(frozen=True)
class Quantiser:
    """Values to the nearest of 2^bits levels from 0 to a ceiling; see `QANN`."""

    bits: int
    ceiling: float = 4.0

    def __call__(
        self, values: Float[Tensor, "*any"], ceiling: float | None = None
    ) -> Float[Tensor, "*any"]:
        """q of these hidden values; of pixels, with a `ceiling` of 1."""
        ceiling = self.ceiling if ceiling is None else ceiling
        return _Quantise.apply(values, 2**self.bits - 1, ceiling)  # type: ignore[no-any-return,no-untyped-call]


@dataclass(frozen=True)
class ConventionalNetwork(SizedNetwork):
    """A conventional network that runs; with a quantiser inputs and hidden values have few levels."""

    architecture: Layers
    quantiser: Quantiser | None = None
    amplification: float = 1.0

    def narrowed(self, width: float, amplification: float = 1.0) -> "ConventionalNetwork":
        """The same network with the share `width` of each hidden layer."""
        narrow = self.architecture.narrowed(width)
        return replace(self, architecture=narrow, amplification=amplification)

    @property
    def signed(self) -> bool:
        """A quantiser clips what is below 0."""
        return self.quantiser is None

    def demand_representations(self) -> None:
        """Nothing: they are known."""

    def init(self, generator: np.random.Generator) -> Parameters:
        """Initial weights and biases; see `Layers.init`."""
        return self.architecture.init(generator)

    def operations(self) -> NetworkOperations:
        """What a device does for it; quantising a value is in the write of it."""
        return conventional(self.described)

    @property
    def samples_in_cache(self) -> int | None:
        """Samples that are computed at once, so that layers stay in a cache; None: the whole batch."""
        return self.architecture.samples_in_cache(time_steps=1)

    @property
    def bytes_per_sample(self) -> int:
        """Memory of a training step, about: every value and its gradient; before and after rounding."""
        return (8 if self.quantiser is None else 12) * sum(self.architecture.layers)

    @property
    def bytes_at_peak(self) -> int:
        """Of convolutions beside all values what the largest layer takes while its gradients are made.

        Measured: 4 times its values, those of oneDNN's own order among them, and half of it with a quantiser.
        """
        if self.samples_in_cache is None:  # no convolution
            return self.bytes_per_sample
        largest = (4 if self.quantiser is None else 2) * max(self.architecture.layers)
        return 4 * (sum(self.architecture.layers) + largest)

    def run(self, parameters: Parameters, batch: Batch, operators: Operators = PLAIN) -> Forward:
        """From pixels to scores: the values of the output layer, before any softmax.

        Layers one after the other, ReLU or the quantiser behind all with weights but the last.
        """
        flow, present, parameters = batch.x, batch.present, self.amplified(parameters)
        activation: Callable[[Tensor], Tensor] = torch.relu_
        if self.quantiser is not None:
            flow, activation = self.quantiser(flow, ceiling=1.0), self.quantiser
        clients, shown, by_input = len(flow), present.to(flow.dtype), {}
        inner, stays = self.architecture.names[:-1], factors(batch, self.described, 1)
        for name, layer in self.architecture.described.items():
            last_input = flow
            by_input[name] = entered(flow, shown)
            flow = through(layer, name, parameters, flow, operators)
            if name in inner:
                flow = activation(flow)
            if name in stays:
                flow = flow * stays[name][0]
        none_left = torch.zeros(clients, dtype=torch.int64, device=flow.device)
        return Forward.counted(flow, self.described, by_input, none_left, last_input=last_input)


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
