"""The answer in two sentences: accuracy on the most even and the most skewed data, and energy."""

from collections.abc import Sequence

from fedspike.energy.levels import Level
from fedspike.report.analysis.energy_view import EnergyView
from fedspike.report.analysis.results import Results
from fedspike.report.analysis.settings import Comparison
from fedspike.report.analysis.significance import difference_in_words
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering.drawing import Prose

COUNTING: dict[Level, str] = {
    "study": "counting synaptic operations alone",
    "compute": "with all arithmetic",
    "memory": "with memory",
    "training": "with training",
}


def _data(results: Results) -> Prose:
    leading = results.leading
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


HEADLINE = Figure("headline", _data)
