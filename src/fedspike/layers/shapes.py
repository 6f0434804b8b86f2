"""The layers whose operations there are rules for: their sizes, and the synapses that an event meets."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Int64

from fedspike.errors import InputError
from fedspike.layers.beside import Groups, Norm, Sum
from fedspike.layers.operations import Operations, Table, each_output
from fedspike.layers.sliding import SlidingKernel, SlidingPool


@dataclass(frozen=True)
class Dense:
    """A fully connected layer of I inputs and O outputs: S = I*O synapses."""

    inputs: int
    outputs: int
    bias: bool = True

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Of its weights, as torch has them."""
        return self.outputs, self.inputs

    @property
    def synapses(self) -> int:
        """Pairs of an input and an output that are connected."""
        return self.inputs * self.outputs

    @property
    def parameters(self) -> int:
        """Learned numbers: a weight per synapse, a bias per output."""
        return self.synapses + self.bias * self.outputs


@dataclass(frozen=True)
class Convolution:
    """A two-dimensional convolution with square kernels, over channels of `height` x `width`.

    Padding has no neurons, so what a kernel has outside the image is no synapse. With K the kernel and P
    the padding, an axis of H positions has floor((H + 2P - K) / stride) + 1 of them after it. With G `groups`
    the channels are cut into G equal parts before and behind it, and each part has kernels over its own part
    alone; as many groups as channels before it make a depthwise convolution.

    >>> layer = Convolution(in_channels=1, out_channels=8, kernel=3, height=28, width=28, padding=1)
    >>> layer.inputs, layer.outputs, layer.parameters, layer.synapses
    (784, 6272, 80, 53792)
    >>> Convolution(in_channels=8, out_channels=8, kernel=3, height=7, width=7, groups=8).weight_shape
    (8, 1, 3, 3)
    """

    in_channels: int
    out_channels: int
    kernel: int
    height: int
    width: int
    stride: int = 1
    padding: int = 0
    bias: bool = True
    groups: int = 1

    def __post_init__(self) -> None:
        counts = (self.in_channels, self.out_channels, self.kernel, self.stride, self.groups)
        if (
            min(counts) < 1
            or not 0 <= self.padding < self.kernel
            or self.kernel > min(self.height, self.width) + 2 * self.padding
        ):
            raise InputError(
                f"a convolution of {self.in_channels} to {self.out_channels} channels over {self.height} x "
                f"{self.width} values, with kernel = {self.kernel}, stride = {self.stride}, "
                f"padding = {self.padding}, groups = {self.groups}",
                expected="channels, kernel, stride and groups of at least 1, a padding of at least 0 that is "
                "smaller than the kernel, and a kernel no larger than the padded image",
                fix="for a 28 x 28 image, kernel = 3 with padding = 1 keeps the size",
                keys=("features",),
            )
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise InputError(
                f"a convolution of {self.in_channels} to {self.out_channels} channels in "
                f"{self.groups} groups",
                expected="groups that divide the channels before it and those behind it",
                fix="change channels or groups; a depthwise convolution has as many groups as there are "
                "channels before it",
                keys=("features",),
            )

    @property
    def out_size(self) -> tuple[int, int]:
        """Rows and columns after it."""
        reach = 2 * self.padding - self.kernel
        rows, columns = ((size + reach) // self.stride + 1 for size in (self.height, self.width))
        return rows, columns

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Of its kernels, as torch has them."""
        return self.out_channels, self.in_channels // self.groups, self.kernel, self.kernel

    @property
    def inputs(self) -> int:
        """Neurons before it."""
        return self.in_channels * self.height * self.width

    @property
    def outputs(self) -> int:
        """Neurons after it."""
        rows, columns = self.out_size
        return self.out_channels * rows * columns

    @property
    def synapses(self) -> int:
        """Pairs of an input and an output that are connected: the sum of all inputs' fan-out."""
        return self.in_channels * int(fan_out(self).sum())

    @property
    def parameters(self) -> int:
        """Learned numbers: out_channels x in_channels/groups kernels, a bias per output channel."""
        return math.prod(self.weight_shape) + self.out_channels * self.bias


@dataclass(frozen=True)
class Pool:
    """The average or the maximum of windows of size x size that do not overlap.

    Rows and columns that fill no window are left out, as torch does. An event that enters there is read like
    any other, and comes to nothing. A pool of `currents` is between the synapses of a spiking layer and their
    neurons, of which there are then as many as values after it; no event enters it.
    """

    kind: Literal["average", "max"]
    channels: int
    height: int
    width: int
    size: int = 2
    currents: bool = False

    def __post_init__(self) -> None:
        if min(self.channels, self.size) < 1 or min(self.height, self.width) < self.size:
            raise InputError(
                f"a pool of {self.size} x {self.size} over {self.height} x {self.width} values in "
                f"{self.channels} channels",
                expected="windows of 1 x 1 at least, and no larger than the image",
                fix="pool less often, or larger images",
                keys=("features",),
            )

    parameters = 0

    @property
    def inputs(self) -> int:
        """Values before it."""
        return self.channels * self.height * self.width

    @property
    def outputs(self) -> int:
        """Values after it."""
        rows, columns = self.out_size
        return self.channels * rows * columns

    @property
    def out_size(self) -> tuple[int, int]:
        """Rows and columns after it."""
        return self.height // self.size, self.width // self.size

    def operations(self, *, spiking: bool) -> Table:
        """A window's values are added or compared; spikes one by one, as they come.

        Of `currents` a window is read, and cleared for the next step, at every step.
        The gradient of an average is shared out, that of a maximum goes where it came from.
        """
        average, backward = self.kind == "average", each_output(spiking=spiking)
        join, after = ("add", {"multiply": 1}) if average else ("compare", {})
        pool: dict[str, Operations]
        if self.currents:
            cells = self.size**2
            gathered = {join: cells - 1, **after, "read_potential": cells, "write_potential": cells}
            pool = {"output and step": gathered}
        elif spiking:
            pool = {
                "event in": {join: 1, "read_input": 1},
                "event out": {**after, "write_output": 1},
            }
        elif self.outputs * self.size**2 != self.inputs:  # values in no window are not read
            window = {join: self.size**2 - 1, "read_input": self.size**2}
            pool = {"output": {**window, **after, "write_output": 1}}
        else:  # a window of k values is joined in k - 1 steps
            pool = {
                "input": {join: 1, "read_input": 1},
                "output": {join: -1, **after, "write_output": 1},
            }
        return {"pool": pool, "backward_inputs": {backward: {"multiply": 1}} if average else {}}


@dataclass(frozen=True)
class BatchNorm:
    """Batch normalisation between the synapses of the layer before it and their neurons.

    Each channel of `positions` values (1 behind a dense layer) has its mean and variance, a learned scale
    and, with `shift`, a learned offset; with `time_steps` T it has them for each step (BNTT, which has no
    shift and whose synapses have no bias: Kim and Panda, "Revisiting Batch Normalization for Training
    Low-Latency Deep Spiking Neural Networks From Scratch", Frontiers in Neuroscience 15, 2021). With
    `pooled`, clients send mean and variance too, and the server pools them.

    A normalisation that is folded into the weights before it does nothing: leave it out of the network.
    """

    channels: int
    positions: int = 1
    time_steps: int = 1
    shift: bool = True
    pooled: bool = True

    @property
    def inputs(self) -> int:
        """Values before it, in one time step."""
        return self.channels * self.positions

    @property
    def outputs(self) -> int:
        """Values after it, in one time step."""
        return self.inputs

    @property
    def groups(self) -> int:
        """Means, and as many variances: one per channel and, in BNTT, time step."""
        return self.channels * self.time_steps

    @property
    def parameters(self) -> int:
        """Learned numbers: scales and shifts."""
        return self.groups * (1 + self.shift)

    def operations(self, *, spiking: bool) -> Table:
        """x_hat = (x - mean) / sqrt(variance + eps), y = scale * x_hat + shift, and the gradients.

        Source: Ioffe, Szegedy, "Batch Normalization", ICML 2015, Algorithm 1 and the gradients below it.
        """
        value = each_output(spiking=spiking)
        forward = {
            "multiply": 3,
            "add": 3 + self.shift,
            "read_weight": 1,
            "read_bias": int(self.shift),
        }
        return {
            "normalise": {
                value: forward,
                "group and batch": {"multiply": 6, "add": 3, "sqrt": 1},
            },
            "backward_weights": {value: {"mac": 1, "add": 1}},
            "backward_inputs": {
                value: {"multiply": 2, "add": 2},
                "group and batch": {"multiply": 3},
            },
        }

    def tested(self) -> Table:
        """In a test, scale and shift being prepared; `time_steps` 1 stands for all steps there, too."""
        operations = {"multiply": 1, "add": 1, "read_weight": 1, "read_bias": 1}
        return {"normalise": {"output and step": operations}}


TwinSynapses = Dense | Convolution
Synapses = TwinSynapses | SlidingKernel
"""Layers with weights; behind each of them there are neurons."""

Pooling = Pool | SlidingPool
"""Averages and maxima, between layers with weights."""

Sliding = Convolution | SlidingKernel | SlidingPool
"""Layers in which it hangs on its place how many outputs an event meets."""

Layer = Synapses | Pooling | BatchNorm


def is_entered(layer: object) -> bool:
    """Whether events enter a layer: none enter what stands between synapses and their neurons."""
    passed = isinstance(layer, Pooling) and layer.currents
    return not (passed or isinstance(layer, BatchNorm | Norm | Groups | Sum))


def fan_out(layer: Sliding) -> Int64[np.ndarray, "..."]:
    """Synapses that an event at each position of any input channel meets.

    Input i of an axis is connected to the outputs o with 0 <= i + padding - stride*o < kernel. So events
    of shape [..., height, width] meet `(events * fan_out(layer)).sum()` synapses: never more than
    out_channels/groups * ceil(kernel / stride)^2 each, and just that many far from the edge where the stride
    divides the kernel. An event that enters a Dense layer meets all its outputs.

    >>> fan_out(Convolution(1, 1, kernel=3, height=4, width=4, padding=1)).tolist()
    [[4, 6, 6, 4], [6, 9, 9, 6], [6, 9, 9, 6], [4, 6, 6, 4]]
    """
    if not isinstance(layer, Convolution):
        return layer.fan_out()
    rows, columns = (_offsets(layer, *axis).sum(1) for axis in _axes(layer))
    met: np.ndarray = np.multiply.outer(layer.out_channels // layer.groups * rows, columns)
    return met


def weighted_fan_out(layer: Synapses, weight: np.ndarray) -> Int64[np.ndarray, "..."]:
    """Synapses with a weight that is not 0, for each input; `weight` has the shape of torch's layers."""
    if isinstance(layer, Dense):
        per_output: np.ndarray = np.count_nonzero(weight, axis=0).astype(np.int64)
        return per_output
    if isinstance(layer, SlidingKernel):
        return layer.weighted_fan_out(weight)
    by_group = weight.reshape(layer.groups, -1, *layer.weight_shape[1:])
    kernels = np.count_nonzero(by_group, axis=1).astype(np.int64)  # [group, channel, row, column]
    rows, columns = (_offsets(layer, *axis) for axis in _axes(layer))
    by_channel = np.einsum("gckl,hk,wl->gchw", kernels, rows, columns)
    per_input: np.ndarray = by_channel.reshape(-1, layer.height, layer.width)
    return per_input


def _axes(layer: Convolution) -> tuple[tuple[int, int], tuple[int, int]]:
    """Input and output positions along each axis."""
    rows, columns = layer.out_size
    return (layer.height, rows), (layer.width, columns)


def _offsets(layer: Convolution, before: int, after: int) -> Int64[np.ndarray, "before kernel"]:
    """How many outputs an input position meets with each row (or column) of the kernel."""
    offset = np.arange(before)[:, None] + layer.padding - layer.stride * np.arange(after)
    met: np.ndarray = (offset[:, :, None] == np.arange(layer.kernel)).sum(1).astype(np.int64)
    return met
