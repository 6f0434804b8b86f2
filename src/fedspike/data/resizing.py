"""Pictures of any size to one size, by area averaging."""

from functools import lru_cache

import numpy as np
from jaxtyping import Float32, UInt8


def resized(
    picture: UInt8[np.ndarray, "row column colour"], side: int
) -> UInt8[np.ndarray, "colour side side"]:
    """Each new pixel is the mean of the area that it covers in the old picture.

    >>> resized(np.array([[[0], [100]], [[200], [100]]], np.uint8), 1).tolist()
    [[[100]]]
    """
    down, across = (_shares(old, side) for old in picture.shape[:2])
    means = down @ np.moveaxis(picture.astype(np.float32), 2, 0) @ across.T
    rounded: np.ndarray = np.rint(means).clip(0, 255).astype(np.uint8)
    return rounded


@lru_cache(1024)
def _shares(old: int, new: int) -> Float32[np.ndarray, "new old"]:
    """How much of each new pixel lies in each old one, along one axis; a row sums to 1."""
    edges = np.arange(new + 1) * (old / new)
    first, last = edges[:-1, None], edges[1:, None]
    pixels = np.arange(old)
    overlap = np.minimum(last, pixels + 1) - np.maximum(first, pixels)
    shares: np.ndarray = (overlap.clip(0) * (new / old)).astype(np.float32)
    return shares
