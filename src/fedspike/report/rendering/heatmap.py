"""Weight images as one PNG: a grid with a tile per neuron, purple below zero, green above.

The colours are ColorBrewer's PRGn (Brewer, colorbrewer2.org), told apart by every kind of colour
vision and not in use for ANN and SNN.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from fedspike.report.rendering import png

MOST_TILES = 100
GAP_PIXELS = 1
# From -127 to 127; the 256th colour is the gap between tiles, transparent.
_STOPS = (
    *("40004b", "762a83", "9970ab", "c2a5cf", "e7d4e8", "f7f7f7"),
    *("d9f0d3", "a6dba0", "5aae61", "1b7837", "00441b"),
)
GAP_INDEX = 255


@dataclass(frozen=True)
class Heatmap:
    """A picture of a layer's weights; the colours saturate at `-limit` and `limit`."""

    png: bytes
    width: int
    height: int
    limit: float
    tiles: int
    neurons: int


def heatmap(images: Float[np.ndarray, "neuron height width"]) -> Heatmap:
    """All weight images in one picture, zero white, on one scale.

    The scale ends where 1 in 200 weights lies beyond it, so that no outlier pales the rest. At most
    100 neurons are drawn, the first ones.
    """
    shown = images[:MOST_TILES]
    limit = float(np.quantile(np.abs(shown), 0.995)) or 1.0
    indices = np.round(np.clip(shown / limit, -1, 1) * 127 + 127).astype(np.uint8)
    pixels = _grid(indices)
    height, width = pixels.shape
    drawn = png.in_colours(pixels, _palette(), clear=GAP_INDEX)
    return Heatmap(drawn, width, height, limit, len(shown), len(images))


def _grid(tiles: UInt8[np.ndarray, "tile height width"]) -> UInt8[np.ndarray, "row column"]:
    """Tiles from left to right and top to bottom, as near to a square of tiles as it goes."""
    count, height, width = tiles.shape
    columns = min(count, max(1, round(math.sqrt(count * height / width))))
    rows = math.ceil(count / columns)
    framed = np.full((rows * columns, height + GAP_PIXELS, width + GAP_PIXELS), GAP_INDEX, np.uint8)
    framed[:count, :height, :width] = tiles
    by_row = framed.reshape(rows, columns, *framed.shape[1:]).swapaxes(1, 2)
    return by_row.reshape(rows * framed.shape[1], -1)[:-GAP_PIXELS, :-GAP_PIXELS]


def _palette() -> bytes:
    """The colours of -127 to 127, then that of the gap."""
    stops = np.array([list(bytes.fromhex(stop)) for stop in _STOPS], dtype=np.float64)
    places = np.linspace(0, len(stops) - 1, GAP_INDEX)
    channels = [np.interp(places, np.arange(len(stops)), stops[:, i]) for i in range(3)]
    return np.round(np.stack(channels, axis=1)).astype(np.uint8).tobytes() + b"\xff\xff\xff"
