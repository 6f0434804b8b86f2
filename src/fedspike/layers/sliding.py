"""Convolutions and pools over any number of axes, each with a kernel, stride, padding and dilation."""

import math
from dataclasses import dataclass
from functools import reduce
from typing import Literal

import numpy as np
from jaxtyping import Int64

from fedspike.layers.operations import Operations, Table, each_output


@dataclass(frozen=True)
class Axis:
    """One axis of `size` positions, and how the kernel moves over it."""

    size: int
    kernel: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1

    @property
    def after(self) -> int:
        """Positions behind it: floor((size + 2P - D*(K - 1) - 1) / stride) + 1."""
        return self._last // self.stride + 1

    @property
    def left(self) -> int:
        """Positions behind the last place of the kernel, in which it does not fit once more."""
        return self._last % self.stride

    @property
    def _last(self) -> int:
        reach = self.dilation * (self.kernel - 1) + 1
        return self.size + 2 * self.padding - reach

    def met(self) -> Int64[np.ndarray, "size kernel"]:
        """How many outputs an input position meets with each place of the kernel."""
        offset = np.arange(self.size)[:, None] + self.padding - self.stride * np.arange(self.after)
        places = self.dilation * np.arange(self.kernel)
        met: np.ndarray = (offset[:, :, None] == places).sum(1).astype(np.int64)
        return met


@dataclass(frozen=True)
class SlidingKernel:
    """A convolution of one, two or three axes, as `Convolution` is one of two equal ones.

    >>> layer = SlidingKernel(in_channels=2, out_channels=4, axes=(Axis(size=10, kernel=3, padding=1),))
    >>> layer.inputs, layer.outputs, layer.parameters, layer.synapses
    (20, 40, 28, 224)
    >>> layer.fan_out().tolist()
    [8, 12, 12, 12, 12, 12, 12, 12, 12, 8]
    """

    in_channels: int
    out_channels: int
    axes: tuple[Axis, ...]
    bias: bool = True
    groups: int = 1

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Of its kernels, as torch has them."""
        kernel = (axis.kernel for axis in self.axes)
        return self.out_channels, self.in_channels // self.groups, *kernel

    @property
    def inputs(self) -> int:
        """Neurons before it."""
        return self.in_channels * math.prod(axis.size for axis in self.axes)

    @property
    def outputs(self) -> int:
        """Neurons after it."""
        return self.out_channels * math.prod(axis.after for axis in self.axes)

    @property
    def synapses(self) -> int:
        """Pairs of an input and an output that are connected."""
        return self.in_channels * int(self.fan_out().sum())

    @property
    def parameters(self) -> int:
        """Learned numbers: the kernels, and a bias per output channel."""
        return math.prod(self.weight_shape) + self.out_channels * self.bias

    def fan_out(self) -> Int64[np.ndarray, "..."]:
        """Synapses that an event at each position of any input channel meets."""
        by_axis = [axis.met().sum(1) for axis in self.axes]
        met: np.ndarray = reduce(np.multiply.outer, by_axis) * (self.out_channels // self.groups)
        return met

    def weighted_fan_out(self, weight: np.ndarray) -> Int64[np.ndarray, "..."]:
        """Synapses with a weight that is not 0, for each input, [channel, *position]."""
        by_group = weight.reshape(self.groups, -1, *self.weight_shape[1:])
        met = np.count_nonzero(by_group, axis=1).astype(np.int64)  # [group, channel, *kernel]
        for place, axis in enumerate(self.axes):
            met = np.moveaxis(np.tensordot(met, axis.met(), (2 + place, 1)), -1, 2 + place)
        per_input: np.ndarray = met.reshape(-1, *(axis.size for axis in self.axes))
        return per_input


@dataclass(frozen=True)
class SlidingPool:
    """The average or the maximum of windows over one, two or three axes, as `Pool` is one of equal squares.

    Windows may overlap and leave gaps; what they have outside the values, the padding, is not read. Its
    "synapses" are the pairs of a value and a window that it is in. They have no weights.

    >>> layer = SlidingPool(kind="max", channels=2, axes=(Axis(size=7, kernel=3, stride=2),))
    >>> layer.inputs, layer.outputs, layer.synapses
    (14, 6, 18)
    >>> layer.fan_out().tolist()
    [1, 1, 2, 1, 2, 1, 1]
    """

    kind: Literal["average", "max"]
    channels: int
    axes: tuple[Axis, ...]
    currents: bool = False

    parameters = 0

    @property
    def inputs(self) -> int:
        """Values before it."""
        return self.channels * math.prod(axis.size for axis in self.axes)

    @property
    def outputs(self) -> int:
        """Windows: values after it."""
        return self.channels * math.prod(axis.after for axis in self.axes)

    @property
    def synapses(self) -> int:
        """Pairs of a value and a window that it is in."""
        return self.channels * int(self.fan_out().sum())

    def fan_out(self) -> Int64[np.ndarray, "..."]:
        """Windows that the value at each position of any channel is in."""
        met: np.ndarray = reduce(np.multiply.outer, [axis.met().sum(1) for axis in self.axes])
        return met

    def operations(self, *, spiking: bool) -> Table:
        """As of a pool whose windows do not overlap, for every window that a value is in.

        Each window reads its values and joins them; a spike is read once and joined in each of its windows.
        `currents` are cleared once a step. Where windows overlap, their gradients are added up: an average's
        shares at each value, a maximum's where it came from.
        """
        average, overlap = self.kind == "average", int(self.fan_out().max()) > 1
        join, after = ("add", {"multiply": 1}) if average else ("compare", {})
        pool: dict[str, Operations]
        if self.currents:
            cleared = "input and step" if overlap else "synapse and step"
            pool = {
                "synapse and step": {join: 1, "read_potential": 1},
                "output and step": {join: -1, **after},
            }
            pool[cleared] = {**pool.get(cleared, {}), "write_potential": 1}
        elif spiking:
            pool = {
                "event in": {"read_input": 1},
                "synapse met": {join: 1},
                "event out": {**after, "write_output": 1},
            }
        else:
            pool = {
                "synapse": {join: 1, "read_input": 1},
                "output": {join: -1, **after, "write_output": 1},
            }
        per, at_values = each_output(spiking=spiking), "synapse and step" if spiking else "synapse"
        backward: dict[str, Operations] = {per: {"multiply": 1}} if average else {}
        if overlap:
            backward[at_values if average else per] = {"add": 1}
        return {"pool": pool, "backward_inputs": backward}
