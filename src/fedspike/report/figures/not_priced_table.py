"""Table E11: what was counted and has no price."""

from fedspike.energy.levels import LEVELS
from fedspike.report.analysis.energy_view import EnergyView
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering.tables import Caption, Cell, Table, words


def _data(view: EnergyView) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for network in view.twins:
        for profile, bills in network.runs[0].bill.items():
            level = next(name for one in reversed(LEVELS) if (name := view.key(one)) in bills)
            terms = ", ".join(bills[level].not_priced) or "nothing"
            rows.append((profile, network.title, level, terms))
    rows.sort(key=lambda row: str(row[0]))
    columns = (
        *(words("profile", "profile"), words("network", "network")),
        words("level", "up to level"),
        words("not_priced", "without a price: phase.operation", "long"),
    )
    return Table(columns, tuple(rows))


NOT_PRICED_TABLE = Figure(
    "not-priced",
    _data,
    caption=Caption("Work that was counted but has no price; it is missing in the energy"),
    needs=lambda results: results.energy,
    number="E11",
    summary="What was counted and has no price",
)
