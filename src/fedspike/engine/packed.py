"""Spikes as bits, and the event-driven operators on them.

Each is equal to a plain-torch function, `fire` to `LIF.spikes` and `average` to a pool, gradients included.
Inside this room the axes are [client, batch, time, neuron], in which order the kernels walk through memory.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from fedspike import engine
from fedspike.parts.tensors import Flow, Present


@dataclass(frozen=True)
class PackedSpikes:
    """Spikes of one layer, 64 time steps to a word.

    Bit t % 64 of `trains[client, batch, neuron, t // 64]` says whether the neuron fires at step t < `steps`.
    """

    trains: Int64[Tensor, "client batch neuron word"]
    steps: int

    def dense(self) -> Flow:
        """The same spikes as 0.0 and 1.0."""
        bits = np.unpackbits(self.trains.numpy().view(np.uint8), axis=3, bitorder="little")
        return torch.from_numpy(bits[..., : self.steps].astype(np.float32)).movedim(3, 0)


def words(spikes: Bool[Tensor, "*place time"]) -> Int64[Tensor, "*place word"]:
    """Spike trains as bits, as `PackedSpikes` has them."""
    padded = torch.nn.functional.pad(spikes, (0, -spikes.shape[-1] % 64))
    bits = np.packbits(padded.contiguous().numpy(), axis=-1, bitorder="little")
    return torch.from_numpy(bits.view(np.int64))


def fire(
    currents: Float[Tensor, "client batch time neuron"], present: Present, neuron: Any
) -> tuple[Float[Tensor, "client batch time neuron"], Int64[Tensor, "client neuron"]]:
    """The LIF recurrence of `compiled.Neuron` through all time steps from rest.

    Spikes, 0.0 and 1.0, and how many each neuron fires over the samples present.
    """
    return _Fire.apply(currents, present, neuron)  # type: ignore[no-any-return,no-untyped-call]


def average(
    images: Float[Tensor, "image row column"], size: int
) -> Float[Tensor, "image _row _column"]:
    """The mean of windows of size x size, which neither overlap nor leave anything over."""
    return _Average.apply(images, size)  # type: ignore[no-any-return,no-untyped-call]


def array(tensor: Tensor) -> np.ndarray:
    """The numbers of a tensor as the kernels take them."""
    numbers: np.ndarray = tensor.detach().contiguous().numpy()
    return numbers


class _Fire(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, currents: Tensor, present: Tensor, neuron: Any) -> tuple[Tensor, Tensor]:
        membrane, spikes = torch.empty_like(currents), torch.empty_like(currents)
        counts = torch.empty(len(currents), currents.shape[3], dtype=torch.int64)
        engine.kernels.fire(
            array(currents),
            present.numpy(),
            neuron,
            membrane.numpy(),
            spikes.numpy(),
            counts.numpy(),
            torch.get_num_threads(),
        )
        ctx.neuron = neuron
        ctx.save_for_backward(membrane)
        ctx.mark_non_differentiable(counts)
        return spikes, counts

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (membrane,) = ctx.saved_tensors
        into_currents = torch.empty_like(membrane)
        engine.kernels.fire_adjoint(
            membrane.numpy(),
            array(gradients[0]),
            ctx.neuron,
            into_currents.numpy(),
            torch.get_num_threads(),
        )
        return into_currents, None, None


class _Average(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, size: int) -> Tensor:
        ctx.shape, ctx.size = images.shape, size
        means = torch.empty(len(images), images.shape[1] // size, images.shape[2] // size)
        engine.kernels.average(array(images), size, means.numpy(), torch.get_num_threads())
        return means

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        into_images = torch.empty(ctx.shape)
        engine.kernels.average_adjoint(
            array(gradients[0]), ctx.size, into_images.numpy(), torch.get_num_threads()
        )
        return into_images, None
