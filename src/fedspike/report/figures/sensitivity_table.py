"""Table E5: the ratio of the two energies at both ends of every price."""

from fedspike.report.analysis.other_prices import OtherPrices
from fedspike.report.figures.figure import Figure
from fedspike.report.figures.sensitivity_chart import needs
from fedspike.report.rendering.tables import Caption, Column, Table, words


def _data(other: OtherPrices) -> Table:
    ratio = "spiking over conventional"
    columns = (
        *(words("profile", "profile"), words("price", "price")),
        *(Column(f"{end}_pj", end, "pJ", 4) for end in ("low", "nominal", "high")),
        words("ends", "ends from"),
        Column("ratio_at_low", "at low", ratio, 3),
        Column("ratio_nominal", "nominal", ratio, 3),
        Column("ratio_at_high", "at high", ratio, 3),
    )
    rows = tuple(
        (
            *(profile, one.price, one.low_pj, one.nominal_pj, one.high_pj),
            "the source" if one.from_source else "half and twice",
            *(one.ratio_at_low, other.ratio[profile], one.ratio_at_high),
        )
        for profile, moved in other.sensitivities.items()
        for one in moved
    )
    return Table(columns, rows)


SENSITIVITY_TABLE = Figure(
    "sensitivity",
    _data,
    caption=Caption("One price changed, all others kept: ratio of the energies, with training"),
    needs=needs,
    number="E5",
    summary="All prices, changed one by one",
)
