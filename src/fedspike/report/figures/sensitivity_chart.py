"""What a single price does to the ratio of the two energies, the others left as they are."""

import altair as alt

from fedspike.energy.sensitivity import Sensitivity
from fedspike.report.analysis.other_prices import LEVEL, OtherPrices
from fedspike.report.analysis.results import Results
from fedspike.report.figures.energy_levels import PRICE_TABLES
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering.axes import chart_of, log_scale, rows
from fedspike.report.rendering.drawing import LIGHT, Panels, charts
from fedspike.report.rendering.tables import Caption, three_digits

WIDTH, ROW, BAR = 260, 24, 13  # pixels
MOST_PRICES = 12  # of a profile, the ones that move the ratio most
OPERATIONS = {"mac": "multiply-accumulate", "ac": "accumulate"}
Moved = dict[str, tuple[float, list[Sensitivity]]]
"""profile -> ratio at nominal prices, and what each price does to it"""


def needs(results: Results) -> OtherPrices | None:
    """A price that changes the ratio."""
    other = results.other_prices
    return other if other and any(other.sensitivities.values()) else None


def _data(other: OtherPrices) -> Moved:
    view = other.view
    return {
        profile: (other.ratio[profile], other.sensitivities[profile][:MOST_PRICES])
        for profile in view.judging(LEVEL)
        if other.sensitivities.get(profile)
    }


def _draw(data: Moved) -> Panels:
    drawn = charts((name, _chart(name, nominal, own)) for name, (nominal, own) in data.items())
    return Panels(drawn, 27, 1, PRICE_TABLES)


def _caption(other: OtherPrices) -> Caption:
    return Caption(
        f"One price changed, all others kept, with training, {other.view.main.label}",
        "Pale: the price at its low end; dark: at its high end. The ends are those of its source, or "
        "half and twice the price where the source gives one number. The line is the ratio at nominal "
        "prices; dashed is 1, where both networks cost the same. A bar that crosses it turns the "
        "verdict. Prices that belong together (of an addition and of an accumulate) are changed one "
        "by one.",
    )


def _chart(profile: str, nominal: float, moved: list[Sensitivity]) -> alt.LayerChart:
    ends = [ratio for one in moved for ratio in (one.ratio_at_low, one.ratio_at_high)]
    low, high = min(*ends, nominal) / 1.15, max(*ends, nominal) * 1.15
    names = [OPERATIONS.get(one.price, one.price) for one in moved]
    x = log_scale("from", low, high, "spiking energy over conventional energy")
    y = rows("price", names)
    bars = [
        {"price": name, "end": end, "from": nominal, "to": ratio}
        for name, one in zip(names, moved, strict=True)
        for end, ratio in (("low", one.ratio_at_low), ("high", one.ratio_at_high))
    ]
    base = chart_of(*bars).encode(y=y, x=x, x2="to:Q")
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


SENSITIVITY_CHART = Figure("sensitivity", _data, draw=_draw, caption=_caption, needs=needs)
