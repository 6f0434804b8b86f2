"""In sentences made of the runs' numbers: what they say beside the answer, and what they do not."""

from collections.abc import Iterator, Sequence

from fedspike.records.schema import RunSummary
from fedspike.report.analysis.results import Results
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering.drawing import Prose
from fedspike.report.rendering.tables import first_few, span

ENERGY = (
    "What a device would need. The energies are modelled, not measured: counted operations times prices from "
    "the literature, most of them rough figures for one operation in a 45 nm or 7 nm chip. Only the all-in "
    "price tables include leakage, clock, control and idling, and the memory accesses of training are not "
    "counted. Another chip has other prices, and may have another winner. The energy of this computer says "
    "nothing about any chip."
)
VARIANTS = (
    "How accurate the best network would be on other samples: it was chosen by the same test accuracy that "
    "it is shown with, so of many equally good networks it is the luckiest."
)


def _findings(results: Results) -> Prose:
    sentences = (
        *_accuracies(results),
        *_unfit(results.runs),
        *_ill_layers(results.runs),
        *_rejected(results.runs),
        *_missing(results),
        *folders_that_overlap(results),
    )
    return Prose(sentences, "ul")


def _accuracies(results: Results) -> Iterator[str]:
    """How accurate the spiking networks of a setting are, where there are several."""
    spans = []
    for comparison in results.leading:
        setting = comparison.setting
        means = [network.accuracy.mean for network in setting.spiking]
        if len(means) > 1:
            spans.append(f"{span(means, 1)} % with {setting.in_sentence} ({len(means)} networks)")
    if spans:
        yield f"The spiking networks reach {', '.join(spans)}; Table S1 lists them with their energy."


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


def _missing(results: Results) -> Iterator[str]:
    """The runs that are not finished."""
    if results.experiment.missing:
        yield f"Not finished, and not in these figures: {first_few(results.experiment.missing)}."


def folders_that_overlap(results: Results) -> list[str]:
    """That runs were found in several folders, if any were: a sentence, or none."""
    if not results.repeated:
        return []
    runs = "1 run is" if results.repeated == 1 else f"{results.repeated} runs are"
    return [f"{runs} the same in several of these folders, and counted once."]


def _limits(results: Results) -> Iterator[str]:
    yield ENERGY
    if results.has_variants:
        yield VARIANTS
    shapes = " and ".join(dict.fromkeys("-".join(map(str, run.layers)) for run in results.runs))
    dataset = results.experiment.dataset
    data = dataset.name if dataset else "this data set"
    yield f"Anything about other tasks or larger networks: this is {data} with {shapes} neurons."


FINDINGS = Figure(
    "findings", _findings, needs=lambda results: _findings(results).paragraphs and results
)
LIMITS = Figure("limits", lambda results: Prose(tuple(_limits(results)), "ul"))
