"""One image's spikes under a code: time to the right, its pixels from the brightest down."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8

from fedspike.records.reader import in_full, raster_of
from fedspike.records.schema import RunSummary
from fedspike.report import png
from fedspike.report.comparison import flat
from fedspike.report.figures import slug
from fedspike.report.tables import number

USUAL_TIME_STEPS = 10


@dataclass(frozen=True)
class Raster:
    """An image and its spikes: `path` draws each as a stroke, one wide and one high."""

    name: str  # of its files
    title: str
    said: tuple[str, ...]  # below the image, line by line
    image_uri: str
    time_steps: int
    rows: int
    path: str


def rasters(directory: Path, runs: Sequence[RunSummary]) -> list[Raster]:
    """One for each code that the runs have, of the run whose time steps are nearest to 10."""
    by_code: dict[str, list[RunSummary]] = {}
    for run in runs:
        if run.network == "snn":
            by_code.setdefault(_code(run), []).append(run)
    found = []
    for code, own in by_code.items():
        run = min(own, key=lambda run: abs((run.time_steps or 0) - USUAL_TIME_STEPS))
        seen = raster_of(in_full(directory, run))
        if seen is not None:
            found.append(raster(code, *seen))
    return found


def raster(
    code: str, image: UInt8[np.ndarray, "height width"], spikes: Bool[np.ndarray, "time pixel"]
) -> Raster:
    """The raster of an image. Pixels that are black are not drawn, for no code lets them spike."""
    pixels = image.reshape(-1)
    brightest_first = np.argsort(-pixels.astype(int), kind="stable")
    bright = brightest_first[: max(1, np.count_nonzero(pixels))]
    shown = spikes[:, bright]
    return Raster(
        f"raster-{slug(code)}",
        f"{code}, T = {len(spikes)}",
        (f"{number(float(spikes.sum() / pixels.size), 2)} spikes", "a pixel"),
        png.data_uri(png.grey(image)),
        len(spikes),
        len(bright),
        _path(shown),
    )


def _path(spikes: Bool[np.ndarray, "time row"]) -> str:
    """A stroke for each unbroken column of spikes.

    >>> _path(np.array([[True, True, False], [False, False, True]]))
    'M0.5 0v2M1.5 2v1'
    """
    strokes = []
    for step, column in enumerate(spikes):
        ends = np.flatnonzero(np.diff(np.pad(column.astype(np.int8), 1)))
        strokes += [f"M{step}.5 {start}v{end - start}" for start, end in ends.reshape(-1, 2)]
    return "".join(strokes)


def _code(run: RunSummary) -> str:
    return str(flat(run.config)["code.kind"])
