"""Where samples come from."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from fedspike.data.arrays import as_array
from fedspike.data.dataset import Dataset, ignore, samples_within
from fedspike.data.layout import intensities
from fedspike.part import Part, abstractmethod

Samples = Float32[np.ndarray, "sample *shape"] | Int64[np.ndarray, "sample *shape"]


class Source(Part):
    """A description of a data set, which is read when it is needed."""

    @abstractmethod
    def load(self, say: Callable[[str], None] = ignore) -> Dataset:
        """The data set, checked; `say` hears each place that is tried. InputError where it cannot be had."""

    def as_loaded(self, values: Any, what: str = "images") -> Samples:
        """Samples that are not among its own, as its data set has them; `what` is how errors call them.

        Of a source that does not say more they are numbers as in `Dataset.x_test`. Raises InputError for
        others.
        """
        return as_in_a_dataset(values, what)

    def counted(self, samples: Samples) -> Samples:
        """Such samples as a network sees them that takes no recordings; see `Dataset.counted`."""
        return samples


class Pictures(Source):
    """A source of pictures, whose files have a byte for each pixel."""

    def as_loaded(self, values: Any, what: str = "images") -> Samples:
        """Numbers from 0 to 1, as in `Dataset.x_test`, or the bytes that they were made of, from 0 to 255.

        >>> from fedspike.data import FashionMNISTSample
        >>> picture = np.array([[[0, 51], [102, 255]]], np.uint8)
        >>> FashionMNISTSample().as_loaded(picture).round(3).tolist()
        [[[0.0, 0.20000000298023224], [0.4000000059604645, 1.0]]]
        """
        array = as_array(values, what)
        return (
            intensities(array)
            if array.dtype == np.uint8
            else as_in_a_dataset(array, what, signed=False)
        )


def as_in_a_dataset(values: Any, what: str = "images", *, signed: bool = True) -> Samples:
    """Numbers as in `Dataset.x_test`, from 0 to 1, or `signed` from -1. Raises InputError for others."""
    return samples_within(values, what, -1 if signed else 0)
