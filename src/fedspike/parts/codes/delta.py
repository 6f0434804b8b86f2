"""The delta code: a spike where a pixel has become brighter, for inputs that change in time."""

from collections.abc import Iterator
from typing import Annotated, ClassVar

import torch
from jaxtyping import Bool, Float
from msgspec import Meta
from torch import Tensor

from fedspike.errors import InputError
from fedspike.layers.operations import Table
from fedspike.parts.codes.address import Address
from fedspike.parts.codes.code import encoder
from fedspike.parts.codes.pixels import HIGHEST, levels
from fedspike.parts.codes.tabulated import ByStep, Intensities, Tabulated
from fedspike.parts.tensors import Frames, Now, Trains


class Delta(Tabulated, tag="delta"):
    """A spike where a pixel has become brighter, for inputs that change in time.

    A pixel spikes at the steps at which it rises by the threshold theta or more, from the dark on.

        s[t] = 1 where x[t] - x[t-1] >= theta,    x[-1] = 0

    Frames are `[client, batch, time, pixel]`, one for each of T steps. A still image
    `[client, batch, pixel]` is a sequence that stays: it spikes once, at step 0, where x >= theta, so it is
    a poor input for this code, and a silent one after that. A sample of a data set with frames is the
    T x I numbers of its frames one after another, `samples.unflatten(2, (T, I))`.

    Source: snnTorch 1.0.0 `spikegen.delta` without padding and off-spikes (Eshraghian et al., Proc. IEEE
    111, 2023). Departure: x and theta are read as levels, so a byte's rise by exactly theta is one; in
    float32 58/255 - 32/255 < 26/255.

    >>> frames = torch.tensor([0.0, 0.1, 0.5, 0.4, 0.6]).reshape(1, 1, 5, 1)
    >>> address = Address(seed=0, purpose="encode", round=1, clients=(0,), first_samples=(0,))
    >>> Delta(threshold=0.2).spikes(frames, address, time_steps=5).flatten().tolist()
    [0.0, 0.0, 1.0, 0.0, 1.0]
    """

    threshold: Annotated[float, Meta(ge=1 / HIGHEST, le=1)] = 0.1

    moving: ClassVar[bool] = True

    def spikes(self, pixels: Frames, address: Address, time_steps: int) -> Trains:
        """The spikes of one batch, still or moving, as 0.0 and 1.0 in the type of `pixels`.

        Raises InputError where a pixel is not in [0, 1] or the frames are not T.
        """
        if pixels.ndim == 3:
            return super().spikes(pixels, address, time_steps)
        return self._rises(pixels, time_steps).permute(2, 0, 1, 3).to(pixels.dtype)

    def steps(self, pixels: Frames, address: Address, time_steps: int) -> Iterator[Now]:
        """A frame beside the one before it."""
        if pixels.ndim == 3:
            yield from super().steps(pixels, address, time_steps)
            return
        self._demand_frames(pixels, time_steps)
        before, theta = torch.zeros_like(pixels[:, :, 0], dtype=torch.int64), self._rise
        for frame in pixels.unbind(2):
            x = levels(frame)
            yield (x - before >= theta).to(pixels.dtype)
            before = x

    def operations(self) -> Table:
        """A difference and a comparison at each step."""
        return encoder(add=1, compare=1)

    def trains(self, x: Intensities, time_steps: int) -> ByStep:
        """The equation for a still pixel."""
        frames = torch.from_numpy(x).expand(1, 1, time_steps, len(x))
        return self._rises(frames, time_steps)[0, 0].T.numpy()

    def _rises(
        self, frames: Float[Tensor, "client batch time pixel"], time_steps: int
    ) -> Bool[Tensor, "client batch time pixel"]:
        """The equation."""
        self._demand_frames(frames, time_steps)
        x = levels(frames)
        return x.diff(dim=2, prepend=torch.zeros_like(x[:, :, :1])) >= self._rise

    @property
    def _rise(self) -> int:
        """Theta in levels."""
        return int(levels(torch.tensor(self.threshold, dtype=torch.float64)))

    @staticmethod
    def _demand_frames(frames: Frames, time_steps: int) -> None:
        if frames.shape[2] != time_steps:
            raise InputError(
                f"Delta: {frames.shape[2]} frames, time_steps = {time_steps}",
                expected="as many frames as time steps",
                fix=f"time_steps = {frames.shape[2]}, or leave frames out or repeat them",
                keys=("time_steps",),
            )
