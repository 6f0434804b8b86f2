"""What one price does to the ratio of the two energies, the others left as they are: a chart, Table E5."""

from __future__ import annotations  # altair is not looked up before it is used

from fedspike.energy.sensitivity import Sensitivity
from fedspike.report.analysis.other_prices import LEVEL, OtherPrices
from fedspike.report.analysis.results import Results
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering import vega as alt
from fedspike.report.rendering.axes import chart_of, log_scale, rows
from fedspike.report.rendering.drawing import PRICE_TABLES, Panels, charts
from fedspike.report.rendering.palette import LIGHT
from fedspike.report.rendering.tables import Caption, Column, Table, table, three_digits, words

WIDTH, ROW, BAR = 260, 24, 13  # pixels
MOST_PRICES = 12  # of a profile, the ones that move the ratio most
OPERATIONS = {"mac": "multiply-accumulate", "ac": "accumulate"}


def _moved(results: Results) -> OtherPrices | None:
    """Where a price changes the ratio."""
    other = results.other_prices
    return other if other and any(other.sensitivities.values()) else None


def _draw(other: OtherPrices) -> Panels:
    drawn = (
        (profile, _chart(profile, other.ratio[profile], moved[:MOST_PRICES]))
        for profile in other.view.judging(LEVEL)
        if (moved := other.sensitivities.get(profile))
    )
    return Panels(charts(drawn), 27, 1, PRICE_TABLES)


def _caption(other: OtherPrices) -> Caption:
    return Caption(
        f"One price changed, all others kept, with training, {other.view.main.label}",
        "Pale: the price at its low end; dark: at its high end. The ends are those of its source, or "
        "half and twice the price where the source gives one number. The line is the ratio at nominal "
        "prices; the dashed line is 1, where both networks cost the same. If a bar crosses the dashed "
        "line, the winner changes. Prices that belong together (of an addition and of an accumulate) are "
        "changed one by one.",
    )


def _chart(profile: str, nominal: float, moved: list[Sensitivity]) -> alt.LayerChart:
    ends = [ratio for one in moved for ratio in (one.ratio_at_low, one.ratio_at_high)]
    low, high = min(*ends, nominal) / 1.15, max(*ends, nominal) * 1.15
    names = [OPERATIONS.get(one.price, one.price) for one in moved]
    x = log_scale("from", low, high, "spiking energy over conventional energy")
    y = rows("price", names)
    bars = [
        {
            **{"price": name, "end": end, "from": nominal, "to": ratio},
            **{"says": f"{name} at its {end} price: {three_digits(ratio)}"},
        }
        for name, one in zip(names, moved, strict=True)
        for end, ratio in (("low", one.ratio_at_low), ("high", one.ratio_at_high))
    ]
    base = chart_of(*bars).encode(y=y, x=x, x2=alt.X2("to:Q"))
    layers: list[alt.Chart] = [
        base.transform_filter(f"datum.end == '{end}'").mark_bar(
            color=LIGHT["count"], opacity=opacity, height=BAR
        )
        for end, opacity in (("low", 0.4), ("high", 0.9))
    ]
    layers.append(chart_of({"from": nominal}).mark_rule(color=LIGHT["ink"]).encode(x=x))
    if low < 1 < high:
        one = chart_of({"from": 1.0}).mark_rule(color=LIGHT["spiking"], strokeDash=[4, 3])
        layers.append(one.encode(x=x))
    title = f"{profile}: {three_digits(nominal)}"
    return alt.layer(*layers).properties(width=WIDTH, height=ROW * len(moved), title=title)


def _table(other: OtherPrices) -> Table:
    ratio = "spiking over conventional"
    rows = (
        (
            *(profile, one.price, one.low_pj, one.nominal_pj, one.high_pj),
            "the source" if one.from_source else "half and twice",
            *(one.ratio_at_low, other.ratio[profile], one.ratio_at_high),
        )
        for profile, moved in other.sensitivities.items()
        for one in moved
    )
    return table(
        rows,
        *(words("profile"), words("price")),
        *(Column(f"{end}_pj", end, None, "pJ", None) for end in ("low", "nominal", "high")),
        words("ends", "ends from"),
        Column("ratio_at_low", "at low", None, ratio, 3),
        Column("ratio_nominal", "nominal", None, ratio, 3),
        Column("ratio_at_high", "at high", None, ratio, 3),
    )


SENSITIVITY_CHART = Figure("sensitivity", _draw, _caption, _moved)
SENSITIVITY_TABLE = Figure(
    "sensitivity",
    _table,
    Caption("One price changed, all others kept: ratio of the energies, with training"),
    _moved,
    "E5",
    summary="All prices, changed one by one",
)
