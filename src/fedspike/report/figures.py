"""The figures of the report, each as panels for the page and as a whole for the files."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import altair as alt
from markupsafe import Markup, escape

from fedspike.records.reader import in_full, weight_images
from fedspike.report import charts, drawing, heatmap
from fedspike.report.comparison import Comparison, leading
from fedspike.report.study_tables import NETWORKS, sharpness_of
from fedspike.report.tables import number

MOST_PANELS = 24  # of a figure on the page, whatever the size of the sweep
SHOWN_VARIANTS = 4  # of a sweep of spiking networks, the most accurate; the others are folded


@dataclass(frozen=True)
class Figure:
    """A chart of one or more panels; `svg` holds all of them."""

    name: str  # of its files
    title: str
    caption: str
    svg: str
    panels: tuple[Markup, ...]  # for the page
    panel_rem: int  # how wide a panel needs to be there
    folded: tuple[Markup, ...] = ()  # panels that the page shows when asked to
    folds: str = ""  # what these are


@dataclass(frozen=True)
class WeightPicture:
    """The weight images of one run's first layer."""

    name: str  # of its files
    title: str
    caption: str
    heatmap: heatmap.Heatmap


def accuracy_figures(comparisons: Sequence[Comparison], *, beside_study: bool) -> list[Figure]:
    """Accuracy against rounds: even data and centralised, skewed data, anything else.

    `beside_study` marks the study's printed accuracies, where the runs follow its protocol.
    """
    axis = charts.accuracy_axis(comparisons, beside_study)
    even = [c for c in comparisons if c.setting.centralised or _is_even(c)]
    skewed = [c for c in comparisons if c.setting.is_founding and c not in even]
    other = [c for c in comparisons if c not in even and c not in skewed]
    parts = ["even data (the study’s Fig. 6)"] if any(map(_is_even, even)) else []
    if any(c.setting.centralised for c in even):
        parts.append("centralised training (its Fig. 1a)")
    titles = [
        ("accuracy-even", " and ".join(parts), even),
        ("accuracy-skewed", "skewed data (the study’s Fig. 7)", skewed),
        ("accuracy-other", "other settings", other),
    ]
    return [
        figure(
            name,
            f"Test accuracy against rounds, {title}",
            _accuracy_caption(members, axis, beside_study),
            [(c.label, charts.accuracy_chart(c, axis, beside_study)) for c in members],
            panel_rem=25,
            shown=SHOWN_VARIANTS if any(c.variant for c in members) else MOST_PANELS,
            folds=("more network", "more networks"),
        )
        for name, title, members in titles
        if members
    ]


def partition_figure(comparisons: Sequence[Comparison]) -> list[Figure]:
    """Who holds what in every setting, as the first seed drew it; none for centralised training."""
    federated = [c for c in comparisons if not c.setting.centralised]
    if not federated:
        return []
    # The first of those that share a partition, as FedAvg and FedProx do, gives it its name.
    first = {json.dumps(c.groups[0].runs[0].class_counts): c for c in reversed(federated)}
    shown = [(c.groups[0].runs[0], c.setting.label) for c in reversed(first.values())]
    most = charts.most_samples([run for run, _ in shown])
    panels = [
        (label, charts.partition_chart(run, f"{label} (seed {run.seed})", most))
        for run, label in shown
    ]
    caption = (
        "Samples of each class on each client, before a round draws from them. ANN and SNN "
        "share the partition of their seed; those of all seeds are in tables/table8-partition.csv."
    )
    if any(charts.clients_drawn(run) < len(run.class_counts) for run, _ in shown):
        caption += " Only the first clients are drawn."
    return [figure("partition", "Who holds what", caption, panels, panel_rem=18)]


def weight_pictures(directory: Path, comparisons: Sequence[Comparison]) -> list[WeightPicture]:
    """The first layer of each network on the most even and on the most skewed data."""
    leads = leading(comparisons)
    founding = [c for c in leads if c.setting.is_founding] or leads
    pictures = []
    for comparison in founding[:1] + founding[1:][-1:]:
        for group in filter(None, (comparison.ann, comparison.snn)):
            run = in_full(directory, group.runs[0])
            images = weight_images(run)
            if images is None:
                continue
            drawn = heatmap.heatmap(images)
            measured = sharpness_of(group)
            caption = f"Green above zero, purple below, full colour at ±{number(drawn.limit, 3)}."
            if measured:
                recorded = run.weights["sharpness"] or 0.0
                caption = f"Sharpness {number(recorded, 2)}. {caption}"
            if drawn.tiles < drawn.neurons:
                caption += f" The first {drawn.tiles} of {drawn.neurons} images."
            title = f"{NETWORKS[group.network]}, {group.label} (seed {run.seed})"
            pictures.append(WeightPicture(f"weights-{slug(title)}", title, caption, drawn))
    return pictures


def figure(
    name: str,
    title: str,
    caption: str,
    panels: Sequence[tuple[str, alt.LayerChart]],
    *,
    panel_rem: int,
    shown: int = MOST_PANELS,
    folds: tuple[str, str] = ("more price table", "more price tables"),
) -> Figure:
    """Draw the panels; the page folds all after the first `shown`, and says how many of what."""
    columns = min(len(panels), 60 // panel_rem)
    # The first is made sure to be valid; the others are like it but for their data.
    drawn = [
        drawing.to_svg(chart, validate=chart is panels[0][1]) for _, chart in panels[:MOST_PANELS]
    ]
    whole = alt.concat(*(chart for _, chart in panels), columns=columns)
    svg = drawing.to_svg(whole, validate=False)
    on_page = tuple(
        Markup(drawing.for_page(one, escape(f"{title}: {label}")))
        for one, (label, _) in zip(drawn, panels, strict=False)
    )
    if len(drawn) < len(panels):
        caption += f" The first {len(drawn)} of {len(panels)}; all are in figures/{name}.svg."
    folded = on_page[shown:]
    said = f"{len(folded)} {folds[len(folded) != 1]}"
    return Figure(name, title, caption, svg, on_page[:shown], panel_rem, folded, said)


def slug(title: str) -> str:
    """A title as part of a file's name."""
    return re.sub(r"[^a-z0-9.]+", "-", title.lower())[:100].strip("-.")


def _accuracy_caption(
    comparisons: Sequence[Comparison], axis: charts.AccuracyAxis, beside_study: bool
) -> str:
    counts = sorted({len(group.runs) for c in comparisons for group in c.groups})
    seeds = f"{counts[-1]}" if counts[0] == counts[-1] else f"{counts[0]} to {counts[-1]}"
    caption = (
        "Each line is one seed."
        if counts == [1]
        else f"Line: mean over {seeds} seeds; band: from the lowest seed to the highest."
    )
    if any(c.qann for c in comparisons):
        caption += " Dashed: the quantised ANN (qANN)."
    if beside_study and any(charts.printed_accuracies(c) for c in comparisons):
        caption += " Diamonds: the study’s printed final accuracy."
    if axis.low > 0:
        caption += f" The axis begins at {axis.low} %; rounds below it are not drawn."
    return caption


def _is_even(comparison: Comparison) -> bool:
    """Whether every client has every class: the study's IID."""
    counts = comparison.groups[0].runs[0].class_counts
    return comparison.setting.is_founding and all(min(client, default=0) > 0 for client in counts)
