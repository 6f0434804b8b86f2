"""The operations inside a network for which an engine may have a faster kernel.

A network's forward pass takes them as an argument. `PLAIN` is plain torch: what every other set must equal,
spikes and counts to the bit, gradients to rounding. Axes are [time, client, batch, neuron].
"""

from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from fedspike.parts.codes import Address, Code
from fedspike.parts.neurons import Learned, Neuron


@runtime_checkable
class Operators(Protocol):
    """What a network is computed with."""

    def encoded(
        self,
        code: Code,
        x: Float[Tensor, "client batch *time pixel"],
        address: Address,
        time_steps: int,
    ) -> Float[Tensor, "time client batch pixel"]:
        """The code's spikes, or what else it lets in."""

    def fired(
        self,
        neuron: Neuron,
        currents: Float[Tensor, "time client batch neuron"],
        constants: Learned,
        present: Bool[Tensor, "client batch"],
    ) -> tuple[Float[Tensor, "time client batch neuron"], Int64[Tensor, "client neuron"] | None]:
        """The neurons' spikes and, where they were counted on the way, those of the samples present."""

    def averaged(
        self, images: Float[Tensor, "image row column"], size: int
    ) -> Float[Tensor, "image _row _column"]:
        """The mean of windows of size x size, which neither overlap nor leave anything over."""

    def time_axis(self, neuron: Neuron) -> int:
        """Where `fired` wants time among a client's rows: 1 before the samples, 2 behind them."""


class PlainTorch:
    """Every operation as its part has it."""

    def encoded(
        self,
        code: Code,
        x: Float[Tensor, "client batch *time pixel"],
        address: Address,
        time_steps: int,
    ) -> Float[Tensor, "time client batch pixel"]:
        """See `Operators`."""
        return code.spikes(x, address, time_steps)

    def fired(
        self,
        neuron: Neuron,
        currents: Float[Tensor, "time client batch neuron"],
        constants: Learned,
        present: Bool[Tensor, "client batch"],
    ) -> tuple[Float[Tensor, "time client batch neuron"], None]:
        """See `Operators`."""
        del present
        return neuron.spikes(currents, constants), None

    def averaged(
        self, images: Float[Tensor, "image row column"], size: int
    ) -> Float[Tensor, "image _row _column"]:
        """See `Operators`."""
        return _Average.apply(images, size)  # type: ignore[no-any-return,no-untyped-call]

    def time_axis(self, neuron: Neuron) -> int:
        """See `Operators`."""
        del neuron
        return 1


PLAIN = PlainTorch()


class _Average(torch.autograd.Function):
    """The mean of windows of k x k, place by place of the window."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, k: int) -> Tensor:
        ctx.k, ctx.shape = k, images.shape
        first, *others = _places(images, k)
        total = first.clone(memory_format=torch.contiguous_format)
        for place in others:
            total += place
        return total.div_(k * k)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        share = gradients[0] / (ctx.k * ctx.k)
        into_images = share.new_empty(ctx.shape)
        for place in _places(into_images, ctx.k):
            place.copy_(share)
        return into_images, None


def _places(images: Float[Tensor, "image row column"], k: int) -> list[Tensor]:
    """Of each place in a window of k x k, the values of all windows; they are views."""
    return [images[..., i::k, j::k] for i in range(k) for j in range(k)]
