"""Convolutions over any number of axes, each with a kernel, stride, padding and dilation of its own."""

import math
from dataclasses import dataclass
from functools import reduce

import numpy as np
from jaxtyping import Int64


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
        reach = self.dilation * (self.kernel - 1) + 1
        return (self.size + 2 * self.padding - reach) // self.stride + 1

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
