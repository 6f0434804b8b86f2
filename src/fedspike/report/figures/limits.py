"""What the numbers do not say."""

from collections.abc import Iterator

from fedspike.report.analysis.results import Results
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering.drawing import Prose

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


def _data(results: Results) -> Prose:
    return Prose(tuple(_limits(results)), "ul")


def _limits(results: Results) -> Iterator[str]:
    yield ENERGY
    if results.has_variants:
        yield VARIANTS
    shapes = " and ".join(dict.fromkeys("-".join(map(str, run.layers)) for run in results.runs))
    dataset = results.experiment.dataset
    data = dataset.name if dataset else "this data set"
    yield f"Anything about other tasks or larger networks: this is {data} with {shapes} neurons."


LIMITS = Figure("limits", _data)
