"""A data source of one's own."""

import hashlib
from collections.abc import Callable
from typing import Annotated

import numpy as np
from msgspec import Meta

from fedspike.data import Dataset, Source
from fedspike.randomness import stream


class Stripes(Source, tag="stripes"):
    """Images of 8 x 8 pixels with one bright row, whose number is the class, in noise."""

    samples: Annotated[
        int, Meta(ge=8, lt=2**31, description="of training; half as many of test")
    ] = 160
    noise: Annotated[float, Meta(ge=0, le=1)] = 0.3

    def load(self, say: Callable[[str], None] = lambda _: None) -> Dataset:
        """The images, always the same."""
        say("Stripes: drawing them")
        x, y = self._drawn(self.samples, 0)
        x_test, y_test = self._drawn(self.samples // 2, 1)
        content = hashlib.sha256(x.tobytes() + x_test.tobytes()).hexdigest()
        return Dataset(
            self.kind, x, y, x_test, y_test, 8, source="drawn", sha256={"stripes": content}
        )

    def _drawn(self, samples: int, part: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.arange(samples) % 8
        images = self.noise * stream(0, "stripes", part).random((samples, 8, 8))
        images[np.arange(samples), labels] = 1.0
        return images.astype(np.float32), labels.astype(np.int64)
