"""How the layers of a network are laid out; their sizes follow from the data."""

import math
from typing import Annotated, Literal

from msgspec import Meta

from fedspike.errors import InputError
from fedspike.networks.convolutional_layers import Conv, ConvolutionalLayers, Count, Dense, Pool
from fedspike.networks.dense_layers import DenseLayers
from fedspike.networks.sized_layers import InitialWeights, Layers
from fedspike.part import Part, abstractmethod


class Architecture(Part, kw_only=True):
    """Layers between the numbers of a sample and its classes."""

    initial_weights: Annotated[
        InitialWeights,
        Meta(description="torch: as torch's layers begin; he: as suits many layers of ReLUs"),
    ] = "torch"

    @abstractmethod
    def over(self, shape: tuple[int, ...], classes: int) -> Layers:
        """The layers over samples of this shape; raises InputError where they do not fit."""


class FullyConnected(Architecture, tag="dense"):
    """Fully connected hidden layers; input and output follow from the data set.

    >>> FullyConnected(hidden=(100,)).over((28, 28), classes=10)
    DenseLayers(sizes=(784, 100, 10))
    """

    hidden: Annotated[tuple[Count, ...], Meta(min_length=1, max_length=100)] = (100,)

    def over(self, shape: tuple[int, ...], classes: int) -> DenseLayers:
        """The layers over flat samples."""
        return DenseLayers((math.prod(shape), *self.hidden, classes), self.initial_weights)


class Convolutional(Architecture, tag="convolutional"):
    """Convolutions and pools of 2 x 2, then fully connected hidden layers.

    A number is a convolution of 3 x 3 with so many channels, "depthwise" one of 3 x 3 with a kernel for each
    channel alone. A table says all that a convolution has: `channels`, `kernel`, `stride`, `padding` and
    `groups`.

    The default is a small relative of the VGG networks, for images whose sides can be halved twice: kernels
    that keep the size, pools that halve it, twice as many channels behind each.

    Source: Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR
    2015, whose smallest has 11 layers with weights where the default has 4. A "depthwise" and a kernel of 1
    behind it are a separable convolution: Howard et al., "MobileNets: Efficient Convolutional Neural Networks
    for Mobile Vision Applications", arXiv:1704.04861, 2017, there with ReLU and normalisation behind both.

    >>> [Convolutional().over(image, classes=10).parameters for image in ((28, 28), (3, 32, 32))]
    [206922, 268650]
    >>> separable = (16, "pool", "depthwise", Conv(32, kernel=1), "pool")
    >>> Convolutional(features=separable).over((28, 28), classes=10).parameters
    202986
    """

    features: Annotated[
        tuple[Count | Literal["pool", "depthwise"] | Conv, ...], Meta(min_length=1, max_length=100)
    ] = (16, "pool", 32, "pool")
    hidden: Annotated[tuple[Count, ...], Meta(max_length=100)] = (128,)
    pool: Literal["average", "max"] = "average"
    uneven: Annotated[
        Literal["refuse", "cut"],
        Meta(description="rows and columns that fill no window of a pool; cut: they are left out"),
    ] = "refuse"

    def over(self, shape: tuple[int, ...], classes: int) -> ConvolutionalLayers:
        """The layers over images; raises InputError where the samples are none, or a stage does not fit."""
        image = (1, *shape) if len(shape) == 2 else shape
        if len(image) != 3:
            raise InputError(
                f"convolutions over samples of shape {shape}",
                expected="images [row, column] or, channels first, [channel, row, column]",
                fix='say which axis is which, as with data.axes = "sample height width channel", '
                'or set architecture.kind = "dense"',
                keys=("architecture",),
            )
        pool = Pool(self.pool, cuts=self.uneven == "cut")
        channels, rows, columns = image
        stages: list[Conv | Pool] = []
        for feature in self.features:
            if feature == "pool":
                stages.append(pool)
                continue
            if feature == "depthwise":
                conv = Conv(channels, groups=channels)
            else:
                conv = feature if isinstance(feature, Conv) else Conv(int(feature))
            channels = conv.channels
            stages.append(conv)
        return ConvolutionalLayers(
            (image[0], rows, columns),
            (*stages, *map(Dense, self.hidden)),
            classes,
            self.initial_weights,
        )
