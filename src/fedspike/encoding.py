"""Pixels to spikes.

A code is a frozen description with one function, `spikes(pixels, address)`. Which spikes come out
depends on the pixels and on the address alone, so that every engine, every order of work and every
resumed run sees the same ones.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fedspike.errors import InputError
from fedspike.kernels import packed
from fedspike.kernels.packed import PackedSpikes
from fedspike.randomness import key, words

_threads = ThreadPoolExecutor(
    os.cpu_count()
)  # NumPy draws and compares outside the interpreter lock
_BLOCK = 32  # samples that one thread draws in one go


@dataclass(frozen=True)
class Address:
    """Where a batch stands in the experiment: the address of its random spikes.

    `first_samples` says for each client how many samples it was shown before in this round: the k-th
    sample shown to a client gets the same spikes whatever the batch size.
    """

    seed: int
    purpose: str
    round: int
    clients: tuple[int, ...]
    first_samples: tuple[int, ...]


@dataclass(frozen=True)
class RateCode:
    """Every pixel is the probability of a spike, drawn anew at each of T time steps.

        q = max(round(2^16 x) - 1, 0),    s[t] = 1 if max(r[t], 1) <= q else 0,    r[t] uniform on 0..2^16-1

    so s ~ Bernoulli(round(2^16 x) / 2^16): right to 1.6e-5, a zero pixel never spikes and a pixel at 1
    always does. Number r of step t and pixel i is number t*I + i of `randomness.words`.

    Source: snnTorch 1.0.0 `spikegen.rate` (Eshraghian et al., Proc. IEEE 111, 2023), here with
    addressed instead of global randomness.

    >>> pixels = torch.tensor([[[0.0, 1.0]]])
    >>> address = Address(seed=0, purpose="encode", round=1, clients=(0,), first_samples=(0,))
    >>> RateCode(time_steps=3).spikes(pixels, address)[:, 0, 0].tolist()
    [[0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]
    """

    time_steps: int

    def __post_init__(self) -> None:
        if self.time_steps < 1:
            raise InputError(
                f"time_steps = {self.time_steps}",
                expected="at least one time step",
                fix="the founding study used about 50",
            )

    def packed(self, pixels: Float[Tensor, "client batch pixel"], address: Address) -> PackedSpikes:
        """The same spikes from compiled kernels, as bits; float32 pixels on the CPU."""
        return packed.rate(
            pixels,
            key(address.seed, address.purpose),
            address.round,
            address.clients,
            address.first_samples,
            self.time_steps,
        )

    def spikes(
        self, pixels: Float[Tensor, "client batch pixel"], address: Address
    ) -> Float[Tensor, "time client batch pixel"]:
        """Draw the spikes of one batch, as 0.0 and 1.0 in the type of `pixels` (in [0, 1])."""
        clients, batch, size = pixels.shape
        q = (pixels.double() * 65536).round_().sub_(1).clamp_(0, 65535).cpu().numpy()
        q = q.astype(np.uint16)
        # Client first in memory, because the matrix products want every client's block in one piece.
        # NumPy asks the system for huge pages, which makes this large block 4 times faster to fill.
        shape = (clients, self.time_steps, batch, size)
        spikes = np.empty(shape, dtype=np.float64 if pixels.dtype == torch.float64 else np.float32)

        def draw(position: int, b: int) -> None:
            """One sample: `position` is the client's place in the batch, `b` the sample's."""
            r = words(
                address.seed,
                address.purpose,
                address.round,
                address.clients[position],
                address.first_samples[position] + b,
                self.time_steps * size,
            ).reshape(self.time_steps, size)
            np.maximum(r, 1, out=r)
            spikes[position, :, b] = r <= q[position, b]

        def draw_block(block: tuple[int, int]) -> None:
            position, first = block
            for b in range(first, min(first + _BLOCK, batch)):
                draw(position, b)

        list(_threads.map(draw_block, product(range(clients), range(0, batch, _BLOCK))))
        return torch.from_numpy(spikes).to(pixels.device).movedim(0, 1)
