"""The phase code: a pixel's binary digits, each at its step of a period, the most significant first."""

from typing import Annotated, Literal

import numpy as np
from msgspec import Meta
from msgspec.structs import replace

from fedspike.errors import InputError
from fedspike.layers.operations import Table
from fedspike.parts.codes.code import encoder
from fedspike.parts.codes.tabulated import ByStep, Intensities, Tabulated

USUAL_DIGITS = 8  # a byte's


class Phase(Tabulated, tag="phase"):
    """A pixel's binary digits, each at its step of a period, the most significant first.

    A pixel x spikes where its K binary digits are 1, and again in every period of K steps.

        v = round(x (2^K - 1)),    s[t] = digit K-1 - t mod K of v
        omega(t) = 2^-(1 + t mod K),    sum of omega(t) s[t] over a period = v / 2^K

    A spike says little without the weight of its step: whoever reads the code multiplies what a synapse
    receives at step t by omega(t), `step_weights`. With K = 8, v is the byte of an 8-bit pixel, so nothing
    is lost.

    Source: Kim, Kim, Huh, Lee, Choi, "Deep neural networks with weighted spikes", Neurocomputing 311, 2018.
    Departure: there, and in SpikingJelly 2.0.0's `WeightedPhaseEncoder`, v = floor(2^K x) for x below 1, so
    that a byte v stands for v/256 and white cannot be shown; here it stands for v/255. The trains of a
    byte are the same.

    >>> Phase().trains(np.array([0b11000001 / 255]), time_steps=8).astype(int).tolist()
    [[1, 1, 0, 0, 0, 0, 0, 1]]
    >>> Phase(period=2).step_weights(time_steps=3)
    (0.5, 0.25, 0.5)
    """

    period: Annotated[int, Meta(ge=1, le=16)] | Literal["auto"] = "auto"

    def fitted(self, time_steps: int) -> "Phase":
        """With so many digits: "auto" is 8, or as many as there are time steps, if fewer."""
        if self.period == "auto":
            return replace(self, period=min(USUAL_DIGITS, time_steps))
        if time_steps < self.period:
            raise InputError(
                f"Phase: time_steps = {time_steps}, period = {self.period}",
                expected=f"at least one period; the last {self.period - time_steps} of a "
                f"pixel's {self.period} binary digits would be lost",
                fix=f"time_steps = {self.period}, or fewer digits: period = {time_steps}",
                keys=("time_steps", "period"),
            )
        return self

    def step_weights(self, time_steps: int) -> tuple[float, ...]:
        """omega(t) of every step, by which the network weights what the first layer's synapses receive."""
        digits = self._digits(time_steps)
        return tuple(2.0 ** -(1 + t % digits) for t in range(time_steps))

    def operations(self) -> Table:
        """A comparison at each step; a neuron of the first layer gathers and weights what it receives.

        The weights are powers of two: a device shifts the sum of a step before it joins the potential, and
        as no source prices a shift it is counted as a multiply, which is dear.
        """
        gathered = {"multiply": 1, "add": 1, "read_potential": 1, "write_potential": 1}
        return {
            **encoder(compare=1),
            "neuron": {"output and step": gathered},
            "surrogate": {"output and step": {"multiply": 1}},
        }

    def _digits(self, time_steps: int) -> int:
        digits = self.fitted(time_steps).period
        assert digits != "auto"  # it is fitted
        return digits

    def trains(self, x: Intensities, time_steps: int) -> ByStep:
        """The equation: whether a pixel of intensity x spikes at step t."""
        digits = self._digits(time_steps)
        v = (x * (2**digits - 1)).round().astype(np.int64)
        digit = digits - 1 - np.arange(time_steps) % digits
        spikes: np.ndarray = (v[:, None] >> digit & 1) == 1
        return spikes
