"""What a camera may do to test samples: noise and blur, on top of what they have already."""

import math

import numpy as np
from jaxtyping import Float32

from fedspike.randomness import stream

Samples = Float32[np.ndarray, "sample ..."]


def noisy(samples: Samples, deviation: float, seed: int, darkest: float = 0.0) -> Samples:
    """x + deviation n, n ~ N(0, 1) for each number, cut to what a sample may hold: from `darkest` to 1.

    n is the same for all deviations of a seed, and depends on the place of the sample alone.

    >>> images = np.full((2, 4, 4), 0.5, np.float32)
    >>> noisy(images, 0.1, seed=0).shape, bool((noisy(images, 0.0, seed=0) == images).all())
    ((2, 4, 4), True)
    """
    disturbed = np.empty_like(samples)
    for place, sample in enumerate(samples):
        normal = stream(seed, "test-noise", sample=place).standard_normal(sample.shape, np.float32)
        np.clip(sample + np.float32(deviation) * normal, darkest, 1, out=disturbed[place])
    return disturbed


def blurred(images: Samples, width: float) -> Samples:
    """Each image, or each of its channels, under a bell curve of that standard deviation in pixels.

    It ends after three deviations, and beyond its edge an image goes on as at the edge.

    >>> point = np.zeros((1, 5, 5), np.float32); point[0, 2, 2] = 1
    >>> blurred(point, 0.5)[0, 2].astype(float).round(3).tolist()
    [0.0, 0.084, 0.619, 0.084, 0.0]
    """
    rows, columns = (_bell(side, width) for side in images.shape[-2:])
    disturbed: np.ndarray = np.clip(rows @ images @ columns.T, images.min(), images.max())
    return disturbed


def _bell(side: int, width: float) -> Float32[np.ndarray, "after before"]:
    """How much of each pixel of a line each pixel takes."""
    reach = math.ceil(3 * width)
    offsets = np.arange(-reach, reach + 1)
    weights = np.exp(-(offsets**2) / (2 * width**2))
    taken = np.zeros((side, side))
    for pixel in range(side):
        np.add.at(taken[pixel], (pixel + offsets).clip(0, side - 1), weights / weights.sum())
    return taken.astype(np.float32)
