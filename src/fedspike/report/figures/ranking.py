"""The methods of a sweep over its settings: a critical-difference diagram, and its tests, Table A4."""

from __future__ import annotations  # altair is not looked up before it is used

from collections.abc import Callable

from fedspike.report.analysis.ranks import Ranks, over_settings
from fedspike.report.analysis.results import Results
from fedspike.report.analysis.significance import SIGNIFICANT, in_words
from fedspike.report.figures.figure import Figure
from fedspike.report.figures.methods import TEST, WIDTH
from fedspike.report.rendering import vega as alt
from fedspike.report.rendering.axes import LETTER, chart_of
from fedspike.report.rendering.drawing import Panels, charts
from fedspike.report.rendering.palette import LIGHT
from fedspike.report.rendering.tables import Caption, Column, Table, number, table, words

NARROWEST = 180  # pixels of the axis
BAR, LINE = 10, 20  # pixels from one bar, or one name, to the next


def _needs(results: Results) -> Ranks | None:
    side = results.side_by_side
    return over_settings(side) if side else None


def _draw(ranks: Ranks) -> Panels:
    return Panels(charts([("average ranks", _chart(ranks))]), 27, 1)


def _chart(ranks: Ranks) -> alt.LayerChart:
    """An axis of ranks; below it a bar for each clique, then the names, half of them on either side."""
    count = len(ranks.average)
    top = BAR * (len(ranks.cliques) + 1)
    height = top + LINE * _left(count)
    names = _names(ranks, top)
    scale = alt.Scale(domain=[1, count], nice=False)
    shown = {"values": list(range(1, count + 1)), "format": "d", "labelFlush": False}
    axis = alt.Axis(orient="top", grid=False, domain=True, ticks=True, **shown)
    x = alt.X("rank:Q", title="average rank", scale=scale, axis=axis)
    upright = alt.Scale(domain=[height, 0], nice=False)
    y = alt.Y("y:Q", scale=upright, axis=None)
    members = chart_of(
        *(
            {"rank": ranks.average[name], "y": BAR * (place + 1), "clique": place}
            for place, clique in enumerate(ranks.cliques)
            for name in clique
        )
    ).encode(x=x, y=y, detail=alt.Detail("clique:N"))
    named, ink, muted = chart_of(*names), LIGHT["ink"], LIGHT["muted"]
    layers: list[alt.Chart] = [
        named.mark_rule(color=muted).encode(
            x=x, y=alt.Y("axis:Q", scale=upright, axis=None), y2=alt.Y2("y:Q")
        ),
        named.mark_rule(color=muted).encode(x=x, x2=alt.X2("side:Q"), y=y),
        members.mark_line(color=ink, strokeWidth=4),
        members.mark_circle(color=ink, opacity=1, size=60),
    ]
    for side, align, dx in ((1, "right", -6), (count, "left", 6)):
        own = chart_of(*(name for name in names if name["side"] == side))
        text = own.mark_text(align=align, dx=dx, fontSize=12, color=ink)
        layers.append(
            text.encode(x=alt.X("side:Q", scale=scale, axis=axis), y=y, text=alt.Text("text:N"))
        )
    room = max(LETTER * len(str(name["text"])) for name in names)
    return alt.layer(*layers).properties(width=max(NARROWEST, WIDTH - 2 * room), height=height)


def _left(count: int) -> int:
    """How many of so many names stand on the left."""
    return (count + 1) // 2


def _names(ranks: Ranks, top: int) -> list[dict[str, object]]:
    """Each method with its rank, the side of its name, and how far below the axis that is."""
    count, names = len(ranks.average), []
    for place, (name, rank) in enumerate(ranks.average.items()):
        shown = number(rank, 2)
        down, side, text = place, 1, f"{name}  {shown}"
        if place >= _left(count):
            down, side, text = count - 1 - place, count, f"{shown}  {name}"
        y = top + LINE * (down + 0.5)
        names.append({"rank": rank, "side": side, "text": text, "axis": 0, "y": y})
    return names


def _caption(ranks: Ranks) -> Caption:
    note = _untested(ranks)
    if ranks.pairs:
        note = f"A bar joins, by its dots, those of which no two differ significantly ({_tests(ranks)})."
    others = [] if not ranks.left_out else [f"Not ranked: {', '.join(ranks.left_out)} (Table A1)."]
    return Caption(_title(ranks), f"1 is the best. {note}", *others)


def _untested(ranks: Ranks) -> str:
    """Why no pair is tested."""
    if ranks.p >= SIGNIFICANT:
        return f"Friedman’s test finds no difference ({in_words(ranks.p)}), so no pair is tested."
    return (
        f"Friedman’s test says that they differ ({in_words(ranks.p)}). Which of them do is not tested: for "
        f"{ranks.comparisons} pairs that takes {ranks.settings_needed} rows, were one ahead in each."
    )


def _title(ranks: Ranks) -> str:
    return f"Average rank of each {ranks.what} in {ranks.settings} rows of Table A1"


def _tests(ranks: Ranks) -> str:
    return (
        f"{TEST} over the rows’ mean accuracies, Holm’s correction for {ranks.comparisons} pairs, p below "
        f"{SIGNIFICANT}; Friedman’s test of all: {in_words(ranks.p)}"
    )


def _table(ranks: Ranks) -> Table:
    """A row for each method, and a column for each that it is tested against."""

    def p(other: str) -> Callable[[str], float | None]:
        return lambda name: ranks.pairs.get(frozenset({name, other}))

    return table(
        ranks.average,
        words("method", ranks.what, lambda name: name),
        Column("average_rank", "average rank", lambda name: ranks.average[name], digits=2),
        *(
            Column(f"p_holm_{one}", one, p(one), "p after Holm, against", 4)
            for one in ranks.average
            if ranks.pairs
        ),
    )


def _table_caption(ranks: Ranks) -> Caption:
    if not ranks.pairs:
        return Caption(_title(ranks), f"1 is the best. {_untested(ranks)}")
    return Caption(f"{_title(ranks)}, and each pair", f"{_tests(ranks)}.")


RANKS_CHART = Figure("ranks", _draw, _caption, _needs)
RANKS_TABLE = Figure(
    *("ranks-tests", _table, _table_caption, _needs, "A4"),
    summary="The ranks one by one",
)
