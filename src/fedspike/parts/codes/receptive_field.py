"""Receptive fields: each pixel is seen by several neurons, each of which likes one intensity best."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Bool, Float64
from msgspec import Meta
from torch import Tensor

from fedspike.errors import InputError
from fedspike.layers.operations import Table
from fedspike.parts.codes.address import Address
from fedspike.parts.codes.code import Code, encoder
from fedspike.parts.codes.pixels import HIGHEST, levels
from fedspike.parts.codes.tabulated import TABLES_KEPT
from fedspike.parts.tensors import Frames, Now, Trains

MOST_NEURONS = 16


class ReceptiveField(Code, tag="receptive-field"):
    """Several neurons see each pixel, and the one spikes first whose favourite intensity is nearest.

    M = `neurons` have Gaussian receptive fields that overlap and cover the intensities; neuron i of them

        a_i(x) = exp(-(x - mu_i)^2 / (2 sigma^2))
        mu_i   = (2 i - 3) / (2 (M - 2)),    sigma = 1 / (beta (M - 2)),    i = 1, ..., M
        t_i    = round((T - 1) (1 - a_i)), and no spike where a_i < threshold

    with beta = `sharpness`. The first layer has M inputs for each number of a sample, and a convolution M
    times as many channels: all of the first neurons, then all of the second ones. Dark pixels spike too, for
    dark is an intensity like any other; so there are more spikes than under the latency code.

    Source: Bohte, Kok, La Poutré, "Error-backpropagation in temporally encoded networks of spiking neurons",
    Neurocomputing 48, 2002, section 4, for intensities from 0 to 1; there beta is 1.5, and a neuron that
    would spike in the last tenth of the time does not, which is the threshold of 0.1. Xie et al., "Efficient
    federated learning with spike neural networks for traffic sign recognition", IEEE Transactions on
    Vehicular Technology 71, 2022, encode signs by receptive fields too; their scheme could not be read, and
    is not this.

    >>> address = Address(seed=0, purpose="encode", round=1, clients=(0,), first_samples=(0,))
    >>> code = ReceptiveField(neurons=4)
    >>> code.spikes(torch.tensor([[[0.0, 0.7]]]), address, time_steps=4)[:, 0, 0].argmax(0).tolist()
    [1, 0, 1, 2, 0, 0, 0, 2]
    """

    neurons: Annotated[int, Meta(ge=3, le=MOST_NEURONS)] = 4
    sharpness: Annotated[float, Meta(gt=0, le=100)] = 1.5
    threshold: Annotated[float, Meta(gt=0, lt=1)] = 0.1

    bytes_per_step = MOST_NEURONS * (HIGHEST + 1)

    @property
    def inputs_per_number(self) -> int:
        """A neuron for each receptive field."""
        return self.neurons

    def fitted(self, time_steps: int) -> "ReceptiveField":
        """The code itself; raises InputError below 2 time steps."""
        if time_steps < 2:
            raise InputError(
                f"ReceptiveField: time_steps = {time_steps}",
                expected="at least 2: in a single step all neurons would spike alike",
                fix="4 steps tell 4 distances from the favourite intensity apart",
                keys=("time_steps",),
            )
        return self

    def spikes(self, pixels: Frames, address: Address, time_steps: int) -> Trains:
        """The spikes of one batch, as 0.0 and 1.0 in the type of `pixels`; of `address` nothing is needed.

        Raises InputError where a pixel is not in [0, 1].
        """
        del address
        trains = _table(self, time_steps, pixels.device)
        by_client = [trains[:, :, own] for own in levels(pixels)]  # [neuron, time, batch, pixel]
        stacked = torch.stack(by_client).to(pixels.dtype)
        return stacked.permute(2, 0, 3, 1, 4).flatten(3)

    def steps(self, pixels: Frames, address: Address, time_steps: int) -> Iterator[Now]:
        """Every level is looked up at each step, by each neuron."""
        del address
        own = levels(pixels)
        for train in _table(self, time_steps, pixels.device).unbind(1):
            yield train[:, own].to(pixels.dtype).permute(1, 2, 0, 3).flatten(2)

    def operations(self) -> Table:
        """A comparison at each step of each neuron, which reads the pixel for itself."""
        return encoder(compare=1)

    def trains(
        self, x: Float64[np.ndarray, " value"], time_steps: int
    ) -> Bool[np.ndarray, "neuron value time"]:
        """The equation: whether neuron i spikes for an intensity x at step t."""
        i = np.arange(1, self.neurons + 1)[:, None]
        mu = (2 * i - 3) / (2 * (self.neurons - 2))
        sigma = 1 / (self.sharpness * (self.neurons - 2))
        a = np.exp(-((x - mu) ** 2) / (2 * sigma**2))
        t = np.rint((time_steps - 1) * (1 - a))
        spikes: np.ndarray = (np.arange(time_steps) == t[..., None]) & (a >= self.threshold)[
            ..., None
        ]
        return spikes


@lru_cache(TABLES_KEPT)
def _table(
    code: ReceptiveField, time_steps: int, device: torch.device
) -> Bool[Tensor, "neuron time level"]:
    """The trains of all neurons for all levels of a pixel."""
    trains = code.trains(np.arange(HIGHEST + 1) / HIGHEST, time_steps)
    return torch.from_numpy(np.ascontiguousarray(trains.swapaxes(1, 2))).to(device)
