"""Convolutional layers with their sizes: stages over an image, from which the layers follow."""

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Annotated, Literal, get_type_hints

from msgspec import Meta, Struct, structs

from fedspike.errors import InputError
from fedspike.layers import shapes as counted
from fedspike.layers.shapes import TwinSynapses
from fedspike.networks.sized_layers import InitialWeights, Layers, narrow
from fedspike.part import within

Shape = tuple[int, int, int]
"""Channels, rows and columns."""


Count = Annotated[int, Meta(ge=1, lt=2**31)]


class Conv(Struct, frozen=True, forbid_unknown_fields=True):
    """A convolution with so many channels, of kernels of kernel x kernel; the default keeps rows and columns.

    A `padding` of "half" is floor(kernel / 2) on each side, which keeps them for every odd kernel. For
    `groups` see `layers.shapes.Convolution`; a kernel reaches over the channels of its own group.

    >>> depthwise, pointwise = Conv(16, groups=16), Conv(32, kernel=1)
    >>> [layer.over(image)[0].parameters for layer, image in
    ...     ((Conv(32), (16, 14, 14)), (depthwise, (16, 14, 14)), (pointwise, (16, 14, 14)))]
    [4640, 160, 544]
    """

    channels: Count
    kernel: Count = 3
    stride: Count = 1
    padding: Annotated[int, Meta(ge=0, lt=2**31)] | Literal["half"] = "half"
    groups: Count = 1

    def __post_init__(self) -> None:
        for one, annotation in get_type_hints(Conv, include_extras=True).items():
            within(f"Conv: {one}", getattr(self, one), annotation)

    def over(self, image: Shape) -> tuple[counted.Convolution, Shape]:
        """The layer over such an image, and the shape of what comes out."""
        channels, height, width = image
        layer = counted.Convolution(
            *(channels, self.channels, self.kernel, height, width, self.stride),
            padding=self.kernel // 2 if self.padding == "half" else self.padding,
            groups=self.groups,
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
    def described(self) -> dict[str, TwinSynapses | counted.Pool]:
        """The layers from input to output."""
        layers: dict[str, TwinSynapses | counted.Pool] = {}
        image = self.image
        for name, stage in zip(self._names_of_stages(), self.stages, strict=True):
            layers[name], image = stage.over(image)
        layers["output"], _ = Dense(self.classes).over(image)
        return layers

    def narrowed(self, width: float) -> "ConvolutionalLayers":
        """The same with fewer channels and hidden neurons; InputError where channels are in groups."""
        grouped = [stage for stage in self.stages if isinstance(stage, Conv) and stage.groups > 1]
        if grouped:
            raise InputError(
                f"a network that is narrowed, with a convolution in {grouped[0].groups} groups",
                expected="convolutions over all channels, of which the first ones are a network too",
                fix="leave out the remedy that narrows it, or the groups",
                keys=("features",),
            )
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
        return structs.replace(stage, channels=narrow(stage.channels, width))
    return replace(stage, neurons=narrow(stage.neurons, width)) if type(stage) is Dense else stage
