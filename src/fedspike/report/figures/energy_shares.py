"""Where the energy of a round goes: level by level, a waterfall; by phase and by layer; and Table E4."""

from __future__ import annotations  # altair is not looked up before it is used

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

from fedspike.energy.account import BillBy
from fedspike.energy.estimate import estimate
from fedspike.report.analysis.energy_view import ADDED, EnergyView, energy_mj, not_priced, parts
from fedspike.report.analysis.results import Results
from fedspike.report.analysis.settings import Network
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering import vega as alt
from fedspike.report.rendering.axes import BAR_HEIGHT, BAR_ROW, OFFSETS, chart_of, energy_axis, rows
from fedspike.report.rendering.drawing import PRICE_TABLES, Panels, charts
from fedspike.report.rendering.palette import LIGHT
from fedspike.report.rendering.tables import (
    Caption,
    Cell,
    Column,
    Table,
    table,
    three_digits,
    words,
)

WIDTH, NUMBER = 280, 95  # pixels; the second is for the words behind a bar of a waterfall
PARTS_WIDTH = 260
PHASES = {
    "encode": "encoding",
    "forward": "forward: synapses",
    "pool": "forward: pooling",
    "normalise": "forward: normalisation",
    "neuron": "forward: neurons",
    "backward_weights": "gradients of weights",
    "backward_inputs": "gradients of inputs",
    "surrogate": "gradients of neurons",
    "optimiser": "optimiser",
    "aggregation": "server’s mean",
    "input": "encoder",
}
BY: tuple[str, ...] = BillBy.__struct_fields__  # phase, layer


@dataclass(frozen=True)
class Step:
    """What a level adds to a bill, from the millijoule before it to those with it, and in words."""

    level: str
    before: float
    after: float
    text: str


def _waterfalls(view: EnergyView) -> Panels:
    drawn = (
        (
            profile,
            _waterfall(profile, {one.role: list(steps(view, one, profile)) for one in view.twins}),
        )
        for profile in view.judging("study")
    )
    return Panels(charts(drawn), 27, 1, PRICE_TABLES)


def _waterfall_caption(view: EnergyView) -> Caption:
    return Caption(
        f"The energy of a round, level by level, {view.main.label}",
        "What each level adds, and its share; all devices. Work without a price (Table E11) is missing.",
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


def _waterfall(profile: str, waterfall: dict[str, list[Step]]) -> alt.LayerChart:
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
    rule = chart_of(*joints).encode(x=x, y=y, y2=alt.Y2("next:O"))
    bars = [asdict(s) | {"says": f"{s.level}: {three_digits(s.after)} mJ in all"} for s in own]
    base = chart_of(*bars).encode(x=x, y=y)
    text = base.mark_text(color=colour, align="left", dx=5, fontSize=12, yOffset=offset)
    return [
        rule.mark_rule(color=colour, opacity=0.4, yOffset=offset, y2Offset=offset),
        base.mark_bar(color=colour, height=BAR_HEIGHT, yOffset=offset).encode(
            x2=alt.X2("before:Q")
        ),
        text.encode(text=alt.Text("text:N")),
    ]


def _share(part: float) -> str:
    """A part of one in percent; a few of many are not none, and most are not all.

    >>> _share(0.0007), _share(0.5), _share(0.9999), _share(1.0)
    ('<1 %', '50 %', '>99 %', '100 %')
    """
    if 0 < part < 0.01:
        return "<1 %"
    return ">99 %" if 0.99 < part < 1 else f"{100 * part:.0f} %"


def _priced(results: Results) -> EnergyView | None:
    """A verdict with training under the profile that is shown."""
    view = results.judged("training")
    return view if view and view.profile in view.judging("training") else None


def _parts(view: EnergyView) -> Panels:
    drawn = [
        (
            f"by {kind}",
            _chart(f"by {kind}", {one.role: parts(one, kind, view.profile) for one in view.twins}),
        )
        for kind in BY
    ]
    return Panels(charts(drawn), 25, len(drawn))


def _parts_caption(view: EnergyView) -> Caption:
    tests = []
    for network in view.twins:
        bills = [run.bill_evaluation.get(view.profile) for run in network.runs]
        if energies := [bill.nominal_mj for bill in bills if bill is not None]:
            tests.append(f"{three_digits(estimate(energies).mean)} mJ ({network.title})")
    note = f"At the prices of {view.profile}, mean over the seeds; the numbers are in Table E4."
    if tests:
        note += (
            " The server’s test of the model after a round is not included: "
            f"{' and '.join(tests)}, up to memory."
        )
    return Caption(f"Where the energy of a round goes, with training, {view.main.label}", note)


def _chart(title: str, shares: dict[str, dict[str, float]]) -> alt.LayerChart:
    names = list(dict.fromkeys(name for own in shares.values() for name in own))
    labels = [PHASES.get(name, name) for name in names]
    x = energy_axis("mj", 1.25 * max(mj for own in shares.values() for mj in own.values()))
    y = rows("part", labels)
    layers: list[alt.Chart] = []
    for role, own in shares.items():
        colour, offset = LIGHT[role], OFFSETS[role]
        bars = [
            {
                "part": label,
                "mj": mj,
                "text": (text := three_digits(mj)),
                "says": f"{label}: {text} mJ",
            }
            for name, label in zip(names, labels, strict=True)
            if (mj := own.get(name, 0.0)) > 0
        ]
        base = chart_of(*bars).encode(x=x, y=y)
        text = base.mark_text(color=colour, align="left", dx=5, fontSize=11, yOffset=offset)
        layers += [
            base.mark_bar(color=colour, height=BAR_HEIGHT, yOffset=offset),
            text.encode(text=alt.Text("text:N")),
        ]
    return alt.layer(*layers).properties(
        width=PARTS_WIDTH, height=BAR_ROW * len(names), title=title
    )


def _table(view: EnergyView) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for kind in BY:
        shares = [parts(network, kind, view.profile) for network in view.twins]
        for name in dict.fromkeys(name for own in shares for name in own):
            rows.append((kind, name, *(own.get(name) for own in shares)))
    columns = (Column(f"{one.key}_mj", one.title, None, "mJ per round", None) for one in view.twins)
    return table(rows, words("by"), words("part"), *columns)


def _table_caption(view: EnergyView) -> Caption:
    return Caption(
        f"Energy by phase and by layer at the prices of {view.profile}, {view.main.label}"
    )


ENERGY_LEVELS = Figure(
    "energy-levels", _waterfalls, _waterfall_caption, lambda results: results.judged("study")
)
ENERGY_PARTS = Figure(
    "energy-parts", _parts, _parts_caption, _priced, summary="By phase and by layer"
)
PARTS_TABLE = Figure(
    "parts",
    _table,
    _table_caption,
    _priced,
    "E4",
    summary="The same in millijoule",
)
