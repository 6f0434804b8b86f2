"""Table E4: the energy of a round by phase and by layer."""

from fedspike.energy.account import BillBy
from fedspike.report.analysis.energy_view import EnergyView, parts
from fedspike.report.figures.energy_parts import needs
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering.tables import Caption, Cell, Column, Table, words


def _data(view: EnergyView) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for kind in BillBy.__struct_fields__:
        shares = [parts(network, kind, view.profile) for network in view.twins]
        for name in dict.fromkeys(name for own in shares for name in own):
            rows.append((kind, name, *(own.get(name) for own in shares)))
    columns = [Column(f"{one.key}_mj", one.title, "mJ per round", 4) for one in view.twins]
    return Table((words("by", "by"), words("part", "part"), *columns), tuple(rows))


def _caption(view: EnergyView) -> Caption:
    return Caption(
        f"Energy by phase and by layer at the prices of {view.profile}, {view.main.label}"
    )


PARTS_TABLE = Figure(
    "parts",
    _data,
    caption=_caption,
    needs=needs,
    number="E4",
    summary="By phase and by layer, in millijoule",
)
