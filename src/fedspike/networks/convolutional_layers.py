"""Convolutional layers with their sizes: stages over an image, from which the layers follow."""

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

from fedspike.errors import InputError
from fedspike.layers import shapes as counted
from fedspike.layers.shapes import Synapses
from fedspike.networks.sized_layers import InitialWeights, Layers, narrow

Shape = tuple[int, int, int]
"""Channels, rows and columns."""


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
    """The average or the maximum of windows of size x size; of spikes a maximum is one, an average is not.

    Rows and columns that fill no window are refused, or `cuts` leaves them out.
    """

    kind: Literal["average", "max"] = "average"
    size: int = 2
    cuts: bool = False

    def over(self, image: Shape) -> tuple[counted.Pool, Shape]:
        """The layer over such an image, and the shape of what comes out."""
        channels, height, width = image
        layer = counted.Pool(self.kind, channels, height, width, self.size)
        if (height % self.size or width % self.size) and not self.cuts:
            raise InputError(
                f"a pool of {self.size} x {self.size} over {height} x {width} values, the last of which fill "
                "no window",
                expected=f"rows and columns that {self.size} divides",
                fix='pool less often, or leave them out: uneven = "cut" (cuts = True of a Pool)',
                keys=("features",),
            )
        return layer, (channels, *layer.out_size)


@dataclass(frozen=True)
class Dense:
    """A fully connected layer of so many neurons; behind it there is no image any more."""

    neurons: int

    def over(self, image: Shape) -> tuple[counted.Dense, Shape]:
        """The layer over such an image, and the shape of what comes out."""
        return counted.Dense(math.prod(image), self.neurons), (self.neurons, 1, 1)


Stage = Conv | Pool | Dense


@dataclass(frozen=True)
class ConvolutionalLayers(Layers):
    """Stages one after the other over an image, and a fully connected layer of the classes at the end.

    Samples arrive flat, channel by channel and row by row.

    >>> layers = ConvolutionalLayers((1, 28, 28), (Conv(8), Pool(), Dense(64)), classes=10)
    >>> layers.names, layers.layers
    (('conv1', 'hidden', 'output'), (784, 6272, 1568, 64, 10))
    """

    image: Shape
    stages: tuple[Stage, ...]
    classes: int
    initial_weights: InitialWeights = field(default="torch", repr=False)

    def __post_init__(self) -> None:
        kinds = [type(stage) for stage in self.stages]
        flat = [kind for kind in kinds if kind is Dense]
        counts = (*self.image, self.classes, *(s.neurons for s in self.stages if type(s) is Dense))
        if min(counts) < 1 or kinds[len(kinds) - len(flat) :] != flat or kinds[:1] == [Pool]:
            stages = ", ".join(kind.__name__ for kind in kinds)
            raise InputError(
                f"stages {stages} over an image of {' x '.join(map(str, self.image))}, for {self.classes} "
                "classes",
                expected="an image, neurons and classes of at least 1, first a Conv (or Dense) and no "
                "Conv or Pool behind a Dense",
                fix='begin with a convolution, as in features = [16, "pool"]',
                keys=("features",),
            )
        _ = self.described  # raises where a stage does not fit over what comes out before it

    @cached_property
    def described(self) -> dict[str, Synapses | counted.Pool]:
        """The layers from input to output."""
        layers: dict[str, Synapses | counted.Pool] = {}
        image = self.image
        for name, stage in zip(self._names_of_stages(), self.stages, strict=True):
            layers[name], image = stage.over(image)
        layers["output"], _ = Dense(self.classes).over(image)
        return layers

    def narrowed(self, width: float) -> "ConvolutionalLayers":
        """The same with fewer channels and hidden neurons."""
        return replace(self, stages=tuple(_narrowed(stage, width) for stage in self.stages))

    def _names_of_stages(self) -> list[str]:
        """conv1, pool1, ..., and the hidden layers as `DenseLayers` calls them."""
        kinds = [type(stage) for stage in self.stages]
        called: dict[type, str] = {Conv: "conv", Pool: "pool", Dense: "hidden"}
        lone = kinds.count(Dense) == 1
        return [
            called[kind] + ("" if kind is Dense and lone else str(kinds[: at + 1].count(kind)))
            for at, kind in enumerate(kinds)
        ]


def _narrowed(stage: Stage, width: float) -> Stage:
    if isinstance(stage, Conv):
        return replace(stage, channels=narrow(stage.channels, width))
    return replace(stage, neurons=narrow(stage.neurons, width)) if type(stage) is Dense else stage
