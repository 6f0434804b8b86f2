"""In sentences made of the runs' numbers: the answer, what else they say, and what they do not."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from fedspike.energy.levels import Level
from fedspike.records.health import NORMAL_975
from fedspike.records.schema import RunSummary
from fedspike.report.analysis.energy_view import EnergyView
from fedspike.report.analysis.results import Results
from fedspike.report.analysis.settings import Comparison, interval_note
from fedspike.report.figures.figure import Figure
from fedspike.report.figures.methods import sentences
from fedspike.report.figures.weights import sharpness_of
from fedspike.report.rendering.drawing import Prose
from fedspike.report.rendering.tables import interval, number, span

COUNTING: dict[Level, str] = {
    "study": "counting synaptic operations alone",
    "compute": "with all arithmetic",
    "memory": "with memory",
    "training": "with training",
}
ENERGY = (
    "What a device would need. The energies are modelled, not measured: counted operations times prices from "
    "the literature, most of them rough figures for one operation in a 45 nm or 7 nm chip. Only the all-in "
    "price tables include leakage, clock, control and idling, and the memory accesses of training are not "
    "counted. Another chip has other prices, and may have another winner. The energy of this computer says "
    "nothing about any chip."
)
VARIANTS = (
    "How accurate the best network would be on other images: it was chosen by the same test accuracy that it "
    "is shown with, so of many equally good networks it is the luckiest."
)


def _headline(results: Results) -> Prose:
    leading = results.leading
    if not leading and results.side_by_side:
        lines = sentences(results.side_by_side)
        return Prose((" ".join(lines[:1] + lines[1:][-1:]),), "headline")
    if not leading:
        text = "Nothing to compare: no setting has a finished run of both networks with one seed."
        return Prose((text,), "headline")
    first, last = leading[0], leading[-1]
    text = (
        f"With {first.setting.in_sentence} {_subject(first)} {difference_in_words(results, first)}"
    )
    if last is not first:
        subject = "it" if last.variant == first.variant else f"the most accurate ({last.variant})"
        text += f"; with {last.setting.in_sentence} {subject} {difference_in_words(results, last)}"
    text += "."
    if results.energy:
        text += f" {energy_in_words(results.energy, leading)}"
    return Prose((text,), "headline")


def energy_in_words(view: EnergyView, leading: Sequence[Comparison]) -> str:
    """Under how many price tables the spiking network needs less energy, level by level."""
    subject = "It" if leading[-1].variant == leading[0].variant else "The first of these"
    parts: list[str] = []
    for level, counting in COUNTING.items():
        won, judged = view.won(view.rivals[0], level) if view.rivals else (0, 0)
        if judged:
            tables = " price tables" if not parts else ""
            parts.append(f"under {won} of {judged}{tables} {counting}")
    if view.unfit:
        return f"No verdict on energy, because a network does not work: {'; '.join(view.unfit)}."
    if not parts:
        return "No price table prices both networks, so none says which needs less energy."
    listed = " and ".join([", ".join(parts[:-1]), parts[-1]] if parts[1:] else parts)
    return f"{subject} needs less energy {listed}."


def _subject(comparison: Comparison) -> str:
    """The spiking network inside a sentence."""
    if not comparison.variant:
        return "the spiking network"
    count = len(comparison.setting.spiking)
    return f"the most accurate of {count} spiking networks ({comparison.variant})"


def chance_points(results: Results, comparison: Comparison) -> float:
    """By how many points a finite test set sets two equally good networks apart; 0 where it is not known.

    1.96 * sqrt((p(1-p) + q(1-q)) / n): accuracies p and q, each a mean of n independent tosses.
    """
    dataset = results.experiment.dataset
    if dataset is None:
        return 0.0
    accuracies = [comparison.reference, comparison.spiking]
    shares = [network.accuracy.mean / 100 for network in accuracies if network]
    variance = sum(p * (1 - p) for p in shares) / max(1, dataset.test_samples)
    return 100 * NORMAL_975 * math.sqrt(variance)


def difference_in_words(results: Results, comparison: Comparison) -> str:
    """How the spiking network's accuracy differs from the reference's, inside a sentence."""
    gap, reference, spiking = comparison.gap_points(), comparison.reference, comparison.spiking
    if gap is None or reference is None or spiking is None:
        return "has no rival"
    accuracies = " against ".join(
        f"{number(network.accuracy.mean, 1)} %" for network in (spiking, reference)
    )
    size = interval(replace(gap, mean=abs(gap.mean)), 1)
    limit = chance_points(results, comparison) if gap.half_width is None else gap.half_width
    if gap.half_width is not None:
        accuracies += f"; {gap.count} seeds, difference {size} points"
    if abs(gap.mean) <= limit:
        return f"is not significantly different from the conventional network ({accuracies})"
    return f"is {size} points {'less' if gap.mean < 0 else 'more'} accurate ({accuracies})"


def _findings(results: Results) -> Prose:
    sentences = (
        *_accuracies(results),
        *_sharpness(results),
        *_unfit(results.runs),
        *_ill_layers(results.runs),
        *_rejected(results.runs),
        interval_note(results.networks),
        *_chance(results),
    )
    return Prose(sentences, "ul")


def _accuracies(results: Results) -> Iterator[str]:
    """How far apart the networks are."""
    spans = []
    for comparison in results.leading:
        setting = comparison.setting
        means = [network.accuracy.mean for network in setting.spiking]
        if len(means) > 1:
            spans.append(f"{span(means, 1)} % with {setting.in_sentence} ({len(means)} networks)")
    if spans:
        yield f"The spiking networks reach {', '.join(spans)}; Table S1 lists them with their energy."
    if len(results.leading) > 2:
        gaps = []
        for comparison in results.leading:
            if gap := comparison.gap_points():
                gaps.append(f"{interval(gap, 1, signed=True)} ({comparison.label})")
        yield f"Accuracy of the spiking minus the conventional network, in points: {', '.join(gaps)}."


def _sharpness(results: Results) -> Iterator[str]:
    """How the sharpness of the weight images changes with the skew, if it was recorded."""
    if len(results.leading) < 2:
        return
    even, skewed = results.leading[0], results.leading[-1]
    parts = []
    for before, after in ((even.reference, skewed.reference), (even.spiking, skewed.spiking)):
        first, last = sharpness_of(before), sharpness_of(after)
        if before and first and last:
            change = f"from {number(first.mean, 2)} to {number(last.mean, 2)}"
            parts.append(f"{change} ({before.title})")
    if parts:
        yield (
            f"From {even.setting.in_sentence} to {skewed.setting.in_sentence} the sharpness of the weight "
            f"images changes {' and '.join(parts)}; white noise is 1."
        )


def _unfit(runs: Sequence[RunSummary]) -> Iterator[str]:
    """The networks that do not work."""
    if unfit := [f"{run.name} ({'; '.join(run.unfit)})" for run in runs if run.unfit]:
        yield f"These networks do not work, so nothing is said of who needs less energy: {', '.join(unfit)}."


def _ill_layers(runs: Sequence[RunSummary]) -> Iterator[str]:
    """The layers that were dead or saturated, and the usual fix."""
    spiking = [run for run in runs if run.firing_rates]
    for state in ("dead", "saturated"):
        ill = [
            (rounds, run, layer)
            for run in spiking
            for layer, states in run.ill_layers.items()
            if (rounds := states.get(state, 0))
        ]
        if not ill:
            continue
        rounds, worst, layer = max(ill, key=lambda one: one[0])
        count = len({run.name for _, run, _ in ill})
        sentence = (
            f"A layer was {state} in {count} of {len(spiking)} spiking runs, most of the time “{layer}” of "
            f"{worst.name}: {rounds} of {len(worst.accuracy)} rounds."
        )
        limit = worst.rate_limits.get(state)
        yield f"{sentence} Usual fix: {limit.usual_fix}." if limit else sentence


def _rejected(runs: Sequence[RunSummary]) -> Iterator[str]:
    """The replies that the server rejected, and the rounds that were skipped."""
    if rejecting := [run for run in runs if run.rejected]:
        worst = max(rejecting, key=lambda run: sum(run.rejected.values()))
        reasons = ", ".join(f"{count} {reason}" for reason, count in worst.rejected.items())
        yield (
            f"The server rejected replies in {len(rejecting)} of {len(runs)} runs, most in "
            f"{worst.name} ({reasons}); they changed no model."
        )
    if skipping := [run for run in runs if run.skipped_rounds]:
        worst = max(skipping, key=lambda run: run.skipped_rounds)
        yield (
            f"Rounds were skipped in {len(skipping)} of {len(runs)} runs, because too few replies were "
            f"accepted, most in {worst.name}: {worst.skipped_rounds} of {len(worst.accuracy)}."
        )


def _chance(results: Results) -> Iterator[str]:
    """How sure the accuracies are, and what is missing."""
    dataset = results.experiment.dataset
    if results.leading and dataset:
        chance = max(chance_points(results, comparison) for comparison in results.leading)
        yield (
            f"On {number(dataset.test_samples, 0)} test images, two equally good networks differ by up to "
            f"{number(chance, 1)} points by chance alone (95 %, if their errors are independent)."
        )
    if results.experiment.missing:
        yield f"Not finished, and not in these figures: {', '.join(results.experiment.missing)}."


def _limits(results: Results) -> Iterator[str]:
    yield ENERGY
    if results.has_variants:
        yield VARIANTS
    shapes = " and ".join(dict.fromkeys("-".join(map(str, run.layers)) for run in results.runs))
    dataset = results.experiment.dataset
    data = dataset.name if dataset else "this data set"
    yield f"Anything about other tasks or larger networks: this is {data} with {shapes} neurons."


HEADLINE = Figure("headline", _headline)
FINDINGS = Figure("findings", _findings)
LIMITS = Figure("limits", lambda results: Prose(tuple(_limits(results)), "ul"))
