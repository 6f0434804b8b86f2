"""Drawn traffic signs as a data set; GTSRB, which they stand in for, is in gtsrb.py."""

import hashlib
from collections.abc import Callable
from typing import Annotated

import numpy as np
from msgspec import Meta

from fedspike.data.dataset import Dataset, ignore
from fedspike.data.layout import intensities
from fedspike.data.signs import scenes
from fedspike.data.signs.faces import CLASSES
from fedspike.data.source import Pictures

Samples = Annotated[int, Meta(ge=CLASSES, lt=2**24)]


class Signs(Pictures, tag="signs"):
    """Drawn traffic signs: 43 classes, 32 x 32 pixels in red, green and blue. They are no photographs.

    Classes, shapes, colours and symbols are those of GTSRB, the German Traffic Sign Recognition Benchmark, in
    its order; nothing of its images is in them, and no result on them is one on GTSRB. A program draws each
    sign, turned away, near or far, then dirt on it, what is behind and before it (a branch or a post before
    every fourth), the light from dusk to glare, and a camera out of focus, in motion and noisy. All classes
    are equally frequent. A sample depends on `edition`, its part and its number alone, so more samples begin
    with the same ones. 10,000 take some seconds to draw.

    Source of the classes: Stallkamp, Schlipsing, Salmen, Igel, "Man vs. computer: benchmarking machine
    learning algorithms for traffic sign recognition", Neural Networks 32, 2012.
    """

    train_samples: Annotated[Samples, Meta(description="drawn to learn from")] = 8600
    test_samples: Annotated[Samples, Meta(description="drawn to test with")] = 2150
    edition: Annotated[
        int, Meta(ge=0, lt=2**31, description="another number draws other samples")
    ] = 0

    def load(self, say: Callable[[str], None] = ignore) -> Dataset:
        """The signs, drawn anew and always the same."""
        drawn, labels = {}, {}
        for part, samples in (("train", self.train_samples), ("test", self.test_samples)):
            say(f"signs: drawing {samples} to {part}")
            labels[part] = np.arange(samples) % CLASSES
            drawn[part] = scenes.drawn(labels[part], self.edition, f"{self.kind}-{part}")
        return Dataset(
            name=self.kind,
            x_train=intensities(drawn["train"]),
            y_train=labels["train"],
            x_test=intensities(drawn["test"]),
            y_test=labels["test"],
            classes=CLASSES,
            source=f"drawn by fedspike, edition {self.edition}: no photographs, and not GTSRB",
            sha256={
                f"x_{part}": hashlib.sha256(pixels.tobytes()).hexdigest()
                for part, pixels in drawn.items()
            },
        )
