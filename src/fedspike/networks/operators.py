"""The operations inside a network for which an engine may have a faster kernel.

A network's forward pass takes them as an argument. `PLAIN` is plain torch: what every other set must equal,
spikes and counts to the bit, gradients to rounding. Axes are [time, client, batch, neuron].
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from fedspike.parts.codes import Address, Code
from fedspike.parts.neurons import Learned, Neuron
from fedspike.parts.tensors import Flow, Frames, Present, Trains

Fired = tuple[Flow, Int64[Tensor, "client neuron"] | None]
"""Spikes and, where they were counted on the way, those of each neuron over the samples present."""
Images = Float[Tensor, "image row column"]


def encoded(code: Code, x: Frames, address: Address, time_steps: int) -> Trains:
    """The code's spikes, or what else it lets in."""
    return code.spikes(x, address, time_steps)


def fired(neuron: Neuron, currents: Flow, constants: Learned, present: Present) -> Fired:
    """The neurons' spikes, not counted."""
    del present
    return neuron.spikes(currents, constants), None


def averaged(images: Images, size: int) -> Float[Tensor, "image _row _column"]:
    """The mean of windows of size x size, which neither overlap nor leave anything over."""
    return _Average.apply(images, size)  # type: ignore[no-any-return,no-untyped-call]


@dataclass(frozen=True)
class Operators:
    """What a network is computed with: plain torch, but for what an engine puts in its place.

    `time_axis` is where `fired` wants time among a client's rows: 1 before the samples, 2 behind them.
    """

    encoded: Callable[[Code, Frames, Address, int], Trains] = encoded
    fired: Callable[[Neuron, Flow, Learned, Present], Fired] = fired
    averaged: Callable[[Images, int], Tensor] = averaged
    time_axis: Callable[[Neuron], int] = lambda _: 1


PLAIN = Operators()


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


def _places(images: Images, k: int) -> list[Tensor]:
    """Of each place in a window of k x k, the values of all windows; they are views."""
    return [images[..., i::k, j::k] for i in range(k) for j in range(k)]
