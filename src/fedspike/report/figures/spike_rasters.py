"""The spikes of the first training image under each code."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt8
from markupsafe import Markup

from fedspike.records.reader import raster_of
from fedspike.records.schema import RunSummary
from fedspike.report.analysis.results import Results
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering import png
from fedspike.report.rendering.drawing import FONT, Panel, Panels
from fedspike.report.rendering.palette import LIGHT
from fedspike.report.rendering.tables import Caption, number

USUAL_TIME_STEPS = 10
WIDTH, HEIGHT, LEFT, TOP = 190, 230, 108, 46  # pixels: of the raster, and its place
SVG = Markup(
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 300 306" width="300" height="306" '
    f'font-family="{FONT}" font-size="12" fill="{LIGHT["muted"]}">'
    f'<rect width="300" height="306" fill="{LIGHT["paper"]}"/>'
    f'<text x="0" y="15" font-size="14" font-weight="600" fill="{LIGHT["ink"]}">{{title}}</text>'
    f'<image x="0" y="{TOP}" width="84" height="84" style="image-rendering: pixelated" '
    'href="{image}"/>'
    f'<text x="0" y="{TOP + 102}">{{spikes}} spikes</text><text x="0" y="{TOP + 118}">per pixel</text>'
    f'<text x="{LEFT}" y="{TOP - 8}">pixels, the brightest on top</text>'
    f'<rect x="{LEFT}" y="{TOP}" width="{WIDTH}" height="{HEIGHT}" fill="none" '
    f'stroke="{LIGHT["rule"]}"/>'
    f'<path transform="translate({LEFT} {TOP}) scale({{wide}} {{high}})" stroke="{LIGHT["spiking"]}" '
    'stroke-width="0.75" fill="none" d="{path}"/>'
    f'<text x="{LEFT}" y="{TOP + HEIGHT + 16}">1</text>'
    f'<text x="{LEFT + WIDTH / 2}" y="{TOP + HEIGHT + 16}" text-anchor="middle">time step</text>'
    f'<text x="{LEFT + WIDTH}" y="{TOP + HEIGHT + 16}" text-anchor="end">{{steps}}</text></svg>'
)


@dataclass(frozen=True)
class Raster:
    """An image from 0 to 255, and its spikes under a code."""

    code: str
    image: UInt8[np.ndarray, "height width"]
    spikes: Bool[np.ndarray, "time pixel"]

    @property
    def shown(self) -> Bool[np.ndarray, "time pixel"]:
        """The spikes from the brightest pixel down. Black pixels are left out: no code lets them spike."""
        pixels = self.image.reshape(-1)
        order = np.argsort(-pixels.astype(int), kind="stable")
        return self.spikes[:, order[: max(1, np.count_nonzero(pixels))]]


def rasters(results: Results) -> list[Raster]:
    """The rasters in the runs' own summaries."""
    by_code: dict[str, list[RunSummary]] = {}
    for run in results.runs:
        if "code" in run.config:
            by_code.setdefault(str(run.config["code"]["kind"]), []).append(run)
    rasters = []
    for code, runs in by_code.items():
        run = min(runs, key=lambda run: abs((run.time_steps or 0) - USUAL_TIME_STEPS))
        raster = raster_of(results.in_full(run))
        if raster is not None:
            rasters.append(Raster(code, *raster))
    return rasters


def strokes(spikes: Bool[np.ndarray, "time row"]) -> str:
    """An SVG path with a stroke for each unbroken column of spikes, a step wide and a row high.

    >>> strokes(np.array([[True, True, False], [False, False, True]]))
    'M0.5 0v2M1.5 2v1'
    """
    path = []
    for step, column in enumerate(spikes):
        ends = np.flatnonzero(np.diff(np.pad(column.astype(np.int8), 1)))
        path += [f"M{step}.5 {start}v{end - start}" for start, end in ends.reshape(-1, 2)]
    return "".join(path)


def _panel(raster: Raster) -> Panel:
    steps, rows = raster.shown.shape
    title = f"{raster.code}, T = {steps}"
    svg = SVG.format(
        title=title,
        image=png.data_uri(png.grey(raster.image)),
        spikes=number(float(raster.spikes.sum() / raster.image.size), 2),
        wide=WIDTH / steps,
        high=HEIGHT / rows,
        path=strokes(raster.shown),
        steps=steps,
    )
    return Panel(title, str(svg))


SPIKE_RASTERS = Figure(
    "raster",
    lambda rasters: Panels(tuple(map(_panel, rasters)), 18, len(rasters)),
    Caption(
        "The first training image under each code",
        "A stroke is a spike; black pixels, which never spike, are left out. The number of spikes is the "
        "mean over all pixels.",
    ),
    rasters,
)
