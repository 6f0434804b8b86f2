"""Table E8: NeuroBench's metrics of the trained models."""

from collections.abc import Callable

from fedspike.energy.estimate import Estimate, estimate
from fedspike.energy.neurobench import Metrics
from fedspike.report.analysis.settings import Network
from fedspike.report.figures.accuracy_table import SETTING
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering.tables import Caption, Column, Table, words

METRICS: list[tuple[Column, Callable[[Metrics], float | None]]] = [
    (Column("footprint_bytes", "footprint, bytes"), lambda one: one.footprint_bytes),
    (
        Column("connection_sparsity", "connection sparsity", digits=3),
        lambda one: one.connection_sparsity,
    ),
    (
        Column("activation_sparsity", "activation sparsity", digits=3),
        lambda one: one.activation_sparsity,
    ),
    (Column("effective_macs", "effective MACs"), lambda one: one.effective_macs),
    (Column("effective_acs", "effective ACs"), lambda one: one.effective_acs),
    (Column("dense_operations", "dense"), lambda one: one.dense_operations),
]


def _data(networks: list[Network]) -> Table:
    rows = tuple(
        (network.label, network.title, *(_mean(network, of) for _, of in METRICS))
        for network in networks
    )
    columns = (SETTING, words("network", "network"), *(column for column, _ in METRICS))
    return Table(columns, rows)


def _mean(network: Network, of: Callable[[Metrics], float | None]) -> Estimate | None:
    """The mean over the seeds, where all have a value."""
    values = [of(run.neurobench) if run.neurobench else None for run in network.runs]
    present = [float(value) for value in values if value is not None]
    return estimate(present) if len(present) == len(values) else None


NEUROBENCH_TABLE = Figure(
    "neurobench",
    _data,
    caption=Caption(
        "NeuroBench’s metrics of the trained models",
        "Operations per test sample; definitions of Yik et al., “The NeuroBench framework”, "
        "Nature Communications 16, 2025.",
    ),
    needs=lambda results: [
        one for one in results.networks if any(run.neurobench for run in one.runs)
    ],
    number="E8",
    summary="NeuroBench’s metrics of the trained models",
)
