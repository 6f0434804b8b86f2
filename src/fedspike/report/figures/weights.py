"""The first layer's weights as images, on the most even and most skewed data; their sharpness, Table 5."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from markupsafe import Markup

from fedspike.energy.estimate import Estimate, estimate
from fedspike.records.reader import in_full, weight_images
from fedspike.report.analysis.results import Results
from fedspike.report.analysis.settings import Network, kinds, of
from fedspike.report.figures.accuracy import SETTING
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering import png
from fedspike.report.rendering.drawing import FONT, LIGHT, Panel, Panels
from fedspike.report.rendering.heatmap import heatmap
from fedspike.report.rendering.tables import Caption, Column, Table, number, table

WIDTH = 380  # pixels of a picture
SVG = Markup(
    f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{{whole}}" '
    f'viewBox="0 0 {WIDTH} {{whole}}" font-family="{FONT}">'
    f'<rect width="100%" height="100%" fill="{LIGHT["paper"]}"/>'
    f'<text x="0" y="15" font-size="14" font-weight="600" fill="{LIGHT["ink"]}">{{title}}</text>'
    f'<image class="signed" x="0" y="26" width="{WIDTH}" height="{{height}}" '
    'style="image-rendering: pixelated" href="{image}"/>'
    f'<text x="0" y="{{below}}" font-size="12" fill="{LIGHT["muted"]}">{{text}}</text></svg>'
)


@dataclass(frozen=True)
class Weights:
    """The weight images of one run's first layer; the sharpness if it was recorded."""

    title: str
    images: Float[np.ndarray, "neuron height width"]
    sharpness: float | None


def pictures(results: Results) -> list[Weights]:
    """Of the first seed: the reference and the best spiking network of the two settings."""
    leads = [setting.comparisons[0] for setting in results.settings]
    by_skew = [c for c in leads if c.setting.first_run.classes_per_client is not None] or leads
    shown = []
    for comparison in by_skew[:1] + by_skew[1:][-1:]:
        for network in filter(None, (comparison.reference, comparison.spiking)):
            run = in_full(results.directory, network.runs[0])
            images = weight_images(run)
            if images is not None:
                title = f"{network.title}, {network.label} (seed {run.seed})"
                shown.append(Weights(title, images, run.weights.get("sharpness")))
    return shown


def _panel(weights: Weights) -> Panel:
    drawn = heatmap(weights.images)
    text = f"Full colour at ±{number(drawn.limit, 3)}."
    if weights.sharpness is not None:
        text = f"Sharpness {number(weights.sharpness, 2)}. {text}"
    if drawn.tiles < drawn.neurons:
        text += f" The first {drawn.tiles} of {drawn.neurons} images."
    height = round(WIDTH * drawn.height / drawn.width)
    svg = SVG.format(
        title=weights.title,
        image=png.data_uri(drawn.png),
        height=height,
        below=height + 44,
        whole=height + 52,
        text=text,
    )
    return Panel(f"{weights.title}, {drawn.tiles} neurons", str(svg))


def _recorded(results: Results) -> Results | None:
    """A run whose sharpness was recorded."""
    recorded = any(run.weights.get("sharpness") is not None for run in results.runs)
    return results if recorded else None


def _table(results: Results) -> Table:
    columns = (
        Column(f"{kind.key}_sharpness", kind.title, of(kind, sharpness_of), digits=2)
        for kind in kinds(results.comparisons)
    )
    return table(results.comparisons, SETTING, *columns)


def sharpness_of(network: Network | None) -> Estimate | None:
    """The recorded sharpness of a network's weight images; None where a run recorded none."""
    values = [run.weights.get("sharpness") for run in network.runs] if network else []
    present = [value for value in values if value is not None]
    return estimate(present) if present and len(present) == len(values) else None


WEIGHT_IMAGES = Figure(
    "weights",
    lambda pictures: Panels(tuple(map(_panel, pictures)), 25, len(pictures)),
    Caption(
        "Weights of the first layer after the last round",
        "Each tile is one neuron: its weights from the pixels of the image. Green above zero, purple "
        "below; each picture has one colour scale for all of its tiles. Where data are more skewed, "
        "averaged weights may blur.",
    ),
    pictures,
)
SHARPNESS_TABLE = Figure(
    "sharpness",
    _table,
    Caption(
        "Sharpness of the first layer’s weight images",
        "White noise scores 1, a blank image 0, the clothes of Fashion-MNIST about 1.4: gradient "
        "energy behind a Gaussian of one pixel over the image’s variance (Geusebroek et al. 2000), "
        "mean over neurons, after the last round.",
    ),
    _recorded,
    "5",
)
