"""Table 2: the synaptic operations of a forward pass, and their energy at the prices of the study level."""

from fedspike.report.analysis.results import Results
from fedspike.report.analysis.settings import interval_note
from fedspike.report.figures.accuracy_table import SETTING
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering.tables import Caption, Column, Table, words

PICOJOULES_IN_A_MILLIJOULE = 1e9


def _data(results: Results) -> Table:
    columns = (
        *(SETTING, words("network", "network"), words("operation", "operation")),
        Column("operations_per_sample", "per sample"),
        Column("price_pj", "price, pJ", digits=1),
        Column("samples_per_round", "samples per round"),
        Column("energy_mj_per_round", "energy per round, mJ", digits=4),
        Column("ratio_percent", "of the conventional network’s, %", digits=2),
    )
    ratios = {
        one.spiking: one.synaptic_energy_percent() for one in results.comparisons if one.spiking
    }
    rows = []
    for network in results.networks:
        run = network.runs[0]
        operations = run.forward_operations_per_sample * run.samples_per_round
        rows.append(
            (
                network.label,
                network.title,
                "accumulate" if network.is_spiking else "multiply-accumulate",
                network.estimate(lambda run: run.forward_operations_per_sample),
                run.study_energy_mj_per_round * PICOJOULES_IN_A_MILLIJOULE / operations,
                run.samples_per_round,
                network.estimate(lambda run: run.study_energy_mj_per_round),
                ratios.get(network),
            )
        )
    return Table(columns, tuple(rows))


def _caption(results: Results) -> Caption:
    return Caption(
        "Synaptic operations of the forward pass, and their energy",
        "Operations × price × samples = energy. The accumulates of a spiking network are the spikes "
        "that were counted in training, each times the number of neurons that it reaches.",
        interval_note(results.networks),
    )


SYNAPTIC_OPERATIONS = Figure("operations", _data, caption=_caption, number="2")
