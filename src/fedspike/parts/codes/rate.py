"""The rate code: the brighter a pixel, the more often it spikes, at random."""

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import numpy as np
import torch
from jaxtyping import UInt64

from fedspike.layers.operations import Table
from fedspike.parts.codes.address import Address
from fedspike.parts.codes.code import Code, encoder
from fedspike.parts.codes.pixels import demand_intensities
from fedspike.parts.tensors import Frames, Trains
from fedspike.randomness import words

_threads = ThreadPoolExecutor(
    os.cpu_count()
)  # NumPy draws and compares outside the interpreter lock
_BLOCK = 16  # samples that one thread draws in one go


class Rate(Code, tag="rate"):
    """The brighter a pixel, the more often it spikes, at random.

    Every pixel is the probability of a spike, drawn anew at each of T time steps.

        s[t] = 1 if r[t] < round(2^16 x) else 0,    r[t] uniform on 0..2^16-1

    so s ~ Bernoulli(round(2^16 x) / 2^16): right to 1.6e-5, a zero pixel never spikes and a pixel at 1
    always does. 64 numbers r are compared at once, from the highest bit down, so each group g of 64 steps
    has 16 random words per pixel, of which the j-th holds the j-th highest bits: bit t % 64 of word
    number 16 (g I + i) + j of `randomness.words`, with g = t // 64 and I pixels. Where all 64 are decided
    the later words need not be drawn.

    Source: snnTorch 1.0.0 `spikegen.rate` (Eshraghian et al., Proc. IEEE 111, 2023), here with
    addressed instead of global randomness.

    >>> pixels = torch.tensor([[[0.0, 1.0]]])
    >>> address = Address(seed=0, purpose="encode", round=1, clients=(0,), first_samples=(0,))
    >>> Rate().spikes(pixels, address, time_steps=3)[:, 0, 0].tolist()
    [[0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]
    """

    def operations(self) -> Table:
        """A random number is drawn and compared at each step."""
        return encoder(draw=1, compare=1)

    def spikes(self, pixels: Frames, address: Address, time_steps: int) -> Trains:
        """Draw the spikes of one batch, as 0.0 and 1.0 in the type of `pixels`.

        Raises InputError where a pixel is not in [0, 1].
        """
        demand_intensities(pixels)
        clients, batch, size = pixels.shape
        groups = -(-time_steps // 64)
        limits = (pixels.cpu().double() * 65536).round_().numpy().astype(np.uint64)
        # Client first in memory, because the matrix products want every client's block in one piece.
        # NumPy asks the system for huge pages, which makes this large block 4 times faster to fill.
        shape = (clients, time_steps, batch, size)
        spikes = np.empty(shape, dtype=np.float64 if pixels.dtype == torch.float64 else np.float32)

        def draw_block(block: tuple[int, int]) -> None:
            """Samples first to last - 1 of the client at this position in the batch."""
            position, first = block
            last = min(first + _BLOCK, batch)
            random = [
                words(
                    address.seed,
                    address.purpose,
                    address.round,
                    address.clients[position],
                    address.first_samples[position] + b,
                    groups * size * 16,
                ).reshape(groups, size, 16)
                for b in range(first, last)
            ]
            trains = _below(np.stack(random, axis=1), limits[position, first:last])
            steps = np.unpackbits(
                trains.view(np.uint8).reshape(*trains.shape, 8), axis=3, bitorder="little"
            )
            drawn = steps.transpose(0, 3, 1, 2).reshape(groups * 64, last - first, size)
            spikes[position, :, first:last] = drawn[:time_steps]

        list(_threads.map(draw_block, product(range(clients), range(0, batch, _BLOCK))))
        return torch.from_numpy(spikes).to(pixels.device).movedim(0, 1)


def _below(
    words: UInt64[np.ndarray, "group sample pixel 16"], limits: UInt64[np.ndarray, "sample pixel"]
) -> UInt64[np.ndarray, "group sample pixel"]:
    """64 comparisons r < limit at once, as r <= q = limit - 1, the highest bits first; none holds at 0."""
    less = np.zeros(words.shape[:3], np.uint64)
    undecided, q = np.where(limits > 0, ~less, 0), limits - np.uint64(1)
    for j, word in enumerate(np.ascontiguousarray(np.moveaxis(words, 3, 0))):
        bit = -(q >> np.uint64(15 - j) & np.uint64(1))  # all ones, or all zeros
        decided = undecided & (word ^ bit)
        less |= decided & bit
        undecided ^= decided
    return less | undecided
