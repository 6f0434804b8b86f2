"""The rate code: the brighter a pixel, the more often it spikes, at random."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Annotated

import numpy as np
import torch
from jaxtyping import UInt64
from msgspec import Meta

from fedspike.layers.operations import Table
from fedspike.parts.codes.address import Address
from fedspike.parts.codes.code import Code, encoder
from fedspike.parts.codes.pixels import demand_intensities
from fedspike.parts.tensors import Frames, Now, Trains
from fedspike.randomness import words

_threads = ThreadPoolExecutor(
    os.cpu_count()
)  # NumPy draws and compares outside the interpreter lock
_BLOCK = 4  # samples that one thread draws in one go
Words = UInt64[np.ndarray, "client sample pixel"]


class Rate(Code, tag="rate"):
    """The brighter a pixel, the more often it spikes, at random.

    Every pixel, times the `gain`, is the probability of a spike, drawn anew at each of T time steps.

        s[t] = 1 if r[t] < round(2^16 gain x) else 0,    r[t] uniform on 0..2^16-1

    so s ~ Bernoulli(round(2^16 gain x) / 2^16): right to 1.6e-5, a zero pixel never spikes and, with the
    usual gain of 1, a pixel at 1 always does.

    64 numbers r are compared at once, from the highest bit down, so each group g of 64 steps has 16 random
    words per pixel, of which the j-th holds the j-th highest bits: bit t % 64 of word number
    16 (g I + i) + j of `randomness.words`, with g = t // 64 and I pixels. Where all 64 are decided the
    later words need not be drawn.

    Source: snnTorch 1.0.0 `spikegen.rate` (Eshraghian et al., Proc. IEEE 111, 2023), here with
    addressed instead of global randomness.

    >>> pixels = torch.tensor([[[0.0, 1.0]]])
    >>> address = Address(seed=0, purpose="encode", round=1, clients=(0,), first_samples=(0,))
    >>> Rate().spikes(pixels, address, time_steps=3)[:, 0, 0].tolist()
    [[0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]
    """

    gain: Annotated[float, Meta(gt=0, le=1, description="chance of a spike of a pixel at 1")] = 1.0

    def operations(self) -> Table:
        """A random number is drawn and compared at each step."""
        return encoder(draw=1, compare=1)

    def spikes(self, pixels: Frames, address: Address, time_steps: int) -> Trains:
        """Draw the spikes of one batch, as 0.0 and 1.0 in the type of `pixels`.

        Raises InputError where a pixel is not in [0, 1].
        """
        clients, batch, size = pixels.shape
        # Client first in memory, because the matrix products want every client's block in one piece.
        # NumPy asks the system for huge pages, which makes this large block 4 times faster to fill.
        shape = (clients, time_steps, batch, size)
        spikes = np.empty(shape, dtype=np.float64 if pixels.dtype == torch.float64 else np.float32)
        limits = self._limits(pixels)
        for first in range(0, time_steps, 64):
            trains = _trains(limits, address, first // 64)
            bits = trains.view(np.uint8).reshape(clients, batch, size, 8)
            steps = np.unpackbits(bits, axis=3, bitorder="little")
            count = min(64, time_steps - first)
            spikes[:, first : first + count] = steps.transpose(0, 3, 1, 2)[:, :count]
        return torch.from_numpy(spikes).to(pixels.device).movedim(0, 1)

    def bytes_of_steps(self, inputs: int, samples: int, time_steps: int) -> int:
        """64 steps as bits, and what drawing them takes: 2.5 kB for each input, as measured."""
        del time_steps
        return 8 * inputs * samples + 2500 * inputs

    def steps(self, pixels: Frames, address: Address, time_steps: int) -> Iterator[Now]:
        """64 steps are drawn at once, and kept as bits, 8 steps of all pixels together."""
        limits = self._limits(pixels)
        for step in range(time_steps):
            if step % 64 == 0:
                trains = _trains(limits, address, step // 64).view(np.uint8)
                by_8 = np.ascontiguousarray(np.moveaxis(trains.reshape(*limits.shape, 8), 3, 0))
                bits = torch.from_numpy(by_8).to(pixels.device)
            yield (bits[step % 64 // 8] >> step % 8 & 1).to(pixels.dtype)

    def _limits(self, pixels: Frames) -> Words:
        """65536 gain x, rounded; raises InputError where a pixel is not in [0, 1]."""
        demand_intensities(pixels)
        return ((self.gain * pixels.cpu()).double() * 65536).round_().numpy().astype(np.uint64)


def _trains(limits: Words, address: Address, group: int) -> Words:
    """The spikes of 64 steps, the first of which is 64 `group`."""
    clients, batch, size = limits.shape
    trains = np.empty(limits.shape, np.uint64)

    def draw_block(block: tuple[int, int]) -> None:
        """Samples first to last - 1 of the client at this position in the batch."""
        position, first = block
        last = min(first + _BLOCK, batch)
        where = (address.seed, address.purpose, address.round, address.clients[position])
        random = [
            words(*where, address.first_samples[position] + b, size * 16, group * size * 4)
            for b in range(first, last)
        ]
        drawn = np.stack(random).reshape(last - first, size, 16)
        trains[position, first:last] = _below(drawn, limits[position, first:last])

    list(_threads.map(draw_block, product(range(clients), range(0, batch, _BLOCK))))
    return trains


def _below(
    words: UInt64[np.ndarray, "sample pixel 16"], limits: UInt64[np.ndarray, "sample pixel"]
) -> UInt64[np.ndarray, "sample pixel"]:
    """64 comparisons r < limit at once, as r <= q = limit - 1, the highest bits first; none holds at 0."""
    less = np.zeros(words.shape[:2], np.uint64)
    undecided, q = np.where(limits > 0, ~less, 0), limits - np.uint64(1)
    for j, word in enumerate(np.ascontiguousarray(np.moveaxis(words, 2, 0))):
        bit = -(q >> np.uint64(15 - j) & np.uint64(1))  # all ones, or all zeros
        decided = undecided & (word ^ bit)
        less |= decided & bit
        undecided ^= decided
    return less | undecided
