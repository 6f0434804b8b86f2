"""Table S1: all spiking networks of a sweep, with accuracy, spikes and energy."""

from fedspike.energy.estimate import Estimate, estimate
from fedspike.report.analysis.energy_view import ADDED, energy_mj
from fedspike.report.analysis.front import front, points
from fedspike.report.analysis.other_prices import of_run
from fedspike.report.analysis.results import Results
from fedspike.report.analysis.settings import Network, interval_note
from fedspike.report.figures.accuracy_table import SETTING
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering.tables import Caption, Column, Table, words


def _data(results: Results) -> Table:
    energy, profile = "mJ per round", results.profile
    columns = (
        *(SETTING, words("network", "network")),
        Column("last_round_percent", "accuracy, %", digits=1),
        Column("spikes_per_synapse", "spikes per synapse", digits=2),
        Column("forward_mj_per_round", "forward pass, Table 2", energy, 3),
        Column("study_mj_per_round", ADDED["study"], energy, 3),
        Column("memory_mj_per_round", "with memory", energy, 3),
        words("front", "on the front"),
    )
    rows = []
    for setting in results.settings:
        if len(setting.spiking) < 2:
            continue
        best = {point.name for point in front(points(setting.networks, profile))}
        for network in sorted(setting.networks, key=lambda one: -one.accuracy.mean):
            rows.append(
                (
                    *(setting.label, network.name, network.accuracy),
                    spikes_per_synapse(network),
                    network.estimate(lambda run: run.study_energy_mj_per_round),
                    energy_mj(network, profile, "study"),
                    energy_mj(network, profile, "memory"),
                    "yes" if network.name in best else None,
                )
            )
    return Table(columns, tuple(rows))


def _caption(results: Results) -> Caption:
    return Caption(
        "All spiking networks, beside the conventional networks of their setting",
        "The most accurate first, after the last round. Spikes: of an inference, mean over the "
        "synapses that spikes reach. Energy: of all devices, after the forward pass at the nominal "
        f"prices of {results.profile}; “with memory” includes all arithmetic. On the front: no other "
        "network of the setting is both cheaper, with training, and more accurate.",
        interval_note(results.networks),
    )


def spikes_per_synapse(network: Network) -> Estimate | None:
    """Of one inference, mean over the synapses and seeds; None where a summary does not tell."""
    if not network.is_spiking:
        return None
    sides = [side for run in network.runs if (side := of_run(run)) is not None]
    if len(sides) < len(network.runs):
        return None
    return estimate([side.events_per_synapse for side in sides])


VARIANTS_TABLE = Figure(
    "variants",
    _data,
    caption=_caption,
    needs=lambda results: results if results.has_variants else None,
    number="S1",
)
