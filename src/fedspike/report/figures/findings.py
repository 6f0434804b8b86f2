"""What else the runs say, in sentences made of their numbers."""

from collections.abc import Iterator, Sequence

from fedspike.records.schema import RunSummary
from fedspike.report.analysis.results import Results
from fedspike.report.analysis.settings import interval_note
from fedspike.report.analysis.significance import chance_points
from fedspike.report.figures.figure import Figure
from fedspike.report.figures.sharpness_table import sharpness_of
from fedspike.report.rendering.drawing import Prose
from fedspike.report.rendering.tables import number, span


def _data(results: Results) -> Prose:
    sentences = (
        *_accuracies(results),
        *_sharpness(results),
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
                half = "" if gap.half_width is None else f" ± {number(gap.half_width, 1)}"
                gaps.append(f"{number(gap.mean, 1, signed=True)}{half} ({comparison.label})")
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


FINDINGS = Figure("findings", _data)
