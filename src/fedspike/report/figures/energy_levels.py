"""A waterfall: what each level adds to the energy of a round."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

import altair as alt

from fedspike.report.analysis.energy_view import ADDED, EnergyView, energy_mj, not_priced
from fedspike.report.analysis.settings import Network
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering.axes import BAR_HEIGHT, BAR_ROW, OFFSETS, chart_of, energy_axis, rows
from fedspike.report.rendering.drawing import LIGHT, Panels, charts
from fedspike.report.rendering.tables import Caption, three_digits

WIDTH, NUMBER = 280, 95  # pixels; the second is for the words behind a bar
PRICE_TABLES = ("more price table", "more price tables")


@dataclass(frozen=True)
class Step:
    """What a level adds to a bill, from the millijoule before it to those with it, and in words."""

    level: str
    before: float
    after: float
    text: str


Waterfall = dict[str, list[Step]]
"""role -> steps"""


def _data(view: EnergyView) -> dict[str, Waterfall]:
    return {
        profile: {one.role: list(steps(view, one, profile)) for one in view.twins}
        for profile in view.judging("study")
    }


def _draw(data: dict[str, Waterfall]) -> Panels:
    drawn = charts((profile, _chart(profile, own)) for profile, own in data.items())
    return Panels(drawn, 27, 1, PRICE_TABLES)


def _caption(view: EnergyView) -> Caption:
    radio = f" by {view.radio_title}" if view.radio else ""
    return Caption(
        f"The energy of a round, level by level, {view.main.label}",
        "Each bar is what a level adds, and its share of the whole: synaptic operations, then all "
        f"other arithmetic, memory, training, and the bytes sent and received{radio}. It begins where "
        "the bar above it ends. All devices together, nominal prices; work without a price (Table "
        "E11) is missing.",
    )


def steps(view: EnergyView, network: Network, profile: str) -> Iterator[Step]:
    """A round's bill from level to level, and the whole of it; mean over the seeds.

    In words: what is added, and its share of the whole. Where nothing is, it may have no price.
    """
    energies = [(level, energy_mj(network, profile, view.key(level))) for level in view.levels]
    levels = [(level, energy.mean) for level, energy in energies if energy is not None]
    whole = levels[-1][1]
    before, without = 0.0, set[str]()
    for level, after in levels:
        unpriced = not_priced(network, profile, view.key(level))
        if after > before:
            plus = "+" if before else ""
            text = f"{plus}{three_digits(after - before)} ({_share((after - before) / whole)})"
        else:
            text = "not priced" if unpriced - without else "in these prices"
        yield Step(ADDED[level], before, after, text)
        before, without = after, unpriced
    yield Step("whole bill", 0.0, whole, f"{network.title} {three_digits(whole)}")


def _chart(profile: str, waterfall: Waterfall) -> alt.LayerChart:
    most = max(step.after for own in waterfall.values() for step in own)
    names = [step.level for step in next(iter(waterfall.values()))]
    x = energy_axis("after", most * WIDTH / (WIDTH - NUMBER))
    y = rows("level", names)
    layers: list[alt.Chart] = []
    for role, own in waterfall.items():
        layers += _bars(own, x, y, LIGHT[role], OFFSETS[role])
    return alt.layer(*layers).properties(width=WIDTH, height=BAR_ROW * len(names), title=profile)


def _bars(own: Sequence[Step], x: alt.X, y: alt.Y, colour: str, offset: int) -> list[alt.Chart]:
    joints = [{"level": a.level, "next": b.level, "after": a.after} for a, b in pairwise(own)]
    rule = chart_of(*joints).encode(x=x, y=y, y2="next:O")
    base = chart_of(*map(asdict, own)).encode(x=x, y=y)
    text = base.mark_text(color=colour, align="left", dx=5, fontSize=12, yOffset=offset)
    return [
        rule.mark_rule(color=colour, opacity=0.4, yOffset=offset, y2Offset=offset),
        base.mark_bar(color=colour, height=BAR_HEIGHT, yOffset=offset).encode(x2="before:Q"),
        text.encode(text="text:N"),
    ]


def _share(part: float) -> str:
    """A part of one in percent; a few of many are not none, and most are not all.

    >>> _share(0.0007), _share(0.5), _share(0.9999), _share(1.0)
    ('<1 %', '50 %', '>99 %', '100 %')
    """
    if 0 < part < 0.01:
        return "<1 %"
    return ">99 %" if 0.99 < part < 1 else f"{100 * part:.0f} %"


ENERGY_LEVELS = Figure(
    "energy-levels",
    _data,
    draw=_draw,
    caption=_caption,
    needs=lambda results: results.judged("study"),
)
