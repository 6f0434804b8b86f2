"""The conventional twin and its quantised form.

x -> ReLU(W x + b) -> ... -> W x + b        scores = values of the last layer
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fedspike.errors import InputError
from fedspike.kernels import packed, passes
from fedspike.kernels.passes import Wanted
from fedspike.networks.architecture import Architecture, Parameters
from fedspike.networks.batch import Batch, Forward, Learned, count


@dataclass(frozen=True)
class ANN:
    """The conventional twin: ReLU layers, read once per sample."""

    architecture: Architecture

    def init(self, generator: np.random.Generator) -> Parameters:
        """Initial weights and biases; see `Architecture.init`."""
        return self.architecture.init(generator)

    def takes(self, pixels: int) -> bool:
        """Whether samples of so many numbers fit."""
        return pixels == self.architecture.layers[0]

    def passes(self, batch: Batch) -> bool:
        """Whether `compiled` takes this batch."""
        return packed.can_take(batch.pixels)

    def bytes_per_sample(self, device: str) -> int:
        """Memory of a training step, about: every value and its gradient; compiled, next to nothing."""
        return 0 if packed.computes_on(device) else 8 * sum(self.architecture.layers)

    def run(self, parameters: Parameters, batch: Batch) -> Forward:
        """From pixels to scores: the values of the output layer, before any softmax."""
        if self.passes(batch) and not torch.is_grad_enabled():
            return self.compiled(parameters, batch).forward
        return _forward(self.architecture, parameters, batch.x, batch.present, torch.relu_)

    def compiled(
        self, parameters: Parameters, batch: Batch, wanted: Wanted | None = None
    ) -> Learned:
        """`run` in compiled kernels and, if something is `wanted`, its losses and gradients too."""
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

    def init(self, generator: np.random.Generator) -> Parameters:
        """Initial weights and biases; see `Architecture.init`."""
        return self.architecture.init(generator)

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
    architecture: Architecture,
    parameters: Parameters,
    flow: Float[Tensor, "client batch pixel"],
    present: Bool[Tensor, "client batch"],
    activation: Callable[[Tensor], Tensor],
) -> Forward:
    """Linear layers with an activation between them, whose values are 0 or more."""
    names, clients = architecture.names, len(flow)
    events_in = {names[0]: count((flow != 0).sum(2), present)}
    if clients == 1:
        # A lone matrix product is cut among the threads, and its sums with it; of two, each has one.
        flow = flow.expand(2, *flow.shape[1:])
        parameters = {name: w.expand(2, *w.shape[1:]) for name, w in parameters.items()}
    for name, following in pairwise(names):
        flow = activation(linear(parameters, name, flow))
        # Sums of 0s and 1s: exact in float32 over less than 2^24 neurons, then in int64.
        events_in[following] = count(flow.detach()[:clients].sign().sum(2), present)
    scores = linear(parameters, names[-1], flow)[:clients]
    return Forward(scores, events_in, torch.zeros_like(events_in[names[0]]))


def linear(
    parameters: Parameters, name: str, rows: Float[Tensor, "client row input"]
) -> Float[Tensor, "client row output"]:
    """A layer's product with its weight, plus its bias."""
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
