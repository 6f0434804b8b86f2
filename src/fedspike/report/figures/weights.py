"""The first layer's weights as images, on the most even and most skewed data; their sharpness, Table 5."""

import textwrap
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from markupsafe import Markup

from fedspike.energy.description import kind_of
from fedspike.energy.estimate import Estimate, estimate
from fedspike.records.reader import weight_images
from fedspike.records.schema import RunSummary
from fedspike.report.analysis.naming import flat
from fedspike.report.analysis.results import Results
from fedspike.report.analysis.settings import Network, Setting, kinds, of
from fedspike.report.analysis.side_by_side import is_plain
from fedspike.report.figures.accuracy import SETTING
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering import png
from fedspike.report.rendering.drawing import FONT, Panel, Panels
from fedspike.report.rendering.heatmap import heatmap
from fedspike.report.rendering.palette import LIGHT
from fedspike.report.rendering.tables import Caption, Column, Table, number, table

WIDTH, LINE = 380, 18  # pixels of a picture, and of a line above it
TITLE_LETTERS, TEXT_LETTERS = 48, 64  # of a line
OTHERS, SHOWN = 5, 6
TITLE = Markup(
    f'<text x="0" y="{{}}" font-size="14" font-weight="600" fill="{LIGHT["ink"]}">{{}}</text>'
)
TEXT = Markup(f'<text x="0" y="{{}}" font-size="12" fill="{LIGHT["muted"]}">{{}}</text>')
SVG = Markup(
    f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{{whole}}" '
    f'viewBox="0 0 {WIDTH} {{whole}}" font-family="{FONT}">'
    f'<rect width="100%" height="100%" fill="{LIGHT["paper"]}"/>'
    f'{{title}}<image class="signed" x="0" y="{{above}}" width="{WIDTH}" height="{{height}}" '
    'style="image-rendering: pixelated" href="{image}"/>'
    "{text}</svg>"
)


@dataclass(frozen=True)
class Weights:
    """The weight images of one run's first layer; the sharpness if it was recorded."""

    title: str
    images: Float[np.ndarray, "neuron height width"]
    sharpness: float | None


def pictures(results: Results) -> list[Weights]:
    """Of the first seed: the reference and the best spiking network of the settings that are shown."""
    shown = []
    for setting in settings_shown(results):
        comparison = setting.comparisons[0]
        for network in filter(None, (comparison.reference, comparison.spiking)):
            run = results.in_full(network.runs[0])
            images = weight_images(run)
            if images is not None:
                title = f"{network.title}, {_label(results, network)} (seed {run.seed})"
                shown.append(Weights(title, images, run.weights.get("sharpness")))
    return shown


def settings_shown(results: Results) -> list[Setting]:
    """For each learner the settings with the most even and with the most skewed data.

    Of several algorithms the usual baseline, or the first, and the most accurate other; where all data are
    alike skewed, more others.
    """
    chosen: list[Setting] = []
    for learner in _learners(results):
        own = [one for one in results.settings if _learner(one.first_run) == learner]
        ordered = [one for one in own if one.first_run.classes_per_client is not None] or own
        for end in dict.fromkeys((0, -1)):
            partition = ordered[end].first_run.partition
            there = [one for one in ordered if one.first_run.partition == partition]
            plain = next((one for one in there if is_plain(flat(one.first_run.config))), there[0])
            others = [one for one in there if one is not plain]
            best = sorted(others, key=lambda one: -max(n.accuracy.mean for n in one.networks))
            few = 1 if len(there) < len(ordered) else OTHERS
            chosen += [one for one in (plain, *best[:few]) if one not in chosen]
    return chosen


def _learners(results: Results) -> list[str]:
    return list(dict.fromkeys(_learner(setting.first_run) for setting in results.settings))


def _learner(run: RunSummary) -> str:
    return kind_of(run.config.get("learner"))


def _label(results: Results, network: Network) -> str:
    """The setting and the variant, and the learner where there are several."""
    learner = _learner(network.runs[0])
    is_clear = len(_learners(results)) == 1 or learner in network.label.split(", ")
    return network.label if is_clear else f"{learner}, {network.label}"


def _panel(weights: Weights) -> Panel:
    drawn = heatmap(weights.images)
    sign = "" if weights.images.min() >= 0 else "±"
    text = f"Full colour at {sign}{number(drawn.limit, 3)}."
    if not sign:
        text += " None is below zero."
    if weights.sharpness is not None:
        text = f"Sharpness {number(weights.sharpness, 2)}. {text}"
    if drawn.tiles < drawn.neurons:
        text += f" The first {drawn.tiles} of {drawn.neurons} images."
    title = textwrap.wrap(weights.title, TITLE_LETTERS)
    height, above = round(WIDTH * drawn.height / drawn.width), LINE * len(title) + 8
    lines, below = textwrap.wrap(text, TEXT_LETTERS), above + height + 18
    svg = SVG.format(
        title=Markup("").join(TITLE.format(15 + LINE * n, line) for n, line in enumerate(title)),
        image=png.data_uri(drawn.png),
        height=height,
        above=above,
        whole=below + LINE * len(lines) - 10,
        text=Markup("").join(TEXT.format(below + LINE * n, line) for n, line in enumerate(lines)),
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
    lambda pictures: Panels(
        tuple(map(_panel, pictures)), 25, SHOWN, ("more picture", "more pictures")
    ),
    Caption(
        "Weights of the first layer after the last round",
        "Each tile is a neuron: its weights from the pixels, green above zero, purple below, on one scale "
        "for all tiles of a picture.",
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
