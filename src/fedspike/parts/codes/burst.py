"""The burst code: the brighter a pixel, the more spikes and the closer together."""

from typing import Annotated, Literal

import numpy as np
from msgspec import Meta
from msgspec.structs import replace

from fedspike.errors import InputError
from fedspike.layers.operations import Table
from fedspike.parts.codes.code import encoder
from fedspike.parts.codes.tabulated import ByStep, Intensities, Tabulated

USUAL_SPIKES = 5


class Burst(Tabulated, tag="burst"):
    """The brighter a pixel, the more spikes and the closer together.

    A pixel x spikes N times from step 0 on, ISI steps apart, as far as the T steps reach.

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

    >>> Burst(most_spikes=5).trains(np.array([0.1, 0.5, 0.9, 1.0]), time_steps=10).astype(int).tolist()
    ... # doctest: +NORMALIZE_WHITESPACE
    [[1, 0, 0, 0, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 1, 0, 0, 0],
     [1, 0, 0, 1, 0, 0, 1, 0, 0, 1], [1, 0, 1, 0, 1, 0, 1, 0, 1, 0]]
    """

    most_spikes: Annotated[int, Meta(ge=1, lt=2**31)] | Literal["auto"] = "auto"
    shortest_interval: Annotated[int, Meta(ge=1, lt=2**31)] = 2

    def fitted(self, time_steps: int) -> "Burst":
        """With so many spikes: "auto" is the source's 5, or as many as the time steps hold, if fewer."""
        fitting = max((time_steps - 1) // self.shortest_interval + 1, 1)
        if self.most_spikes == "auto":
            return replace(self, most_spikes=min(USUAL_SPIKES, fitting))
        least = 1 + (self.most_spikes - 1) * self.shortest_interval
        if time_steps < least:
            raise InputError(
                f"Burst: time_steps = {time_steps}, most_spikes = {self.most_spikes}",
                expected=f"at least {least}, or the brightest pixel loses some of its "
                f"{self.most_spikes} spikes, {self.shortest_interval} steps apart",
                fix=f"time_steps = {least}, or a shorter burst: most_spikes = {fitting}",
                keys=("time_steps", "most_spikes"),
            )
        return self

    def operations(self) -> Table:
        """Is it now that this pixel spikes? A comparison at each step."""
        return encoder(compare=1)

    def trains(self, x: Intensities, time_steps: int) -> ByStep:
        """The equation: whether a pixel of intensity x spikes at step t."""
        longest, most_spikes = time_steps, self.fitted(time_steps).most_spikes
        assert most_spikes != "auto"  # it is fitted
        n = _ceil(most_spikes * x)
        isi = _ceil(longest - (longest - self.shortest_interval) * x)
        k, rest = np.divmod(np.arange(time_steps), np.where(n > 1, isi, longest)[:, None])
        spikes: np.ndarray = (rest == 0) & (k < n[:, None])
        return spikes


def _ceil(values: Intensities) -> Intensities:
    """The next whole number; rounded first, because 51 x (1/51) must stay 1 and not become 2."""
    whole: np.ndarray = np.ceil(values.round(9))
    return whole
