"""The burst code: the brighter a pixel, the more spikes and the closer together."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float64

from fedspike.errors import InputError
from fedspike.parts.codes import table


@dataclass(frozen=True)
class BurstCode:
    """A pixel x spikes N times from step 0 on, ISI steps apart, as far as the T steps reach.

        N(x)   = ceil(N_max x)
        ISI(x) = ceil(T_max - (T_max - T_min) x) if N > 1 else T_max
        s[t]   = 1 where t = k ISI < T, k = 0, ..., N-1

    with N_max = `most_spikes`, T_min = `shortest_interval` in steps and T_max = T. A burst of middling
    brightness does not fit: x = 0.5 has N = 3 and an ISI above T/2, so 2 spikes whatever T is. What comes
    out is min(N, ceil(T / ISI)) spikes, which never falls as x grows.

    Source: Guo, Fouda, Eltawil, Salama, "Neural coding in spiking neural networks: a comparative study for
    robust neuromorphic systems", Frontiers in Neuroscience 15, 2021, with its N_max = 5 and T_min = 2 ms,
    a step being 1 ms. Implementations by others differ in where a burst starts: at step 0, as here, or
    after a first ISI, so that a pixel with one spike never fires.

    >>> BurstCode(time_steps=10).trains(np.array([0.1, 0.5, 0.9, 1.0])).astype(int).tolist()
    ... # doctest: +NORMALIZE_WHITESPACE
    [[1, 0, 0, 0, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 1, 0, 0, 0],
     [1, 0, 0, 1, 0, 0, 1, 0, 0, 1], [1, 0, 1, 0, 1, 0, 1, 0, 1, 0]]
    """

    time_steps: int
    most_spikes: int = 5
    shortest_interval: int = 2

    step_weights: ClassVar[None] = None
    binary: ClassVar[bool] = True
    moving: ClassVar[bool] = False
    spikes = table.spikes
    packed = table.packed

    def __post_init__(self) -> None:
        if self.most_spikes < 1 or self.shortest_interval < 1:
            raise InputError(
                f"BurstCode: most_spikes = {self.most_spikes}, "
                f"shortest_interval = {self.shortest_interval}",
                expected="at least one spike, and at least one step from a spike to the next",
                fix="5 spikes and 2 steps, as Guo et al.",
            )
        least = 1 + (self.most_spikes - 1) * self.shortest_interval
        if self.time_steps < least:
            fitting = max((self.time_steps - 1) // self.shortest_interval + 1, 1)
            raise InputError(
                f"BurstCode: time_steps = {self.time_steps}",
                expected=f"at least {least}, or the brightest pixel loses some of its "
                f"{self.most_spikes} spikes, {self.shortest_interval} steps apart",
                fix=f"time_steps = {least}, or a shorter burst: most_spikes = {fitting}",
            )

    def trains(self, x: Float64[np.ndarray, " value"]) -> Bool[np.ndarray, "value time"]:
        """The equation: whether a pixel of intensity x spikes at step t."""
        longest = self.time_steps
        n = _ceil(self.most_spikes * x)
        isi = _ceil(longest - (longest - self.shortest_interval) * x)
        k, rest = np.divmod(np.arange(self.time_steps), np.where(n > 1, isi, longest)[:, None])
        spikes: np.ndarray = (rest == 0) & (k < n[:, None])
        return spikes


def _ceil(values: Float64[np.ndarray, " value"]) -> Float64[np.ndarray, " value"]:
    """The next whole number; rounded first, because 51 x (1/51) must stay 1 and not become 2."""
    whole: np.ndarray = np.ceil(values.round(9))
    return whole
