"""The shape of a convolutional network: stages over an image, from which layers and their sizes follow."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fedspike.errors import InputError
from fedspike.layers import shapes as counted
from fedspike.layers.shapes import Synapses
from fedspike.networks.dense_layers import Parameters, drawn

Shape = tuple[int, int, int]
"""Channels, rows and columns."""
# Numbers of the largest layer, over all time steps, that stay in a cache of 4 MB and those before it.
_CACHED = 2**20


@dataclass(frozen=True)
class Conv:
    """A convolution with so many kernels of kernel x kernel; the default of both keeps rows and columns."""

    channels: int
    kernel: int = 3
    stride: int = 1
    padding: int = 1

    def over(self, image: Shape) -> tuple[counted.Convolution, Shape]:
        """The layer over such an image, and the shape of what comes out."""
        channels, height, width = image
        layer = counted.Convolution(
            channels, self.channels, self.kernel, height, width, self.stride, self.padding
        )
        return layer, (self.channels, *layer.out_size)


@dataclass(frozen=True)
class Pool:
    """The average or the maximum of windows of size x size; of spikes a maximum is one, an average is not."""

    kind: Literal["average", "max"] = "average"
    size: int = 2

    def over(self, image: Shape) -> tuple[counted.Pool, Shape]:
        """The layer over such an image, and the shape of what comes out."""
        channels, height, width = image
        layer = counted.Pool(self.kind, channels, height, width, self.size)
        return layer, (channels, height // self.size, width // self.size)


@dataclass(frozen=True)
class Dense:
    """A fully connected layer of so many neurons; behind it there is no image any more."""

    neurons: int

    def over(self, image: Shape) -> tuple[counted.Dense, Shape]:
        """The layer over such an image, and the shape of what comes out."""
        return counted.Dense(math.prod(image), self.neurons), (self.neurons, 1, 1)


Stage = Conv | Pool | Dense


@dataclass(frozen=True)
class ConvolutionalLayers:
    """Stages one after the other over an image, and a fully connected layer of the classes at the end.

    Samples arrive flat, channel by channel and row by row. What `DenseLayers` has, this has too.

    >>> layers = ConvolutionalLayers((1, 28, 28), (Conv(8), Pool(), Dense(64)), classes=10)
    >>> layers.names, layers.layers
    (('conv1', 'hidden', 'output'), (784, 6272, 1568, 64, 10))
    """

    image: Shape
    stages: tuple[Stage, ...]
    classes: int

    def __post_init__(self) -> None:
        kinds = [type(stage) for stage in self.stages]
        flat = [kind for kind in kinds if kind is Dense]
        counts = (*self.image, self.classes, *(s.neurons for s in self.stages if type(s) is Dense))
        if min(counts) < 1 or kinds[len(kinds) - len(flat) :] != flat or kinds[:1] == [Pool]:
            raise InputError(
                f"{self}",
                expected="an image, neurons and classes of at least 1, first a Conv (or Dense) and no "
                "Conv or Pool behind a Dense",
                fix="small_vgg((1, 28, 28), classes=10) is one for Fashion-MNIST",
            )
        _ = (
            self.described
        )  # raises where a stage does not fit over what comes out of the one before

    @property
    def described(self) -> dict[str, Synapses | counted.Pool]:
        """The layers from input to output, as the energy bill has them."""
        found: dict[str, Synapses | counted.Pool] = {}
        image = self.image
        for name, stage in zip(self._names_of_stages(), self.stages, strict=True):
            found[name], image = stage.over(image)
        found["output"], _ = Dense(self.classes).over(image)
        return found

    @property
    def weighted(self) -> dict[str, Synapses]:
        """Those that have weights."""
        found = self.described.items()
        return {name: layer for name, layer in found if isinstance(layer, Synapses)}

    @property
    def names(self) -> tuple[str, ...]:
        """The layers that have weights, first to last."""
        return tuple(self.weighted)

    @property
    def sizes(self) -> dict[str, tuple[int, int]]:
        """Inputs and outputs of every layer that has weights."""
        return {name: (layer.inputs, layer.outputs) for name, layer in self.weighted.items()}

    @property
    def layers(self) -> tuple[int, ...]:
        """Neurons (behind a pool: values) from the input to the classes."""
        return (math.prod(self.image), *(layer.outputs for layer in self.described.values()))

    def samples_in_cache(self, time_steps: int) -> int:
        """Samples whose largest layer, over all time steps, stays in a cache.

        Layers are so large that everything else waits for memory.
        """
        return max(1, _CACHED // (time_steps * max(self.layers)))

    @property
    def synapses(self) -> int:
        """Connections between neurons; there are none with padding."""
        return sum(layer.synapses for layer in self.weighted.values())

    @property
    def parameters(self) -> int:
        """Learned numbers: weights, and a bias per neuron or, of a convolution, channel."""
        return sum(layer.parameters for layer in self.weighted.values())

    def init(self, generator: np.random.Generator) -> Parameters:
        """Draw initial weights and biases, uniform on +-1/sqrt(a neuron's inputs), as torch's layers do.

        Weights are `[channels, channels before, kernel, kernel]` or `[outputs, inputs]`, float32.
        """
        parameters: Parameters = {}
        for name, layer in self.weighted.items():
            if isinstance(layer, counted.Convolution):
                shape = (layer.out_channels, layer.in_channels, layer.kernel, layer.kernel)
                parameters |= drawn(name, shape, generator)
            else:
                parameters |= drawn(name, (layer.outputs, layer.inputs), generator)
        return parameters

    def _names_of_stages(self) -> list[str]:
        """conv1, pool1, ..., and the hidden layers as `DenseLayers` calls them."""
        dense = sum(isinstance(stage, Dense) for stage in self.stages)
        seen = dict.fromkeys((Conv, Pool, Dense), 0)
        called: dict[type, str] = {Conv: "conv", Pool: "pool", Dense: "hidden"}
        names = []
        for stage in self.stages:
            seen[type(stage)] += 1
            number = "" if isinstance(stage, Dense) and dense == 1 else f"{seen[type(stage)]}"
            names.append(f"{called[type(stage)]}{number}")
        return names


def small_vgg(
    image: Shape, classes: int, pool: Literal["average", "max"] = "average"
) -> ConvolutionalLayers:
    """A small relative of the VGG networks, for images whose sides can be halved twice.

    Kernels of 3 x 3 that keep the size, pools that halve it, twice as many channels behind each: 16 and 32,
    then 128 neurons.

    Source: Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR
    2015, whose smallest has 11 layers with weights where this has 4.

    >>> small_vgg((1, 28, 28), classes=10).parameters, small_vgg((3, 32, 32), classes=10).parameters
    (206922, 268650)
    """
    stages = (Conv(16), Pool(pool), Conv(32), Pool(pool), Dense(128))
    return ConvolutionalLayers(image, stages, classes)
