"""The table of a sweep of spiking networks: every one with its accuracy, its spikes and its energy."""

from collections.abc import Sequence

from fedspike.energy.estimate import Estimate, estimate
from fedspike.report.bills import ADDED
from fedspike.report.comparison import Comparison, Group, by_setting, groups_of
from fedspike.report.pareto import energy_mj, front, name, points
from fedspike.report.repricing import of_run
from fedspike.report.study_tables import SETTING, interval_note
from fedspike.report.tables import Cell, Column, Table


def variants_table(comparisons: Sequence[Comparison], profile: str) -> Table:
    """The networks of each setting that has several spiking ones, the most accurate first."""
    settings = [own for own in by_setting(comparisons).values() if own[0].variant]
    rows: list[tuple[Cell, ...]] = []
    for own in settings:
        best = {point.name for point in front(points(own, profile))}
        for group in sorted(groups_of(own), key=lambda group: -group.accuracy.mean):
            rows.append(
                (
                    group.setting.label,
                    name(group),
                    group.accuracy,
                    spikes_per_synapse(group),
                    group.estimate(lambda run: run.study_energy_mj_per_round),
                    energy_mj(group, profile, "study"),
                    energy_mj(group, profile, "memory"),
                    "yes" if name(group) in best else None,
                )
            )
    return Table(
        "S1",
        "variants",
        "All spiking networks, beside the conventional ones of their setting",
        (
            SETTING,
            Column("network", "network", is_text=True),
            Column("last_round_percent", "accuracy, %", digits=1),
            Column("spikes_per_synapse", "spikes per synapse", digits=2),
            Column("founding_mj_per_round", "founding rule", "mJ a round", 3),
            Column("study_mj_per_round", ADDED["study"], "mJ a round", 3),
            Column("memory_mj_per_round", "with memory", "mJ a round", 3),
            Column("front", "on the front", is_text=True),
        ),
        tuple(rows),
        (
            "The most accurate first, after the last round. Spikes: of an inference, mean over the synapses "
            f"that spikes reach. Energy: of all devices, at the nominal prices of {profile} after the "
            "founding rule’s; “with memory” has all arithmetic in it too. On the front: no other network "
            "of the setting is both cheaper, with training, and more accurate.",
            interval_note([group for own in settings for group in groups_of(own)]),
        ),
    )


def spikes_per_synapse(group: Group) -> Estimate | None:
    """Of one inference, mean over the synapses and seeds; None where a summary does not tell."""
    if group.network != "snn":
        return None
    seen = [of_run(run) for run in group.runs]
    known = [one.events_per_synapse for one in seen if one is not None]
    return estimate(known) if len(known) == len(seen) else None
