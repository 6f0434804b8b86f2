"""The conventional twin and its quantised form.

x -> ReLU(W x + b) -> ... -> W x + b        scores = values of the last layer
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fedspike.energy import counts
from fedspike.engine import packed, passes
from fedspike.engine.passes import Wanted
from fedspike.errors import InputError
from fedspike.layers.shapes import Layer
from fedspike.networks.architecture import Architecture, Parameters
from fedspike.networks.batch import Batch, Forward, Learned, entered
from fedspike.networks.convolutional import Convolutional
from fedspike.networks.synapses import through


@dataclass(frozen=True)
class ANN:
    """The conventional twin: ReLU layers, read once per sample."""

    architecture: Architecture | Convolutional

    def init(self, generator: np.random.Generator) -> Parameters:
        """Initial weights and biases; see `Architecture.init`."""
        return self.architecture.init(generator)

    @property
    def described(self) -> Mapping[str, Layer]:
        """The layers from input to output, as the energy bill has them."""
        return self.architecture.described

    def billed(self) -> counts.Network:
        """The network as `energy.counts.count` takes it."""
        return counts.Network(self.described)

    def takes(self, pixels: int) -> bool:
        """Whether samples of so many numbers fit."""
        return pixels == self.architecture.layers[0]

    def passes(self, batch: Batch) -> bool:
        """Whether `compiled` takes this batch."""
        return isinstance(self.architecture, Architecture) and packed.can_take(batch.pixels)

    def bytes_per_sample(self, device: str) -> int:
        """Memory of a training step, about: every value and its gradient; compiled, next to nothing."""
        if isinstance(self.architecture, Architecture) and packed.computes_on(device):
            return 0
        return 8 * sum(self.architecture.layers)

    def run(self, parameters: Parameters, batch: Batch) -> Forward:
        """From pixels to scores: the values of the output layer, before any softmax."""
        if self.passes(batch) and not torch.is_grad_enabled():
            return self.compiled(parameters, batch).forward
        return _forward(self.architecture, parameters, batch.x, batch.present, torch.relu_)

    def compiled(
        self, parameters: Parameters, batch: Batch, wanted: Wanted | None = None
    ) -> Learned:
        """`run` in compiled kernels and, if something is `wanted`, its losses and gradients too."""
        assert isinstance(self.architecture, Architecture)  # see `passes`
        layers = self.architecture.stacked(parameters)
        passed = passes.conventional(batch.pixels, batch.positions, layers, wanted)
        events_in = dict(zip(self.architecture.names, passed.events, strict=True))
        forward = Forward(
            passed.scores, events_in, torch.zeros(len(batch.positions), dtype=torch.int64)
        )
        return Learned(forward, passed.losses, self.architecture.named(passed.gradients))


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

    architecture: Architecture | Convolutional
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

    def init(self, generator: np.random.Generator) -> Parameters:
        """Initial weights and biases; see `Architecture.init`."""
        return self.architecture.init(generator)

    @property
    def described(self) -> Mapping[str, Layer]:
        """The layers from input to output, as the energy bill has them."""
        return self.architecture.described

    def billed(self) -> counts.Network:
        """The network as `energy.counts.count` takes it."""
        return counts.Network(self.described)

    def takes(self, pixels: int) -> bool:
        """Whether samples of so many numbers fit."""
        return pixels == self.architecture.layers[0]

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

    def run(self, parameters: Parameters, batch: Batch) -> Forward:
        """From pixels to scores; see `ANN.run`."""
        inputs = self.quantised(batch.x, ceiling=1.0)
        return _forward(self.architecture, parameters, inputs, batch.present, self.quantised)


def _forward(
    architecture: Architecture | Convolutional,
    parameters: Parameters,
    flow: Float[Tensor, "client batch pixel"],
    present: Bool[Tensor, "client batch"],
    activation: Callable[[Tensor], Tensor],
) -> Forward:
    """Layers one after the other, an activation behind all with weights but the last; its values are >= 0."""
    clients, shown, by_input = len(flow), present.to(flow.dtype), {}
    if clients == 1 and isinstance(architecture, Architecture):
        # A lone matrix product is cut among the threads, and its sums with it; of two, each has one.
        flow = flow.expand(2, *flow.shape[1:])
        parameters = {name: w.expand(2, *w.shape[1:]) for name, w in parameters.items()}
    inner = architecture.names[:-1]
    for name, layer in architecture.described.items():
        by_input[name] = entered(flow[:clients], shown)
        flow = through(layer, name, parameters, flow)
        if name in inner:
            flow = activation(flow)
    none_left = torch.zeros(clients, dtype=torch.int64, device=flow.device)
    return Forward.counted(flow[:clients], architecture.described, by_input, none_left)


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
