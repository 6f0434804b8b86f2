"""Outlines and how they are filled: polygons on a square from -1 to 1, y downwards, and masks of them."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float32, Float64

Outline = Float64[np.ndarray, "_corner 2"]
Number = int | float
Point = tuple[Number, Number]
FINE = 4  # rows and columns of points in a pixel of a mask


def outline(*corners: Point) -> Outline:
    """A polygon of these corners."""
    return np.array(corners, np.float64)


def box(left: Number, top: Number, right: Number, bottom: Number) -> Outline:
    """An upright rectangle."""
    return outline((left, top), (right, top), (right, bottom), (left, bottom))


def regular(corners: int, radius: Number, turned: Number = 0.0, squash: Number = 1.0) -> Outline:
    """A regular polygon around 0 with its first corner on top, turned clockwise by degrees.

    >>> regular(4, 1.0).round(6).tolist()
    [[0.0, -1.0], [1.0, -0.0], [0.0, 1.0], [-1.0, 0.0]]
    """
    angles = np.radians(turned + 360 * np.arange(corners) / corners)
    return np.stack([radius * np.sin(angles), -radius * squash * np.cos(angles)], axis=1)


def disc(x: Number, y: Number, radius: Number, squash: Number = 1.0) -> Outline:
    """A circle, or an ellipse that is `squash` times as high as wide."""
    return moved([regular(32, radius, squash=squash)], x, y)[0]


def arc(
    x: Number, y: Number, across: Number, down: Number, first: Number, last: Number
) -> list[Point]:
    """Points along an ellipse, from the one angle to the other, clockwise degrees from the top."""
    angles = np.radians(np.linspace(first, last, max(3, int(abs(last - first) / 15) + 1)))
    points = np.stack([x + across * np.sin(angles), y - down * np.cos(angles)], axis=1)
    return [(float(one), float(other)) for one, other in points]


def stroke(points: Sequence[Point], width: Number) -> list[Outline]:
    """A line through these points with round ends and joints."""
    drawn = [disc(x, y, width / 2) for x, y in points]
    for (x, y), (to_x, to_y) in pairwise(points):
        length = np.hypot(to_x - x, to_y - y) or 1.0
        across, along = (to_y - y) / length * width / 2, (to_x - x) / length * width / 2
        drawn.append(
            outline(
                *((x + across, y - along), (to_x + across, to_y - along)),
                *((to_x - across, to_y + along), (x - across, y + along)),
            )
        )
    return drawn


def moved(
    outlines: Iterable[Outline], x: Number = 0.0, y: Number = 0.0, scale: Number = 1.0
) -> list[Outline]:
    """The outlines scaled around 0, and then moved."""
    return [scale * one + np.array([x, y]) for one in outlines]


def mirrored(outlines: Iterable[Outline]) -> list[Outline]:
    """Right becomes left."""
    return [one * np.array([-1.0, 1.0]) for one in outlines]


def turned(outlines: Iterable[Outline], degrees: Number) -> list[Outline]:
    """The outlines turned clockwise around 0."""
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return [one @ turn for one in outlines]


def mask(outlines: Iterable[Outline], side: int, reach: Number) -> Float32[np.ndarray, "side side"]:
    """How much of each pixel lies within any of the outlines; the image shows -reach to reach.

    Each outline is filled row by row: a point is inside where an odd number of edges lies left of it.

    >>> mask([box(-1, -1, 0, 1)], side=4, reach=1.0)[0].tolist()
    [1.0, 1.0, 0.0, 0.0]
    """
    points = side * FINE
    centres = (np.arange(points) + 0.5) * (2 * reach / points) - reach
    inside = np.zeros((points, points), np.bool_)
    for corners in outlines:
        (x, y), (to_x, to_y) = corners.T, np.roll(corners, -1, axis=0).T
        crosses = (y <= centres[:, None]) != (to_y <= centres[:, None])
        rows, edges = np.nonzero(crosses)
        share = (centres[rows] - y[edges]) / (to_y[edges] - y[edges])
        columns = np.searchsorted(centres, x[edges] + share * (to_x[edges] - x[edges]))
        flips = np.zeros((points, points + 1), np.int64)
        np.add.at(flips, (rows, columns), 1)
        inside |= flips.cumsum(axis=1)[:, :points] % 2 == 1
    fine = inside.reshape(side, FINE, side, FINE)
    covered: np.ndarray = fine.mean(axis=(1, 3), dtype=np.float32)
    return covered
