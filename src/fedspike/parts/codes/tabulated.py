"""Codes without randomness: every level of a pixel has one spike train, written down in a table.

Such a code says which trains its equation gives for all levels at once; what is here evaluates that once and
looks pixels up.
"""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from fedspike.part import abstractmethod
from fedspike.parts.codes.address import Address
from fedspike.parts.codes.code import Code
from fedspike.parts.codes.pixels import HIGHEST, levels
from fedspike.parts.tensors import Frames, Now, Trains

Intensities = Float64[np.ndarray, " value"]
ByStep = Bool[np.ndarray, "value time"]
"""Whether a pixel of each intensity spikes at each step."""
TABLES_KEPT = 8  # in memory, of up to 64 KB for each time step


class Tabulated(Code):
    """A code that knows the train of every pixel; two that are equal have the same trains."""

    bytes_per_step = HIGHEST + 1

    @property
    def above(self) -> int:
        """How far before stands the pixel above which a pixel's level is taken; 0: it is taken as it is."""
        return 0

    @abstractmethod
    def trains(self, x: Intensities, time_steps: int) -> ByStep:
        """The equation: whether a pixel of intensity x spikes at step t, [value, time]."""

    def spikes(self, pixels: Frames, address: Address, time_steps: int) -> Trains:
        """The spikes of one batch, as 0.0 and 1.0 in the type of `pixels`; of `address` nothing is needed.

        Raises InputError where a pixel is not in [0, 1].
        """
        del address
        trains = table(self, time_steps, pixels.device)
        # Client first in memory, because the matrix products want every client's block in one piece.
        by_client = [trains[:, own] for own in self.looked_up(pixels)]
        return torch.stack(by_client).to(pixels.dtype).movedim(0, 1)

    def steps(self, pixels: Frames, address: Address, time_steps: int) -> Iterator[Now]:
        """Every level is looked up at each step."""
        del address
        own = self.looked_up(pixels)
        for train in table(self, time_steps, pixels.device):
            yield train[own].to(pixels.dtype)

    def looked_up(self, pixels: Frames) -> Int64[Tensor, "*shape"]:
        """The levels whose trains the pixels have. Raises InputError where one is not in [0, 1]."""
        x, n = levels(pixels), self.above
        if n == 0:
            return x
        before = torch.zeros_like(x)
        before[..., n:] = x[..., :-n]
        return (x - before).clamp(min=0)


@lru_cache(TABLES_KEPT)
def table(code: Tabulated, time_steps: int, device: torch.device) -> Bool[Tensor, "time level"]:
    """The trains of all levels of a pixel."""
    x = np.arange(HIGHEST + 1) / HIGHEST
    return torch.from_numpy(np.ascontiguousarray(code.trains(x, time_steps).T)).to(device)
