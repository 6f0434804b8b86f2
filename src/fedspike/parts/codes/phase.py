"""The phase code: a pixel's binary digits, each at its step of a period, the most significant first."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float64

from fedspike.errors import InputError
from fedspike.parts.codes import table


@dataclass(frozen=True)
class PhaseCode:
    """A pixel x spikes where its K binary digits are 1, and again in every period of K steps.

        v = round(x (2^K - 1)),    s[t] = digit K-1 - t mod K of v
        omega(t) = 2^-(1 + t mod K),    sum of omega(t) s[t] over a period = v / 2^K

    A spike says little without the weight of its step: whoever reads the code multiplies what a synapse
    receives at step t by omega(t), `step_weights`. With K = 8, v is the byte of an 8-bit pixel, so nothing
    is lost.

    Source: Kim, Kim, Huh, Lee, Choi, "Deep neural networks with weighted spikes", Neurocomputing 311, 2018.
    Departure: there, and in SpikingJelly 2.0.0's `WeightedPhaseEncoder`, v = floor(2^K x) for x below 1, so
    that a byte v stands for v/256 and white cannot be shown; here it stands for v/255. The trains of a
    byte are the same.

    >>> PhaseCode(time_steps=8).trains(np.array([0b11000001 / 255])).astype(int).tolist()
    [[1, 1, 0, 0, 0, 0, 0, 1]]
    >>> PhaseCode(time_steps=3, period=2).step_weights
    (0.5, 0.25, 0.5)
    """

    time_steps: int
    period: int = 8

    binary: ClassVar[bool] = True
    moving: ClassVar[bool] = False
    spikes = table.spikes
    packed = table.packed

    def __post_init__(self) -> None:
        if not 1 <= self.period <= 16:
            raise InputError(
                f"PhaseCode: period = {self.period}",
                expected="a number of binary digits from 1 to 16",
                fix="8 for 8-bit pixels",
            )
        if self.time_steps < self.period:
            raise InputError(
                f"PhaseCode: time_steps = {self.time_steps}, period = {self.period}",
                expected=f"at least one period; the last {self.period - self.time_steps} of a "
                f"pixel's {self.period} binary digits would be lost",
                fix=f"time_steps = {self.period}, or fewer digits: period = {self.time_steps}",
            )

    @property
    def step_weights(self) -> tuple[float, ...]:
        """omega(t) of every step, by which the network weights what the first layer's synapses receive."""
        return tuple(2.0 ** -(1 + t % self.period) for t in range(self.time_steps))

    def trains(self, x: Float64[np.ndarray, " value"]) -> Bool[np.ndarray, "value time"]:
        """The equation: whether a pixel of intensity x spikes at step t."""
        v = (x * (2**self.period - 1)).round().astype(np.int64)
        digit = self.period - 1 - np.arange(self.time_steps) % self.period
        spikes: np.ndarray = (v[:, None] >> digit & 1) == 1
        return spikes
