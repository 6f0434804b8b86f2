"""The verdict: what the runs say, in sentences made of their numbers, and what they do not say."""

import math
from collections.abc import Callable, Iterator, Sequence

from fedspike.energy.bill import prices_pj
from fedspike.energy.estimate import Estimate
from fedspike.records.schema import ExperimentSummary, RunSummary
from fedspike.report import bills
from fedspike.report.bills import Priced
from fedspike.report.comparison import (
    Comparison,
    Group,
    Setting,
    by_setting,
    energy_ratio_percent,
    gap_points,
    groups_of,
    leading,
)
from fedspike.report.study_tables import (
    NETWORKS,
    TWINS,
    interval_note,
    printed_accuracy,
    sharpness_of,
)
from fedspike.report.tables import number

FIGURES_ARE_NOT = (
    "What a device would draw. The energies are modelled, not measured: operations that were "
    "counted, times prices from the literature, most of them rough figures for one operation in a "
    "45 nm or 7 nm chip. Leakage, clock, control and idling are in none but the all-in prices, and "
    "the memory accesses of training are not counted. Another chip has other prices, and with them "
    "perhaps another winner. What the simulation costs this computer says nothing about any chip."
)
NORMAL_975 = 1.96  # 97.5 % quantile of the standard normal distribution


def headline(
    experiment: ExperimentSummary, comparisons: Sequence[Comparison], priced: Priced | None = None
) -> str:
    """Who is ahead on the most even and on the most skewed data, and at what energy.

    With bills it says under how many price tables; without, what the founding rule gives.
    """
    both = _of_both(comparisons)
    if not both:
        return "Nothing to compare: no setting has a finished run of both networks with one seed."
    first, last = both[0], both[-1]
    standing = _standing(first, _chance_points(experiment, first))
    sentence = f"With {_where(first.setting)} {_who(first, comparisons)} {standing}"
    if last is not first:
        standing = _standing(last, _chance_points(experiment, last))
        same = last.variant == first.variant
        who = "it" if same else f"the most accurate ({last.variant})"
        sentence += f"; with {_where(last.setting)} {who} {standing}"
    if priced:
        who = "It" if last.variant == first.variant else "The first of these"
        return f"{sentence}. {bills.headline(priced, who)}"
    return f"{sentence}. Its forward pass is modelled at {_energy(both)} of the ANN’s energy."


def findings(
    experiment: ExperimentSummary, comparisons: Sequence[Comparison], protocol: Sequence[str]
) -> Iterator[str]:
    """The sentences below the headline."""
    both = _of_both(comparisons)
    yield from _spread(both, comparisons)
    if len(both) > 2:
        gaps = [f"{_points(c)} ({c.label})" for c in both]
        yield f"SNN minus ANN, in percentage points: {', '.join(gaps)}."
    if both and not both[0].variant:
        mean_mj = {
            name: _span([_mean(c, name, lambda r: r.study_energy_mj_per_round) for c in both], 4)
            for name in TWINS
        }
        yield (
            f"A round’s forward passes are modelled at {mean_mj['ann']} mJ (ANN) and "
            f"{mean_mj['snn']} mJ (SNN): counted operations times the founding study’s prices."
        )
    if len(both) > 1:
        yield from _blur(both[0], both[-1])
    groups = groups_of(comparisons)
    printed = [g for g in groups if printed_accuracy(g.network, g.setting) is not None]
    if printed and protocol:
        yield (
            "These runs do not follow the founding study’s protocol "
            f"({'; '.join(protocol)}), so its printed figures are no yardstick for them."
        )
    elif printed:
        yield _beside_the_study(printed)
    yield from _ill(experiment.runs)
    yield from _refused(experiment.runs)
    yield interval_note(groups)
    if both and experiment.dataset:
        chance = max(_chance_points(experiment, c) for c in both)
        yield (
            f"On {number(experiment.dataset.test_samples, 0)} test images two equally good networks "
            f"come out up to {number(chance, 1)} points apart by chance alone (95 %, if their "
            "errors are independent)."
        )
    if experiment.missing:
        names = ", ".join(experiment.missing)
        yield f"Not finished, and in none of these figures: {names}."


def limits(
    experiment: ExperimentSummary, comparisons: Sequence[Comparison], priced: Priced | None = None
) -> Iterator[str]:
    """What the figures do not say."""
    if priced:
        yield FIGURES_ARE_NOT
    else:
        yield (
            "What a device would draw. The energy is modelled, counted operations times prices from "
            "the literature; nothing was measured."
        )
        yield from _founding_rule_limits(experiment, comparisons)
    if any(one.variant for one in comparisons):
        yield (
            "How accurate the best network would be on other images: it was chosen by the very test "
            "accuracy that it is shown with, so of many equally good ones it is the luckiest."
        )
    shapes = " and ".join(dict.fromkeys("-".join(map(str, run.layers)) for run in experiment.runs))
    data = experiment.dataset.name if experiment.dataset else "this data set"
    yield f"Anything about other tasks or larger networks: this is {data} with {shapes} neurons."


def _founding_rule_limits(
    experiment: ExperimentSummary, comparisons: Sequence[Comparison]
) -> Iterator[str]:
    """What is missing where only the founding rule was priced."""
    fleets = [run for run in experiment.runs if not run.centralised]
    exchanged = ""
    if fleets:
        up = _span([run.uplink_bytes_per_round / 1e6 for run in fleets], 2)
        down = _span([run.downlink_bytes_per_round / 1e6 for run in fleets], 2)
        exchanged = f" (a round sends {up} MB up and {down} MB down)"
    yield (
        "What training costs. As in the founding study only the forward pass is priced: no "
        f"backward pass, no memory access, no communication{exchanged}."
    )
    both = _of_both(comparisons)
    if both:
        yield _break_even(both)


def _blur(even: Comparison, skewed: Comparison) -> Iterator[str]:
    """How the sharpness of the weight images goes with the skew, if it was measured."""
    parts = []
    for network, name in TWINS.items():
        before, after = (sharpness_of(side.group(network)) for side in (even, skewed))
        if before and after:
            parts.append(f"from {number(before.mean, 2)} to {number(after.mean, 2)} ({name})")
    if parts:
        yield (
            f"From {_where(even.setting)} to {_where(skewed.setting)} the sharpness of the weight "
            f"images goes {' and '.join(parts)}; white noise is 1."
        )


def _break_even(both: Sequence[Comparison]) -> str:
    """The price ratio at which the energy verdict turns, from the counts alone."""
    accumulates = [
        _mean(c, "snn", lambda r: r.forward_operations_per_sample)
        / _mean(c, "ann", lambda r: r.forward_operations_per_sample)
        for c in both
    ]
    prices = prices_pj("founding-study")
    return (
        "That the SNN is cheaper at other prices. For each multiply-accumulate of the ANN it does "
        f"{_span(accumulates, 1)} accumulates, so it is cheaper only where one multiply-accumulate "
        f"costs more than that many accumulates: {prices['mac'] / prices['ac']:.0f} at the study’s "
        "prices, but 7.7 with 8-bit integers in the same 45 nm (0.23 against 0.03 pJ; Horowitz, "
        "ISSCC 2014)."
    )


def _beside_the_study(printed: Sequence[Group]) -> str:
    differences = [
        (group.accuracy.mean - theirs, group)
        for group in printed
        if (theirs := printed_accuracy(group.network, group.setting)) is not None
    ]
    least, furthest = min(differences, key=lambda difference: difference[0])
    reached = sum(difference >= 0 for difference, _ in differences)
    sentence = (
        f"Of the {len(differences)} accuracies here that the founding study prints too, "
        f"{reached} reach or exceed its figure"
    )
    if least >= 0:
        return f"{sentence}."
    variant = f" ({furthest.variant})" if furthest.variant else ""
    return (
        f"{sentence}; the furthest below is the {NETWORKS[furthest.network]}{variant} with "
        f"{_where(furthest.setting)}, by {number(-least, 1)} points."
    )


def _spread(leads: Sequence[Comparison], comparisons: Sequence[Comparison]) -> Iterator[str]:
    """How far apart the spiking networks of each setting are."""
    settings = by_setting(comparisons)
    spans = []
    for lead in leads:
        means = [c.snn.accuracy.mean for c in settings[lead.setting] if c.snn]
        if len(means) > 1:
            spans.append(f"{_span(means, 1)} % with {_where(lead.setting)} ({len(means)} of them)")
    if spans:
        yield f"The spiking networks reach {', '.join(spans)}; Table S1 has what each costs."


def _ill(runs: Sequence[RunSummary]) -> Iterator[str]:
    """The layers that were dead or saturated, and what usually helps."""
    spiking = [run for run in runs if run.firing_rates]
    for state in ("dead", "saturated"):
        found = [
            (rounds, run, layer)
            for run in spiking
            for layer, states in run.ill_layers.items()
            if (rounds := states.get(state, 0))
        ]
        if not found:
            continue
        rounds, worst, layer = max(found, key=lambda one: one[0])
        number_of_runs = len({run.name for _, run, _ in found})
        sentence = (
            f"A layer was {state} in {number_of_runs} of {len(spiking)} spiking runs, above all "
            f"“{layer}” of {worst.name}, in {rounds} of {len(worst.accuracy)} rounds."
        )
        fix = worst.rate_limits.get(state)
        yield f"{sentence} Usual fix: {fix.usual_fix}." if fix else sentence


def _refused(runs: Sequence[RunSummary]) -> Iterator[str]:
    """What the server did not accept, and the rounds in which it therefore learned nothing."""
    if rejecting := [run for run in runs if run.rejected]:
        worst = max(rejecting, key=lambda run: sum(run.rejected.values()))
        reasons = ", ".join(f"{count} {reason}" for reason, count in worst.rejected.items())
        yield (
            f"The server rejected replies in {len(rejecting)} of {len(runs)} runs, most in "
            f"{worst.name} ({reasons}); they touched no model."
        )
    if skipping := [run for run in runs if run.skipped_rounds]:
        worst = max(skipping, key=lambda run: run.skipped_rounds)
        yield (
            f"In {len(skipping)} of {len(runs)} runs rounds were skipped, because too few replies "
            f"were accepted, most in {worst.name}: {worst.skipped_rounds} of {len(worst.accuracy)}."
        )


def _who(comparison: Comparison, comparisons: Sequence[Comparison]) -> str:
    """The spiking network inside a sentence: of several the best."""
    if not comparison.variant:
        return "the spiking network"
    count = len(by_setting(comparisons)[comparison.setting])
    return f"the most accurate of {count} spiking networks ({comparison.variant})"


def _of_both(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons that say something: the founding study's settings, else whatever there is.

    Of a setting with several spiking networks the most accurate.
    """
    both = leading([c for c in comparisons if c.paired(gap_points) is not None])
    return [c for c in both if c.setting.is_founding] or both


def _where(setting: Setting) -> str:
    """The setting inside a sentence."""
    label = setting.label
    if setting.classes_per_client is None or label.startswith("IID"):
        return f"“{label}” data"
    return label.replace("classes", "classes per client", 1)


def _chance_points(experiment: ExperimentSummary, comparison: Comparison) -> float:
    """How far apart, in points, a finite test set puts two equally good networks.

    1.96 * sqrt((p(1-p) + q(1-q)) / n): accuracies p and q, each a mean of n independent tosses.
    """
    if experiment.dataset is None:
        return 0.0
    accuracies = [_mean(comparison, network, lambda r: r.final_accuracy) for network in TWINS]
    variance = sum(p * (1 - p) for p in accuracies) / max(1, experiment.dataset.test_samples)
    return 100 * NORMAL_975 * math.sqrt(variance)


def _standing(comparison: Comparison, chance_points: float) -> str:
    """How the SNN stands beside the ANN in a setting."""
    gap = _gap(comparison)
    accuracies = " against ".join(
        f"{number(100 * _mean(comparison, network, lambda r: r.final_accuracy), 1)} %"
        for network in ("snn", "ann")
    )
    size = number(abs(gap.mean), 1)
    if gap.half_width is None:
        if abs(gap.mean) <= chance_points:
            return f"is level with the conventional one, within chance ({accuracies})"
    else:
        size += f" ± {number(gap.half_width, 1)}"
        if abs(gap.mean) <= gap.half_width:
            return (
                f"is level with the conventional one as far as {gap.count} seeds can tell "
                f"({accuracies}, {size} points apart)"
            )
    return f"is {size} points {'behind' if gap.mean < 0 else 'ahead'} ({accuracies})"


def _gap(comparison: Comparison) -> Estimate:
    gap = comparison.paired(gap_points)
    assert gap is not None, "only asked of comparisons with both networks"
    return gap


def _points(comparison: Comparison) -> str:
    gap = _gap(comparison)
    half = "" if gap.half_width is None else f" ± {number(gap.half_width, 1)}"
    return number(gap.mean, 1, signed=True) + half


def _energy(both: Sequence[Comparison]) -> str:
    ratios = [c.paired(energy_ratio_percent) for c in both]
    return f"{_span([ratio.mean for ratio in ratios if ratio], 1)} %"


def _mean(comparison: Comparison, network: str, of: Callable[[RunSummary], float]) -> float:
    group = comparison.group(network)
    assert group is not None, "only asked of networks that ran"
    return group.estimate(of).mean


def _span(values: Sequence[float], digits: int) -> str:
    """One number, or from the lowest to the highest.

    >>> _span([47.44, 47.61], 1), _span([47.44, 47.43], 1)
    ('47.4 to 47.6', '47.4')
    """
    low, high = number(min(values), digits), number(max(values), digits)
    return low if low == high else f"{low} to {high}"
