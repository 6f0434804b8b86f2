"""The latency code: the brighter a pixel, the sooner its only spike."""

from typing import Annotated, Literal

import numpy as np
from jaxtyping import Float64
from msgspec import Meta

from fedspike.errors import InputError
from fedspike.layers.operations import Table
from fedspike.parts.codes.code import encoder
from fedspike.parts.codes.tabulated import ByStep, Intensities, Tabulated

_EPSILON = 1e-7  # snnTorch's: a pixel just above the threshold is taken to be this far above


class Latency(Tabulated, tag="latency"):
    """The brighter a pixel, the sooner its only spike.

    Time to first spike: a pixel x spikes once, at step t(x), and not at all where x < threshold.

        linear         t = round((T-1) (1-x))
        logarithmic    t = round((T-1) f(x) / f(theta)),
                       f(x) = ln(y / (y - theta)),  y = max(x, theta + 1e-7)

    with theta the threshold. The logarithm is the time that a leaky membrane under the constant current x
    takes to theta. It puts nearly every visible pixel into step 0: at theta = 0.01 and T = 10 all with
    x > 0.022. Hence the linear default.

    Source: snnTorch 1.0.0 `spikegen.latency` with normalize and clip (Eshraghian et al., Proc. IEEE 111,
    2023), whose time constant tau cancels when normalised. Departure: snnTorch divides by the largest f in
    the batch, here it is f(theta) always, so that a sample's spikes do not depend on its company; the two
    are equal where a batch has a pixel at or below theta, as any image with a background has.
    The linear form is also SpikingJelly 2.0.0's `LatencyEncoder`, in which dark pixels spike too, at T-1;
    its "log" is another function, T-1 - ln(x (e^(T-1) - 1) + 1), and not here.

    >>> x = np.array([0.0, 0.2, 0.5, 1.0])
    >>> Latency().trains(x, 6).argmax(1).tolist(), Latency().trains(x, 6).any(1).tolist()
    ([0, 4, 2, 0], [False, True, True, True])
    """

    scale: Literal["linear", "logarithmic"] = "linear"
    threshold: Annotated[float, Meta(gt=0, lt=1)] = 0.01

    def fitted(self, time_steps: int) -> "Latency":
        """The code itself; raises InputError below 2 time steps."""
        if time_steps < 2:
            raise InputError(
                f"{type(self).__name__}: time_steps = {time_steps}",
                expected="at least 2: in a single step all pixels would spike alike",
                fix="10 steps tell 10 intensities apart",
                keys=("time_steps", "code"),
            )
        return self

    def operations(self) -> Table:
        """Is it now that this pixel spikes? A comparison at each step."""
        return encoder(compare=1)

    def trains(self, x: Intensities, time_steps: int) -> ByStep:
        """The equation: whether a pixel of intensity x spikes at step t."""
        self.fitted(time_steps)
        last = time_steps - 1
        if self.scale == "linear":
            t = last * (1 - x)
        else:
            t = last * self._charging(x) / self._charging(np.array(self.threshold))
        visible = x >= self.threshold
        spikes: np.ndarray = visible[:, None] & (np.arange(time_steps) == t.round()[:, None])
        return spikes

    def _charging(self, x: Float64[np.ndarray, "..."]) -> Float64[np.ndarray, "..."]:
        y = np.maximum(x, self.threshold + _EPSILON)
        f: np.ndarray = np.asarray(np.log(y / (y - self.threshold)))
        return f
