"""The direct code: no spikes, the pixel itself is the input."""

from collections.abc import Iterator
from itertools import repeat
from typing import ClassVar

from fedspike.layers.operations import Table
from fedspike.parts.codes.address import Address
from fedspike.parts.codes.code import Code
from fedspike.parts.codes.pixels import demand_intensities
from fedspike.parts.tensors import Frames, Now, Trains


class Direct(Code, tag="direct"):
    """No spikes: the pixel itself is a constant input.

    A pixel x is fed in as a constant current, and the first spikes are those of the first layer.

        s[t] = x    for all t

    These are numbers, not spikes, so `binary` is False, there is nothing to pack as bits, and the first
    layer multiplies: it costs a multiply-accumulate for each pixel that is not 0 at each of its synapses,
    at each step, or once for all steps on a device that keeps the sum.

    Source: first layers as encoders in Rathi, Roy, "DIET-SNN", IEEE TNNLS 34, 2023; named and compared with
    the rate code in Kim et al., "Rate coding or direct coding: which one is better for accurate, robust,
    and energy-efficient spiking neural networks?", ICASSP 2022.

    >>> import torch
    >>> address = Address(seed=0, purpose="encode", round=1, clients=(0,), first_samples=(0,))
    >>> Direct().spikes(torch.tensor([[[0.0, 0.5]]]), address, time_steps=2)[:, 0, 0].tolist()
    [[0.0, 0.5], [0.0, 0.5]]
    """

    binary: ClassVar[bool] = False
    signed: ClassVar[bool] = True

    def operations(self) -> Table:
        """Nothing is encoded; what its product costs is the first layer's."""
        return {}

    def spikes(self, pixels: Frames, address: Address, time_steps: int) -> Trains:
        """The pixels themselves, at every step, in memory once; of `address` nothing is needed.

        Raises InputError where a pixel is not in [-1, 1].
        """
        del address
        demand_intensities(pixels, darkest=-1)
        return pixels.expand(time_steps, *pixels.shape)

    def steps(self, pixels: Frames, address: Address, time_steps: int) -> Iterator[Now]:
        """The pixels, again and again."""
        self.spikes(pixels, address, 1)  # raises for what are no pixels
        yield from repeat(pixels, time_steps)
