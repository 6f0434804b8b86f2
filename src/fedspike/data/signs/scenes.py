"""From a face to a picture of it: where it hangs, what is before and behind it, the light, and the camera.

Every number that is random has the address of its sample: a sample is the same whatever else is drawn.
"""

import numpy as np
from jaxtyping import Float32, Int64, UInt8
from msgspec import Struct

from fedspike.data.signs.faces import REACH, faces
from fedspike.randomness import stream

PIXELS = 32
AT_ONCE = 256  # samples, which stay in a cache
COARSE, TAPS = 5, 7  # points of a rough surface in each direction; of a blur
_CENTRES = np.arange(PIXELS, dtype=np.float32) + 0.5 - PIXELS / 2

Values = Float32[np.ndarray, "sample"]
Pictures = Float32[np.ndarray, "sample channel row column"]
Cover = Float32[np.ndarray, "sample row column"]
Paint = Float32[np.ndarray, "sample _channel _row _column"]


class Chances(Struct, frozen=True):
    """What is random of so many samples: numbers from 0 to 1, and normal ones for the camera's noise."""

    numbers: Float32[np.ndarray, "sample number"]
    surfaces: Float32[np.ndarray, "sample surface point point"]
    grain: Pictures

    def between(self, number: int, low: float, high: float) -> Values:
        """The number of that place, from low to high."""
        values: np.ndarray = low + (high - low) * self.numbers[:, number]
        return values


NUMBERS, SURFACES = 36, 5


def drawn(
    labels: Int64[np.ndarray, " sample"], edition: int, purpose: str
) -> UInt8[np.ndarray, "sample channel row column"]:
    """A picture of each of these signs, 32 x 32 pixels in red, green and blue.

    >>> drawn(np.array([14, 14]), edition=0, purpose="signs-train").shape
    (2, 3, 32, 32)
    """
    parts = [
        _pictures(labels[first : first + AT_ONCE], _chances(first, labels, edition, purpose))
        for first in range(0, len(labels), AT_ONCE)
    ]
    return np.concatenate(parts)


def _chances(first: int, labels: np.ndarray, edition: int, purpose: str) -> Chances:
    """Those of the samples from `first` on, each from its own address."""
    count = min(AT_ONCE, len(labels) - first)
    numbers = np.empty((count, NUMBERS + SURFACES * COARSE**2), np.float32)
    grain = np.empty((count, 3, PIXELS, PIXELS), np.float32)
    for place in range(count):
        generator = stream(edition, purpose, sample=first + place)
        generator.random(out=numbers[place], dtype=np.float32)
        generator.standard_normal(out=grain[place], dtype=np.float32)
    surfaces = numbers[:, NUMBERS:].reshape(count, SURFACES, COARSE, COARSE)
    return Chances(numbers[:, :NUMBERS], surfaces, grain)


def _pictures(labels: np.ndarray, chances: Chances) -> np.ndarray:
    colour, opacity = _hung(labels, chances)
    dirt, paint = _dirt(chances)
    colour += dirt[:, None] * (paint - colour)
    picture = _background(chances)
    picture += opacity[:, None] * (colour - picture)
    cover, paint = _occlusion(chances)
    picture += cover[:, None] * (paint - picture)
    picture = _blurred(_lit(picture, chances), chances)
    picture += chances.between(28, 0.005, 0.035)[:, None, None, None] * chances.grain
    pixels: np.ndarray = np.rint(255 * picture.clip(0, 1)).astype(np.uint8)
    return pixels


def _hung(labels: np.ndarray, chances: Chances) -> tuple[Pictures, Cover]:
    """The faces as seen from a car: their size, place and turn, and how far they are turned away.

    With c the centre of the sign, a pixel at p shows the point A (p - c) / (1 + q.(p - c)) of the face.
    """
    radius = chances.between(0, 11.0, 15.5)
    turn = chances.between(1, -0.16, 0.16)
    across, down = radius * chances.between(2, 0.78, 1.05), radius * chances.between(3, 0.9, 1.05)
    x = _CENTRES[None, None, :] - chances.between(4, -2.5, 2.5)[:, None, None]
    y = _CENTRES[None, :, None] - chances.between(5, -2.5, 2.5)[:, None, None]
    far = chances.between(6, -0.2, 0.2) / radius, chances.between(7, -0.12, 0.12) / radius
    depth = 1 + far[0][:, None, None] * x + far[1][:, None, None] * y
    cos, sin = np.cos(turn)[:, None, None], np.sin(turn)[:, None, None]
    u = (cos * x + sin * y) / (across[:, None, None] * depth)
    v = (cos * y - sin * x) / (down[:, None, None] * depth)
    values = _sampled(labels, u, v)
    return np.moveaxis(values[..., :3], 3, 1).copy(), values[..., 3]


def _sampled(labels: np.ndarray, u: Cover, v: Cover) -> Float32[np.ndarray, "sample row column 4"]:
    """What the faces have at these points, between the four pixels around each."""
    painted = faces()
    side = painted.shape[1]
    places = [((one / REACH + 1) * (side / 2) - 0.5).clip(0, side - 1.001) for one in (u, v)]
    (column, right), (row, below) = ((p.astype(np.int64), p % 1) for p in places)
    at = (labels[:, None, None] * side + row) * side + column
    flat = painted.reshape(-1, 4)
    right, below = right[..., None], below[..., None]
    upper = flat[at] * (1 - right) + flat[at + 1] * right
    lower = flat[at + side] * (1 - right) + flat[at + side + 1] * right
    between: np.ndarray = upper * (1 - below) + lower * below
    return between.astype(np.float32)


def _surface(points: Float32[np.ndarray, "*many point point"]) -> np.ndarray:
    """A smooth surface through a few points in each direction, at every pixel."""
    steps = np.linspace(0, COARSE - 1, PIXELS, dtype=np.float32)
    near = np.maximum(0, 1 - np.abs(steps[:, None] - np.arange(COARSE, dtype=np.float32)))
    surface: np.ndarray = near @ points @ near.T
    return surface


def _colours(chances: Chances, first: int, low: float, high: float) -> Paint:
    """A random colour, not far from grey."""
    grey = chances.between(first, low, high)
    tints = [grey + chances.between(first + 1 + c, -0.12, 0.12) for c in range(3)]
    return np.stack(tints, axis=1)[:, :, None, None]


def _background(chances: Chances) -> Pictures:
    """Sky, leaves and walls: a colour above, another below, and patches on both."""
    above, below = _colours(chances, 8, 0.35, 0.95), _colours(chances, 12, 0.1, 0.6)
    horizon = chances.between(16, -10.0, 22.0)[:, None]
    share = (0.5 + (_CENTRES[None, :] - horizon) / 12).clip(0, 1)[:, None, :, None]
    patches = _surface(chances.surfaces[:, :3]) - np.float32(0.5)
    patches = patches[:, :1] + np.float32(0.35) * patches
    mixed: np.ndarray = above + share * (below - above) + np.float32(0.55) * patches
    return mixed.clip(0, 1)


def _dirt(chances: Chances) -> tuple[Cover, Paint]:
    """How much of each pixel of the sign is covered by dirt or faded, and its colour."""
    amount = chances.between(17, -0.4, 0.3)[:, None, None]
    cover = ((_surface(chances.surfaces[:, 3]) - 1 + amount) * 5).clip(0, 0.8)
    return cover, _colours(chances, 18, 0.15, 0.55)


def _occlusion(chances: Chances) -> tuple[Cover, Paint]:
    """A branch or a post before every fourth sign, which may cover a third of it."""
    angle = chances.between(22, 0.0, float(np.pi))[:, None, None]
    across = np.cos(angle) * _CENTRES[None, None, :] + np.sin(angle) * _CENTRES[None, :, None]
    middle = chances.between(23, -14.0, 14.0)[:, None, None]
    half = chances.between(24, 0.8, 3.5)[:, None, None]
    there = (chances.numbers[:, 25] < 0.25)[:, None, None]
    cover = there * (half - np.abs(across - middle) + 0.5).clip(0, 1)
    paint = np.stack([0.1 + 0.5 * chances.numbers[:, 26]] * 3, axis=1)[:, :, None, None]
    return cover.astype(np.float32), paint + 0.3 * (_surface(chances.surfaces[:, 4:5]) - 0.5)


def _lit(picture: Pictures, chances: Chances) -> Pictures:
    """From dusk to glare: brightness, a shadow from one side, haze, and the tint of the light."""
    number = chances.numbers[:, 27]
    bright = (0.35 + 0.8 * number)[:, None, None, None]
    slope = chances.between(29, -0.018, 0.018)[:, None, None] * _CENTRES[None, None, :]
    slope = slope + chances.between(30, -0.012, 0.012)[:, None, None] * _CENTRES[None, :, None]
    red, blue = chances.between(31, 0.88, 1.12), chances.between(32, 0.88, 1.12)
    tint = np.stack([red, np.ones_like(red), blue], axis=1)[:, :, None, None]
    haze = chances.between(33, 0.0, 0.2)[:, None, None, None]
    light = bright * (1 + slope)[:, None] * tint
    lit: np.ndarray = light * (picture + haze * (0.7 - picture))
    return lit


def _blurred(picture: Pictures, chances: Chances) -> Pictures:
    """Out of focus or in motion: a bell curve of its own width in each direction."""
    reach = TAPS // 2
    offsets = np.arange(-reach, reach + 1, dtype=np.float32)
    for axis, number in ((3, 34), (2, 35)):
        width = 0.25 + 0.9 * chances.numbers[:, number] ** 2
        weights = np.exp(-0.5 * (offsets / width[:, None]) ** 2)
        weights /= weights.sum(axis=1, keepdims=True)
        pads = [(reach, reach) if one == axis else (0, 0) for one in range(4)]
        padded = np.pad(picture, pads, mode="edge")
        picture = np.zeros_like(picture)
        for tap in range(TAPS):
            window = (
                padded[:, :, :, tap : tap + PIXELS]
                if axis == 3
                else padded[:, :, tap : tap + PIXELS]
            )
            picture += weights[:, tap, None, None, None] * window
    return picture
