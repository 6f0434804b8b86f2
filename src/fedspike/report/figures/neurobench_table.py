"""Table E8: NeuroBench's metrics of the trained models."""

from functools import partial

from fedspike.energy.estimate import Estimate, estimate
from fedspike.report.analysis.settings import Network
from fedspike.report.figures.accuracy import SETTING
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering.tables import Caption, Column, Table, table, words

METRICS = {  # titles and digits
    "footprint_bytes": ("footprint, bytes", 0),
    "connection_sparsity": ("connection sparsity", 3),
    "activation_sparsity": ("activation sparsity", 3),
    "effective_macs": ("effective MACs", 0),
    "effective_acs": ("effective ACs", 0),
    "dense_operations": ("dense", 0),
}


def _table(networks: list[Network]) -> Table:
    columns = (
        Column(name, title, partial(_mean, metric=name), digits=digits)
        for name, (title, digits) in METRICS.items()
    )
    return table(networks, SETTING, words("network", None, lambda one: one.title), *columns)


def _mean(network: Network, metric: str) -> Estimate | None:
    """The mean over the seeds, where all have a value."""
    values = [getattr(run.neurobench, metric, None) for run in network.runs]
    present = [float(value) for value in values if value is not None]
    return estimate(present) if len(present) == len(values) else None


NEUROBENCH_TABLE = Figure(
    "neurobench",
    _table,
    Caption(
        "NeuroBench’s metrics of the trained models",
        "Operations per test sample; definitions of Yik et al., “The NeuroBench framework”, "
        "Nature Communications 16, 2025.",
    ),
    lambda results: [one for one in results.networks if any(run.neurobench for run in one.runs)],
    "E8",
    summary="NeuroBench’s metrics of the trained models",
)
