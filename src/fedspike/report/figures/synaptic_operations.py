"""Table 2: the synaptic operations of a forward pass, and their energy at the prices of the study level."""

from fedspike.report.analysis.results import Results
from fedspike.report.analysis.settings import Network, interval_note
from fedspike.report.figures.accuracy import SETTING
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering.tables import Caption, Column, Table, table, words

PICOJOULES_IN_A_MILLIJOULE = 1e9
OPERATION = {True: "accumulate", False: "multiply-accumulate"}


def _table(results: Results) -> Table:
    ratios = {
        one.spiking: one.synaptic_energy_percent() for one in results.comparisons if one.spiking
    }
    return table(
        results.networks,
        SETTING,
        words("network", "network", lambda one: one.title),
        words("operation", "operation", lambda one: OPERATION[one.is_spiking]),
        Column(
            "operations_per_sample",
            "per sample",
            lambda one: one.estimate(lambda run: run.forward_operations_per_sample),
        ),
        Column("price_pj", "price, pJ", _price_pj, digits=1),
        Column("samples_per_round", "samples per round", lambda one: one.runs[0].samples_per_round),
        Column("energy_mj_per_round", "energy per round, mJ", Network.study_energy_mj, digits=None),
        Column("ratio_percent", "of the conventional network’s, %", ratios.get, digits=2),
    )


def _price_pj(network: Network) -> float | None:
    """Unknown of a network in which no spike ever met a synapse."""
    run = network.runs[0]
    operations = run.forward_operations_per_sample * run.samples_per_round
    if not operations:
        return None
    return run.study_energy_mj_per_round * PICOJOULES_IN_A_MILLIJOULE / operations


def _caption(results: Results) -> Caption:
    return Caption(
        "Synaptic operations of the forward pass, and their energy",
        "Operations × price × samples = energy. The accumulates of a spiking network are its "
        "counted spikes, each multiplied by the number of neurons that it reaches.",
        interval_note(results.networks),
    )


SYNAPTIC_OPERATIONS = Figure("operations", _table, _caption, number="2")
