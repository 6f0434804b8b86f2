"""The direct code: no spikes, the pixel itself is the input."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from fedspike.errors import InputError
from fedspike.parts.codes.address import Address
from fedspike.parts.codes.pixels import demand_intensities


@dataclass(frozen=True)
class DirectCode:
    """A pixel x is fed in as a constant current, and the first spikes are those of the first layer.

        s[t] = x    for all t

    These are numbers, not spikes, so `binary` is False, there is nothing to pack as bits, and the first
    layer multiplies: it costs a multiply-accumulate for each pixel that is not 0 at each of its synapses,
    at each step, or once for all steps on a device that keeps the sum.

    Source: first layers as encoders in Rathi, Roy, "DIET-SNN", IEEE TNNLS 34, 2023; named and compared with
    the rate code in Kim et al., "Rate coding or direct coding: which one is better for accurate, robust,
    and energy-efficient spiking neural networks?", ICASSP 2022.

    >>> import torch
    >>> address = Address(seed=0, purpose="encode", round=1, clients=(0,), first_samples=(0,))
    >>> DirectCode(time_steps=2).spikes(torch.tensor([[[0.0, 0.5]]]), address)[:, 0, 0].tolist()
    [[0.0, 0.5], [0.0, 0.5]]
    """

    time_steps: int

    step_weights: ClassVar[None] = None
    binary: ClassVar[bool] = False
    moving: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.time_steps < 1:
            raise InputError(
                f"DirectCode: time_steps = {self.time_steps}",
                expected="at least one time step",
                fix="5 to 10 are usual",
            )

    def spikes(
        self, pixels: Float[Tensor, "client batch pixel"], address: Address
    ) -> Float[Tensor, "time client batch pixel"]:
        """The pixels themselves, at every step, in memory once; of `address` nothing is needed.

        Raises InputError where a pixel is not in [0, 1].
        """
        del address
        demand_intensities(pixels)
        return pixels.expand(self.time_steps, *pixels.shape)
