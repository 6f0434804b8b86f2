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


def rotated(images: Samples, degrees: float) -> Samples:
    """Each image, or each of its channels, turned around its middle, against the clock.

    Between pixels it is interpolated linearly, and beyond its edge an image goes on as at the edge.

    >>> corner = np.zeros((1, 3, 3), np.float32); corner[0, 0, 2] = 1
    >>> rotated(corner, 90)[0].round(6).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    height, width = images.shape[-2:]
    turn = math.radians(degrees)
    down, right = np.mgrid[:height, :width] - np.array([height - 1, width - 1])[:, None, None] / 2
    from_row = down * math.cos(turn) + right * math.sin(turn) + (height - 1) / 2
    from_column = right * math.cos(turn) - down * math.sin(turn) + (width - 1) / 2
    disturbed = np.zeros_like(images)
    for row, share in _neighbours(from_row, height):
        for column, other in _neighbours(from_column, width):
            disturbed += images[..., row, column] * (share * other).astype(np.float32)
    return disturbed


def _neighbours(places: np.ndarray, length: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """The pixels before and behind each place of a line, and how much of each it takes."""
    within = places.clip(0, length - 1)
    before = np.floor(within).astype(np.int64)
    rest = within - before
    return [(before, 1 - rest), (np.minimum(before + 1, length - 1), rest)]


def _bell(side: int, width: float) -> Float32[np.ndarray, "after before"]:
    """How much of each pixel of a line each pixel takes."""
    reach = math.ceil(3 * width)
    offsets = np.arange(-reach, reach + 1)
    weights = np.exp(-(offsets**2) / (2 * width**2))
    taken = np.zeros((side, side))
    for pixel in range(side):
        np.add.at(taken[pixel], (pixel + offsets).clip(0, side - 1), weights / weights.sum())
    return taken.astype(np.float32)
