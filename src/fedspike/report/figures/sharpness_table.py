"""Table 5: the sharpness of the weight images in every setting."""

from fedspike.energy.estimate import Estimate, estimate
from fedspike.report.analysis.results import Results
from fedspike.report.analysis.settings import Network
from fedspike.report.figures.accuracy_table import SETTING
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering.tables import Caption, Column, Table


def needs(results: Results) -> Results | None:
    """A run whose sharpness was recorded."""
    recorded = any(run.weights.get("sharpness") is not None for run in results.runs)
    return results if recorded else None


def _data(results: Results) -> Table:
    by_key = {network.key: network.title for network in results.networks}
    columns = [Column(f"{key}_sharpness", title, digits=2) for key, title in by_key.items()]
    rows = []
    for comparison in results.comparisons:
        networks = {network.key: network for network in comparison.networks}
        rows.append((comparison.label, *(sharpness_of(networks.get(key)) for key in by_key)))
    return Table((SETTING, *columns), tuple(rows))


def sharpness_of(network: Network | None) -> Estimate | None:
    """The recorded sharpness of a network's weight images; None where a run recorded none."""
    values = [run.weights.get("sharpness") for run in network.runs] if network else []
    present = [value for value in values if value is not None]
    return estimate(present) if present and len(present) == len(values) else None


SHARPNESS_TABLE = Figure(
    "sharpness",
    _data,
    caption=Caption(
        "Sharpness of the first layer’s weight images",
        "White noise scores 1, a blank image 0, the clothes of Fashion-MNIST about 1.4: gradient "
        "energy behind a Gaussian of one pixel over the image’s variance (Geusebroek et al. 2000), "
        "mean over neurons, after the last round.",
    ),
    needs=needs,
    number="5",
)
