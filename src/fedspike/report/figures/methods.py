"""The methods of a sweep side by side: Tables A1 and A2, the differences seed by seed, and in words."""

from __future__ import annotations  # altair is not looked up before it is used

from fedspike.report.analysis import tested
from fedspike.report.analysis.results import Results
from fedspike.report.analysis.settings import note_on_seeds
from fedspike.report.analysis.side_by_side import Difference, Row, SideBySide
from fedspike.report.analysis.significance import SIGNIFICANT, in_words
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering import vega as alt
from fedspike.report.rendering.axes import BAR_LABELS, LETTER, chart_of, rows
from fedspike.report.rendering.drawing import Panels, Prose, charts
from fedspike.report.rendering.palette import LIGHT
from fedspike.report.rendering.tables import (
    STRONG,
    Caption,
    Cell,
    Column,
    Marked,
    Table,
    interval,
    listed,
    marked,
    number,
    span,
    table,
    words,
)

WIDTH, ROW = 415, 34  # pixels, with the names
SHOWN = 4
WIDEST = 8  # columns of accuracies
TEST = "Wilcoxon’s signed-rank test (two-sided, exact)"


def sentences(side: SideBySide) -> list[str]:
    """For each setting what its best column is worth."""
    made = []
    for row in side.rows:
        if best := row.best:
            text = _sentence(side, best, row.differences[best])
            made.append(f"{row.label}: {text}." if len(side.rows) > 1 else f"{text}.")
    return made


def apart(side: SideBySide) -> list[str]:
    """Whose accuracy is not compared with the baseline's, and why: a sentence, or none."""
    if not side.apart:
        return []
    names = listed([*map(_in_sentence, side.apart)])
    are = "is" if len(side.apart) == 1 else "are"
    kinds = dict.fromkeys(side.accuracy_of[column] for column in side.apart)
    own = "; or ".join(tested.TESTED[kind].partition(";")[0] for kind in kinds)
    return [
        f"{names} {are} not compared with {_in_sentence(side.baseline)}: accuracy there is that of {own}."
    ]


def _sentence(side: SideBySide, best: str, difference: Difference) -> str:
    points, seeds = difference.points.mean, len(difference.by_seed)
    size, equal = number(abs(points), 1), number(0, 1)
    apart = f"{size} points {'ahead of' if points > 0 else 'behind'}"
    apart = "as accurate as" if size == equal else apart
    one, baseline = _in_sentence(best), _in_sentence(side.baseline)
    if difference.corrected is None:
        few = "1 seed is" if seeds == 1 else f"{seeds} seeds are"
        return f"{few} too few for a test; {one} is {apart} {baseline}"
    test = f"(n = {seeds}, {in_words(difference.corrected)})"
    if difference.better:
        by = "less than 0.1" if size == equal else size
        return f"{one} beats {baseline} by {by} points {test}"
    others = f"the best other, {one}," if len(side.compared) > 2 else one
    nobody = "no" if len(side.rows) > 1 else "No"
    return f"{nobody} {side.what} is significantly better than {baseline}; {others} is {apart} it {test}"


def _in_sentence(name: str) -> str:
    """A column's name inside a sentence."""
    return f"“{name}”" if "," in name else name


def _needs(results: Results) -> SideBySide | None:
    return results.side_by_side


def _unsaid(results: Results) -> SideBySide | None:
    """Where the page does not begin with all of the sentences."""
    side = results.side_by_side
    return side if side and (results.leading or len(side.rows) > 2 or side.apart) else None


def _prose(side: SideBySide) -> Prose:
    lines = sentences(side) + apart(side)
    return Prose(tuple(lines), "ul" if len(lines) > 1 else "p")


def _accuracies(side: SideBySide) -> Table:
    """A row for each setting; for each method where these are so many that no page is wide enough."""
    methods, settings = side.headings.items(), [(row, row.label) for row in side.rows]
    cells = [[_accuracy(row, name) for name, _ in methods] for row, _ in settings]
    across, down, first = [name for _, name in methods], [label for _, label in settings], "setting"
    if len(across) > max(WIDEST, len(down)):
        across, down, first = down, across, side.what
        cells = [list(own) for own in zip(*cells, strict=True)]
    counts = [[cell.count for cell in own if cell] for own in cells]
    unlike = len({count for own in counts for count in own}) > 1
    return table(
        (
            (name, *([span(count, 0)] if unlike else []), *own)
            for name, count, own in zip(down, counts, cells, strict=True)
        ),
        words(first),
        *([words("seeds")] if unlike else []),
        *(Column(f"{name}_percent", name, None, "accuracy, %", 1) for name in across),
    )


def _accuracy(row: Row, column: str) -> Marked | None:
    """A method's accuracy in a setting, and below it the difference to the baseline."""
    accuracy, difference = row.accuracy.get(column), row.differences.get(column)
    if accuracy is None:
        return None
    if difference is None:
        return marked(accuracy, strong=row.baseline_best)
    below = [interval(difference.points, 1, signed=True)]
    below += [] if difference.corrected is None else [in_words(difference.corrected)]
    return marked(accuracy, *below, strong=difference.better)


def _accuracies_caption(side: SideBySide) -> Caption:
    baseline = _in_sentence(side.baseline)
    below = (
        f"Below it, or in brackets: points by which it is more accurate than {baseline}, mean of the "
        "differences within a seed."
    )
    if side.tested:
        below += (
            f" p: of {TEST} over these seeds, corrected by Holm’s method for the {_comparisons(side)} of "
            f"this table. {STRONG}: better than {baseline}, or {baseline} better than all others, p below "
            f"{SIGNIFICANT}."
        )
    notes = [
        *tested.notes(side.accuracy_of.values()),
        note_on_seeds(cell.count for row in side.rows for cell in row.accuracy.values()),
        *([below] if side.differences else []),
        side.too_few,
        _bound(side),
    ]
    title = f"Test accuracy of each {side.what} after the last round"
    return Caption(title, *filter(None, notes))


def _bound(side: SideBySide) -> str:
    """What else differs from column to column; a table by its name where its kind differs."""
    whole = {key.partition(".")[0] for key in side.bound if key.endswith(".kind")}
    named = (key.partition(".")[0] if key.partition(".")[0] in whole else key for key in side.bound)
    keys = [key.replace(".", " ").replace("_", " ") for key in dict.fromkeys(named)]
    return f"With the {side.what} differ also: {', '.join(keys)}." if keys else ""


def _comparisons(side: SideBySide) -> str:
    return f"{side.comparisons} comparison{'s' if side.comparisons > 1 else ''}"


def _tests(side: SideBySide) -> Table:
    tests = (
        Column("p", "p", digits=None),
        Column("p_holm", "p after Holm", digits=None),
        words("significant"),
    )
    return table(
        (
            (row.label, column, len(one.by_seed), one.points, *_test(side, one))
            for row in side.rows
            for column, one in row.differences.items()
        ),
        *(words("setting"), words(side.what)),
        Column("seeds", "seeds of both"),
        Column("points", "points ahead", digits=2, signed=True),
        *(tests if side.tested else ()),
    )


def _test(side: SideBySide, difference: Difference) -> tuple[Cell, ...]:
    """The cells of a difference's test; none where nothing was tested."""
    if not side.tested:
        return ()
    if difference.corrected is None:
        return (None, None, None)
    verdict = ("better" if difference.better else "worse") if difference.significant else "no"
    return (difference.p, difference.corrected, verdict)


def _tests_caption(side: SideBySide) -> Caption:
    notes = ["Differences of the test accuracy after the last round, seed by seed."]
    if side.tested:
        notes.append(
            f"{TEST}; seeds without a difference are left out of it. Holm’s method corrects for "
            f"{_comparisons(side)}."
        )
    notes += [side.too_few] if side.too_few else []
    return Caption(f"Each {side.what} against {_in_sentence(side.baseline)}", *notes)


def _several(results: Results) -> SideBySide | None:
    """Where a difference has several seeds."""
    side = results.side_by_side
    return side if side and any(len(one.by_seed) > 1 for one in side.differences) else None


def _draw(side: SideBySide) -> Panels:
    ends = [end for one in side.differences for end in _ends(one)]
    low, high = min(0.0, *ends), max(0.0, *ends)
    room = 0.05 * (high - low) or 0.5
    drawn = (
        (row.label, _chart(side, row, (low - room, high + room)))
        for row in side.rows
        if row.differences
    )
    return Panels(charts(drawn), 27, SHOWN, ("more setting", "more settings"))


def _ends(difference: Difference) -> list[float]:
    """The lowest and the highest that is drawn of it."""
    return [*difference.by_seed.values(), difference.points.low, difference.points.high]


def _chart(side: SideBySide, row: Row, ends: tuple[float, float]) -> alt.LayerChart:
    """Zero as a line, a dot for each seed, and above them the mean with its interval."""
    names = [name for name in side.columns if name in row.differences]
    longest = max(len(name) for name in side.columns[1:])
    room = min(BAR_LABELS, LETTER * longest)
    y = rows("name", names, room)
    scale = alt.Scale(domain=list(ends), nice=False)
    title = f"points ahead of {side.baseline}"
    x = alt.X("points:Q", title=title, scale=scale, axis=alt.Axis(tickCount=5))
    seeds = chart_of(
        *(
            {"name": name, "points": value}
            for name in names
            for value in row.differences[name].by_seed.values()
        )
    )
    means = chart_of(*(_mean(name, row.differences[name]) for name in names))
    colour = LIGHT[row.role]
    layers: list[alt.Chart] = [
        chart_of({"points": 0.0}).mark_rule(color=LIGHT["muted"], strokeDash=[4, 3]).encode(x=x),
        seeds.mark_circle(size=28, color=colour, opacity=0.45, yOffset=6).encode(x=x, y=y),
        means.mark_rule(color=LIGHT["ink"], strokeWidth=1.5, yOffset=-5).encode(
            x=alt.X("low:Q", scale=scale), x2=alt.X2("high:Q"), y=y
        ),
        means.mark_point(
            shape="diamond", size=70, stroke=LIGHT["ink"], strokeWidth=1.5, opacity=1, yOffset=-5
        ).encode(x=x, y=y, fill=alt.Fill("fill:N", scale=None)),
    ]
    return alt.layer(*layers).properties(
        width=WIDTH - room, height=ROW * len(names), title=row.label
    )


def _mean(name: str, difference: Difference) -> dict[str, object]:
    points = difference.points
    ends = {"low": points.low, "high": points.high}
    fill = LIGHT["ink" if difference.significant else "paper"]
    return {"name": name, "points": points.mean, "fill": fill} | ends


def _drawn_caption(side: SideBySide) -> Caption:
    baseline = _in_sentence(side.baseline)
    note = (
        f"Points by which each {side.what} is more accurate than {baseline}, which is the dashed line. "
        f"Dots: the seeds, {span([len(one.by_seed) for one in side.differences], 0)} of each. Diamonds: "
        "their mean, with the 95 % interval"
    )
    if side.tested:
        note += (
            f"; filled where the difference is significant, p below {SIGNIFICANT} in {TEST} after Holm’s "
            f"correction for {_comparisons(side)}"
        )
    return Caption(f"Differences to {baseline}, seed by seed", f"{note}.")


METHODS_ANSWER = Figure("methods-answer", _prose, needs=_unsaid)
METHODS_TABLE = Figure("methods", _accuracies, _accuracies_caption, _needs, "A1")
METHODS_CHART = Figure("methods", _draw, _drawn_caption, _several)
TESTS_TABLE = Figure(
    "methods-tests", _tests, _tests_caption, _several, "A2", summary="The differences one by one"
)
