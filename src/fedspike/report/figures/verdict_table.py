"""Table E2: the energy of a round under every profile and level, and the ratios."""

from fedspike.energy.estimate import Estimate
from fedspike.energy.verdict import Verdict
from fedspike.report.analysis.energy_view import ADDED, EnergyView, energy_mj, turning, winner
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering.tables import Caption, Column, Table, words


def _data(view: EnergyView) -> Table:
    judged = [view.verdicts(rival) for rival in view.rivals]
    over = f"{view.spiking.title} over"
    columns = (
        *(words("profile", "profile"), words("level", "level")),
        *(Column(f"{one.key}_mj", one.title, "mJ per round", 3) for one in view.rivals),
        Column(f"{view.spiking.key}_mj", view.spiking.title, "mJ per round", 3),
        *(Column(f"ratio_{one.key}", one.title, over, 3) for one in view.rivals),
        words("winner", "needs less"),
        words("could_turn", "the winner’s work without a price", "long"),
    )
    rows = []
    for (profile, level), verdict in view.verdicts().items():
        name = view.key(level)
        energies = [
            energy_mj(one.network, profile, name, skips_zeros=one.skips_zeros)
            for one in view.rivals
        ]
        side = winner(verdict, view.reference, view.spiking)
        neither = "no verdict" if verdict.ratio is None else "no difference"
        rows.append(
            (
                *(profile, ADDED[level], *energies),
                energy_mj(view.spiking, profile, name),
                *(_ratio(verdicts.get((profile, level))) for verdicts in judged),
                side.title if side else neither,
                ", ".join(turning(verdict)) or None,
            )
        )
    return Table(columns, tuple(rows))


def _caption(view: EnergyView) -> Caption:
    return Caption(
        f"Modelled energy of a round under every profile, {view.main.label}",
        "Each level includes the levels above it. Nominal prices; the ends of the price ranges are in "
        "tables/tableE12-bills.csv, with all runs and radios. Ratios are taken within a seed.",
    )


def _ratio(verdict: Verdict | None) -> Estimate | None:
    if verdict is None or verdict.ratio is None:
        return None
    high = verdict.ratio_high
    return Estimate(verdict.ratio, None if high is None else high - verdict.ratio, verdict.seeds)


VERDICT_TABLE = Figure(
    "verdict",
    _data,
    caption=_caption,
    needs=lambda results: results.energy,
    number="E2",
    summary="All numbers of this setting: millijoule, ratios, what has no price",
)
