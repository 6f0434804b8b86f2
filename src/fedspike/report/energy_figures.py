"""The figures of the energy bill, with the words that belong to them."""

from collections.abc import Iterator

from fedspike.energy.estimate import estimate
from fedspike.report import energy_charts as charts
from fedspike.report.bills import BASELINES, Priced
from fedspike.report.figures import Figure, figure
from fedspike.report.repricing import Repriced
from fedspike.report.study_tables import TWINS


def energy_figures(view: Priced, repriced: Repriced | None) -> Iterator[Figure]:
    """All that the bills allow; each shows one profile and folds the others."""
    where = view.main.label
    yield figure(
        "energy-levels",
        f"The bill of a round, from level to level, {where}",
        "Each bar is what a level adds, and its share of the whole: the founding rule’s synaptic "
        "operations, then all other arithmetic, memory, training, and the bytes sent and received"
        f"{f' by {view.radio_title}' if view.radio else ''}. It begins where the bar above it ends. "
        "All devices together, nominal prices; what has no price (Table E11) is missing.",
        [(name, charts.waterfall_chart(view, name)) for name in _with(view, "study")],
        panel_rem=27,
        shown=1,
    )
    trained = _with(view, "training")
    if trained:
        yield figure(
            "accuracy-energy",
            f"Accuracy against energy, with training, {where}",
            "The energy of round k is k times that of the run’s mean round; without the radio. "
            "Dotted: the target accuracy. The scale is logarithmic.",
            [(name, charts.accuracy_energy_chart(view, name)) for name in trained],
            panel_rem=25,
            shown=1,
        )
    by = [run.bill_by for group in view.main.groups for run in group.runs]
    if all(by) and view.profile in trained:
        yield figure(
            "energy-parts",
            f"Where the energy of a round goes, with training, {where}",
            f"At the prices of {view.profile}, mean over the seeds; the figures are in Table E4."
            + _tested(view),
            [
                ("by phase", charts.parts_chart(view, "phase", "by phase")),
                ("by layer", charts.parts_chart(view, "layer", "by layer")),
            ],
            panel_rem=25,
        )
    if repriced is not None:
        yield from _hanging_on_prices(view, repriced)


def _hanging_on_prices(view: Priced, repriced: Repriced) -> Iterator[Figure]:
    names = [name for name in _with(view, "training") if repriced.sensitivities.get(name)]
    if names:
        yield figure(
            "sensitivity",
            f"One price moved, all others left, with training, {view.main.label}",
            "Pale: the price at its low end; dark: at its high end, which are those of its source, "
            "or half and twice where it gives one number. The line is the ratio at nominal prices, "
            "dashed is 1, where the two cost the same. A bar that crosses it turns the verdict. "
            "Prices that belong together (an addition’s and an accumulate’s) are moved one by one.",
            [(name, charts.sensitivity_chart(repriced, name)) for name in names],
            panel_rem=27,
            shown=1,
        )
    if any(repriced.standings.values()):
        yield figure(
            "spikes",
            f"Spikes per synapse beside the thresholds, {view.main.label}",
            "The SNN is cheaper where its line is left of the mark. Bars and the mark without a "
            "profile’s name: published thresholds. With a profile’s name: where the first layer "
            "would break even with the dense ANN at inference, with memory where the profile "
            "prices it. Logarithmic.",
            [("thresholds", charts.spikes_chart(repriced))],
            panel_rem=30,
        )


def _tested(view: Priced) -> str:
    """What the tests cost, which is in no level: the server does them, not a device."""
    said = []
    for network, name in TWINS.items():
        group = view.main.group(network)
        tests = (
            [(run.bill_evaluation or {}).get(view.profile) for run in group.runs] if group else []
        )
        known = [one.nominal_mj for one in tests if one is not None]
        if known:
            said.append(f"{charts.three_digits(estimate(known).mean)} mJ ({name})")
    if not said:
        return ""
    return f" The server’s test of a round is not in it: {' and '.join(said)}, up to memory."


def _with(view: Priced, level: str) -> list[str]:
    """The profiles that judge a level, the one that is shown first in front."""
    found = [
        one.profile
        for one in view.verdicts(BASELINES[0])
        if one.level == level and one.ratio is not None
    ]
    return sorted(found, key=lambda name: name != view.profile)
