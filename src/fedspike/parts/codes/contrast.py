"""The contrast code: the further a pixel rises above one before it, the sooner its only spike."""

import math
from typing import Annotated

from msgspec import Meta

from fedspike.errors import InputError
from fedspike.layers.operations import Table
from fedspike.parts.codes.code import encoder
from fedspike.parts.codes.latency import Latency


class Contrast(Latency, tag="contrast"):
    """The further a pixel rises above one before it, the sooner its only spike.

        d_i = max(0, x_i - x_(i-n)),  x = 0 before the first,  and the latency code of d_i in the place of x_i

    n = `distance` in the order in which pixels are read out: row after row, so that it is the n-th neighbour
    to the left, and at the beginning of a row one at the end of the row above. So edges spike at which it
    becomes brighter, strong ones first; even surfaces and falling edges are silent.

    No source, this is ours: snnTorch's `spikegen.latency` of differences as its `spikegen.delta` takes them
    without off-spikes, in space and not in time. Differences are those of levels, as in `Delta`.

    >>> import torch
    >>> from fedspike.parts.codes import Address, raster
    >>> address = Address(seed=0, purpose="encode", round=1, clients=(0,), first_samples=(0,))
    >>> raster(Contrast(distance=1), 5, torch.tensor([0.0, 0.5, 0.5, 0.52, 0.25, 0.5]), address)
    [(2, 1), (3, 5)]
    """

    threshold: Annotated[float, Meta(gt=0, lt=1)] = 0.05
    distance: Annotated[int, Meta(ge=1, le=2**20, description="n, in pixels")] = 2

    @property
    def above(self) -> int:
        """The distance."""
        return self.distance

    def entering(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """As the samples. Raises InputError where all of their pixels have nothing so far before them."""
        if self.distance >= (pixels := math.prod(shape)):
            raise InputError(
                f"distance = {self.distance} with samples of {pixels} pixels",
                expected=f"a pixel before another: a distance below {pixels}",
                fix="set code.distance = 2, its default",
                keys=("distance",),
            )
        return super().entering(shape)

    def operations(self) -> Table:
        """The latency code's, and a difference of each pixel from one that was read before."""
        table = encoder(compare=1)
        return {"encode": {**table["encode"], "input": {"read_input": 1, "add": 1}}}
