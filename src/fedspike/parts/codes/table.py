"""Codes without randomness: every level of a pixel has one spike train, written down in a table.

Such a code says which trains its equation gives for all levels at once; what is here evaluates that
once and looks pixels up, as floats or, in a compiled kernel, as bits.
"""

from functools import lru_cache
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from fedspike.engine.packed import PackedSpikes, lookup, words
from fedspike.parts.codes.address import Address
from fedspike.parts.codes.pixels import HIGHEST, levels

_KEPT = 8  # tables in memory, of up to 64 KB for each time step


@runtime_checkable
class Tabulated(Protocol):
    """A code that knows the train of every pixel; two that are equal have the same trains."""

    @property
    def time_steps(self) -> int:
        """T."""

    def trains(self, x: Float64[np.ndarray, " value"]) -> Bool[np.ndarray, "value time"]:
        """The equation: whether a pixel of intensity x spikes at step t."""

    def __hash__(self) -> int: ...


def spikes(
    code: Tabulated, pixels: Float[Tensor, "client batch pixel"], address: Address
) -> Float[Tensor, "time client batch pixel"]:
    """The spikes of one batch, as 0.0 and 1.0 in the type of `pixels`; of `address` nothing is needed.

    Raises InputError where a pixel is not in [0, 1].
    """
    del address
    trains = _trains(code, pixels.device)
    # Client first in memory, because the matrix products want every client's block in one piece.
    by_client = [trains[:, own] for own in levels(pixels)]
    return torch.stack(by_client).to(pixels.dtype).movedim(0, 1)


def packed(
    code: Tabulated, pixels: Float[Tensor, "client batch pixel"], address: Address
) -> PackedSpikes:
    """The same spikes from a compiled kernel, as bits; float32 pixels on the CPU.

    A pixel outside [0, 1] is read as the nearer end, NaN as 0: a `Dataset` has neither.
    """
    del address
    return lookup(pixels, bits(code), code.time_steps)


@lru_cache(_KEPT)
def _trains(code: Tabulated, device: torch.device) -> Bool[Tensor, "time level"]:
    x = np.arange(HIGHEST + 1) / HIGHEST
    return torch.from_numpy(np.ascontiguousarray(code.trains(x).T)).to(device)


@lru_cache(_KEPT)
def bits(code: Tabulated) -> Int64[Tensor, "level word"]:
    """The table itself, trains as bits."""
    return words(_trains(code, torch.device("cpu")).T)
