"""Spikes as bits, and the event-driven operators on them.

Each is equal to a plain-torch function: `rate` to `Rate.spikes`, `lookup` to the `spikes` of the codes
without randomness, `fire` to `LIF.spikes`, `average` to a pool; the last two are torch custom operators with
gradients. Inside this room the axes are [client, batch, time, neuron], the order in which the kernels walk
through memory.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from fedspike.engine import compiled


@dataclass(frozen=True)
class PackedSpikes:
    """Spikes of one layer, 64 time steps to a word.

    Bit t % 64 of `trains[client, batch, neuron, t // 64]` says whether the neuron fires at step t < `steps`.
    """

    trains: Int64[Tensor, "client batch neuron word"]
    steps: int

    def dense(self) -> Float[Tensor, "time client batch neuron"]:
        """The same spikes as 0.0 and 1.0."""
        bits = np.unpackbits(self.trains.numpy().view(np.uint8), axis=3, bitorder="little")
        return torch.from_numpy(bits[..., : self.steps].astype(np.float32)).movedim(3, 0)


def rate(
    pixels: Float[Tensor, "client batch pixel"],
    key: tuple[int, int],
    round: int,
    clients: tuple[int, ...],
    first_samples: tuple[int, ...],
    time_steps: int,
) -> PackedSpikes:
    """The rate code's spikes for the address given by `key`, `round`, `clients` and `first_samples`."""
    count, batch, size = pixels.shape
    trains = _empty(count, batch, size, time_steps)
    compiled.rate(
        array(pixels),
        *key,
        round,
        np.array(clients, np.int64),
        np.array(first_samples, np.int64),
        time_steps,
        trains.numpy(),
        torch.get_num_threads(),
    )
    return PackedSpikes(trains, time_steps)


def lookup(
    pixels: Float[Tensor, "client batch pixel"],
    table: Int64[Tensor, "65536 word"],
    time_steps: int,
) -> PackedSpikes:
    """The trains that a table holds for each level q = floor(65535 x + 1/2) of a pixel x."""
    clients, batch, size = pixels.shape
    trains = _empty(clients, batch, size, time_steps)
    compiled.lookup(
        array(pixels), table.numpy(), time_steps, trains.numpy(), torch.get_num_threads()
    )
    return PackedSpikes(trains, time_steps)


def words(spikes: Bool[Tensor, "*place time"]) -> Int64[Tensor, "*place word"]:
    """Spike trains as bits, as `PackedSpikes` has them."""
    padded = torch.nn.functional.pad(spikes, (0, -spikes.shape[-1] % 64))
    bits = np.packbits(padded.contiguous().numpy(), axis=-1, bitorder="little")
    return torch.from_numpy(bits.view(np.int64))


def fire(
    currents: Float[Tensor, "client batch time neuron"],
    present: Bool[Tensor, "client batch"],
    beta: float,
    threshold: float,
    reset: str,
) -> tuple[Float[Tensor, "client batch time neuron"], Int64[Tensor, "client neuron"]]:
    """The LIF recurrence through all time steps from rest.

    Spikes, 0.0 and 1.0, and how many each neuron fires over the samples present.
    """
    spikes, counts, _ = _operators.fire(currents, present, beta, threshold, reset)
    return spikes, counts


def average(
    images: Float[Tensor, "image row column"], size: int
) -> Float[Tensor, "image _row _column"]:
    """The mean of windows of size x size, which neither overlap nor leave anything over."""
    means: Tensor = _operators.average(images, size)
    return means


def array(tensor: Tensor) -> np.ndarray:
    """The numbers of a tensor as the kernels take them."""
    numbers: np.ndarray = tensor.detach().contiguous().numpy()
    return numbers


def _empty(clients: int, batch: int, neurons: int, steps: int) -> Tensor:
    return torch.empty(clients, batch, neurons, -(-steps // 64), dtype=torch.int64)


def _fire(
    currents: Tensor, present: Tensor, beta: float, threshold: float, reset: str
) -> tuple[Tensor, Tensor, Tensor]:
    membrane, spikes = torch.empty_like(currents), torch.empty_like(currents)
    counts = torch.empty(len(currents), currents.shape[3], dtype=torch.int64)
    compiled.fire(
        array(currents),
        present.numpy(),
        (beta, threshold, reset),
        membrane.numpy(),
        spikes.numpy(),
        counts.numpy(),
        torch.get_num_threads(),
    )
    return spikes, counts, membrane


def _fire_setup(ctx, inputs, output):  # type: ignore[no-untyped-def]
    ctx.neuron = inputs[2:]
    ctx.save_for_backward(output[2])


def _fire_backward(ctx, into_spikes, _counts, _membrane):  # type: ignore[no-untyped-def]
    (membrane,) = ctx.saved_tensors
    gradient = torch.empty_like(membrane)
    compiled.fire_adjoint(
        array(membrane),
        array(into_spikes),
        ctx.neuron,
        gradient.numpy(),
        torch.get_num_threads(),
    )
    return gradient, None, None, None, None


def _average(images: Tensor, size: int) -> Tensor:
    means = torch.empty(len(images), images.shape[1] // size, images.shape[2] // size)
    compiled.average(array(images), size, means.numpy(), torch.get_num_threads())
    return means


def _average_setup(ctx, inputs, output):  # type: ignore[no-untyped-def]  # noqa: ARG001
    images, ctx.size = inputs
    ctx.shape = images.shape


def _average_backward(ctx, into_means):  # type: ignore[no-untyped-def]
    into_images = torch.empty(ctx.shape)
    compiled.average_adjoint(
        array(into_means), ctx.size, into_images.numpy(), torch.get_num_threads()
    )
    return into_images, None


# Piece by piece: torch.library.custom_op does the same but spends a second on importing a compiler.
_library: Any = torch.library.Library("fedspike", "DEF")  # type: ignore[no-untyped-call]
for _signature, _forward, _backward, _setup in (
    (
        "fire(Tensor currents, Tensor present, float beta, float threshold, str reset)"
        " -> (Tensor, Tensor, Tensor)",
        _fire,
        _fire_backward,
        _fire_setup,
    ),
    ("average(Tensor images, int size) -> Tensor", _average, _average_backward, _average_setup),
):
    _name = _signature.partition("(")[0]
    _library.define(_signature)
    _library.impl(_name, _forward, "CPU")
    torch.library.register_autograd(
        f"fedspike::{_name}", _backward, setup_context=_setup, lib=_library
    )
_operators = torch.ops.fedspike
