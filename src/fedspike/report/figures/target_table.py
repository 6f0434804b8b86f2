"""Table E3: rounds and joules until the target accuracy is first reached."""

from collections.abc import Sequence

from fedspike.energy.estimate import Estimate, estimate
from fedspike.energy.levels import HIGHEST_WITHOUT_RADIO
from fedspike.report.analysis.energy_view import EnergyView
from fedspike.report.analysis.settings import Network
from fedspike.report.figures.accuracy_table import SETTING
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering.tables import Caption, Column, Table


def _data(view: EnergyView) -> Table:
    by_key = {one.key: one.title for c in view.comparisons for one in c.networks}
    rows = []
    for comparison in view.comparisons:
        networks = {network.key: network for network in comparison.networks}
        reached = [reaching(networks.get(key), view.profile) for key in by_key]
        rounds = [_mean([rounds for rounds, _ in own]) for own in reached]
        joules = [_mean([mj / 1000 for _, mj in own]) for own in reached]
        rows.append((comparison.label, *rounds, *joules))
    columns = (
        SETTING,
        *(Column(f"{key}_rounds", title, "rounds", 0) for key, title in by_key.items()),
        *(
            Column(f"{key}_joule", title, "modelled J, with training", 2)
            for key, title in by_key.items()
        ),
    )
    return Table(columns, tuple(rows))


def _caption(view: EnergyView) -> Caption:
    networks = list(dict.fromkeys(one for c in view.comparisons for one in c.networks))
    targets = sorted({run.target_accuracy for network in networks for run in network.runs})
    partly = [
        f"{network.label}, {network.title}: reached with {count} of {len(network.runs)} seeds."
        for network in networks
        if 0 < (count := len(reaching(network, view.profile))) < len(network.runs)
    ]
    return Caption(
        f"Until the test accuracy first reaches {' or '.join(f'{100 * t:g} %' for t in targets)}, "
        f"at the prices of {view.profile}",
        "A dash: not reached. All devices together, without the radio.",
        *partly,
    )


def reaching(network: Network | None, profile: str) -> list[tuple[float, float]]:
    """Rounds and millijoule until the target, of the seeds that reached it."""
    pairs = []
    for run in network.runs if network else ():
        bill = run.bill.get(profile, {}).get(HIGHEST_WITHOUT_RADIO)
        if bill and bill.to_target and run.rounds_to_target is not None:
            pairs.append((float(run.rounds_to_target), bill.to_target.nominal_mj))
    return pairs


def _mean(values: Sequence[float]) -> Estimate | None:
    return estimate(values) if values else None


TARGET_TABLE = Figure(
    "target", _data, caption=_caption, needs=lambda results: results.energy, number="E3"
)
