"""The figures of the spiking networks of a sweep, with the words that belong to them."""

from collections.abc import Iterator, Sequence

from fedspike.report import pareto
from fedspike.report import spiking_charts as charts
from fedspike.report.bills import ADDED, SHOWN_FIRST
from fedspike.report.comparison import Comparison, by_setting, groups_of
from fedspike.report.figures import Figure, figure

FEWEST_POINTS = 3
SHOWN_RATES = 4


def pareto_figure(
    comparisons: Sequence[Comparison], profile: str = SHOWN_FIRST
) -> Iterator[Figure]:
    """Accuracy against energy for every setting with three networks or more; `profile` in front."""
    known = pareto.profiles(comparisons)
    found = [
        (one, setting, points)
        for one in sorted(known, key=lambda name: name != profile)
        for setting, own in by_setting(comparisons).items()
        if len(points := pareto.points(own, one)) >= FEWEST_POINTS
    ]
    if not found:
        return
    first = found[0][0]
    groups = groups_of(comparisons)
    level = next(level for group in groups if (level := pareto.highest_level(group, first)))
    caption = (
        "Each point is a network: the energy of a round of all its devices, logarithmic, and its "
        "accuracy after the last round. The line joins those that no other is both cheaper and more "
        f"accurate than; they and the ANN are named. Nominal prices, up to “{ADDED[level]}” where the "
        "table has it, without the radio; what has no price is missing. "
        "Circles: spiking; squares: conventional. The worst tenth of the spiking ones may lie below the axis."
    )
    if any(len(group.runs) > 1 for group in groups):
        caption += " Whiskers: 95 % interval over the seeds."
    yield figure(
        "pareto",
        f"Accuracy and its price, by {first}",
        caption,
        [
            (label, charts.pareto_chart(points, label))
            for one, setting, points in found
            for label in [f"{setting.label}, {one}"]
        ],
        panel_rem=29,
        shown=sum(one == first for one, _, _ in found),
        folds=("more panel, at other prices", "more panels, at other prices"),
    )


def rates_figure(comparisons: Sequence[Comparison]) -> Iterator[Figure]:
    """The firing rates of every spiking network, first of those with a layer that was ill."""
    groups = [one.snn for one in comparisons if one.snn and one.snn.runs[0].firing_rates]
    if not groups:
        return
    groups.sort(key=lambda group: not any(run.ill_layers for run in group.runs))
    limits = groups[0].runs[0].rate_limits
    caption = "Mean over the samples that a round trained on, and over the seeds; logarithmic."
    if {"dead", "saturated"} <= limits.keys():
        caption += (
            f" Shaded: dead, under {100 * limits['dead'].rate:g} % of a layer’s neurons spike at a "
            f"step, and saturated, over {100 * limits['saturated'].rate:g} %. Networks with such a "
            "layer come first."
        )
    yield figure(
        "firing-rates",
        "How often the neurons fire",
        caption,
        [(group.label, charts.rates_chart(group, limits)) for group in groups],
        panel_rem=25,
        shown=SHOWN_RATES,
        folds=("more network", "more networks"),
    )
