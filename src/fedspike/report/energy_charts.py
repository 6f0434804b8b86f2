"""The charts of the energy bill. Energies are bars on a scale from zero, never on a log scale."""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise

import altair as alt

from fedspike.energy.break_even import PUBLISHED
from fedspike.energy.estimate import estimate
from fedspike.energy.levels import Level
from fedspike.energy.sensitivity import Sensitivity
from fedspike.report.bills import ADDED, Priced
from fedspike.report.charts import percent_axis, places_apart
from fedspike.report.drawing import COLOUR, LIGHT, line_style
from fedspike.report.energy_tables import parts
from fedspike.report.repricing import Repriced
from fedspike.report.study_tables import SHORT, TWINS
from fedspike.report.tables import number

WIDTH, ROW, LABELS, NUMBER = 280, 38, 150, 95  # pixels; the last is for the words behind a bar
OFFSET = {"ann": -7, "snn": 7}  # pixels: a network's bar above or below the middle of its row
WHOLE = "whole bill"
MOST_TICKS = 8
MOST_PRICES = 12  # of a profile, the ones that move the ratio most
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


PRICES = {"mac": "multiply-accumulate", "ac": "accumulate"}


@dataclass(frozen=True)
class Step:
    """What a level adds to a bill, from the millijoule before it to those with it, and in words."""

    level: str
    before: float
    after: float
    said: str


def steps(view: Priced, network: str, profile: str) -> Iterator[Step]:
    """A round's bill from level to level, and the whole of it; mean over the seeds.

    In words: what is added, and its share of the whole. Where nothing is, it may have no price.
    """
    sums = [(level, mean_mj(view, network, profile, level)) for level in view.levels]
    known = [(level, mj) for level, mj in sums if mj is not None]
    whole = known[-1][1]
    before, without = 0.0, set[str]()
    for level, after in known:
        unpriced = _not_priced(view, network, profile, level)
        if after > before:
            plus = "+" if before else ""
            said = f"{plus}{three_digits(after - before)} ({_share((after - before) / whole)})"
        else:
            said = "not priced" if unpriced - without else "in these prices"
        yield Step(ADDED[level], before, after, said)
        before, without = after, unpriced
    yield Step(WHOLE, 0.0, whole, f"{TWINS[network]} {three_digits(whole)}")


def waterfall_chart(view: Priced, profile: str) -> alt.LayerChart:
    """Each network's bill as bars, each from where the one above ends, and below them the whole."""
    of = {network: list(steps(view, network, profile)) for network in TWINS}
    most = max(step.after for own in of.values() for step in own)
    names = [step.level for step in of["ann"]]
    x = alt.X(
        "after:Q",
        title="modelled mJ a round",
        scale=alt.Scale(domain=[0, most * WIDTH / (WIDTH - NUMBER)], nice=False),
        axis=alt.Axis(tickCount=4, format=",~r"),
    )
    y = alt.Y("level:O", sort=names, title=None, axis=_rows())
    layers: list[alt.Chart] = []
    for network, own in of.items():
        colour, offset = COLOUR[network], OFFSET[network]
        joints = [
            {"level": one.level, "next": two.level, "after": one.after}
            for one, two in pairwise(own)
        ]
        rule = alt.Chart(alt.Data(values=joints)).encode(x=x, y=y, y2="next:O")
        base = alt.Chart(alt.Data(values=[asdict(step) for step in own])).encode(x=x, y=y)
        layers += [
            rule.mark_rule(color=colour, opacity=0.4, yOffset=offset, y2Offset=offset),
            base.mark_bar(color=colour, height=12, yOffset=offset).encode(x2="before:Q"),
            base.mark_text(color=colour, align="left", dx=5, fontSize=12, yOffset=offset).encode(
                text="said:N"
            ),
        ]
    return alt.layer(*layers).properties(width=WIDTH, height=ROW * len(names), title=profile)


def accuracy_energy_chart(view: Priced, profile: str) -> alt.LayerChart:
    """Test accuracy against the energy spent so far: round k has cost k mean rounds."""
    layers: list[alt.Chart] = []
    ends: dict[str, tuple[float, float]] = {}
    curves = {group.network: _spent(view, group.network, profile) for group in view.main.groups}
    curves = {network: curve for network, curve in curves.items() if curve}
    accuracies = [point["percent"] for curve in curves.values() for point in curve]
    floor = min(10 * math.floor(min(sorted(accuracies)[len(accuracies) // 10 :]) / 10), 90)
    ceiling = max(10 * math.ceil(max(accuracies) / 10), floor + 10)
    joules = [point["joule"] for curve in curves.values() for point in curve]
    x = alt.X(
        "joule:Q",
        title="modelled J of all devices so far",
        scale=alt.Scale(type="log", domain=[min(joules), max(joules)], nice=False),
        axis=logarithmic(min(joules), max(joules), grid=False),
    )
    y = alt.Y(
        "percent:Q",
        title="test accuracy, %",
        scale=alt.Scale(domain=[floor, ceiling], nice=False),
        axis=percent_axis(),
    )
    target = next((g.runs[0].target_accuracy for g in view.main.groups), None)
    if target is not None and floor < 100 * target < ceiling:
        line = alt.Chart(alt.Data(values=[{"percent": 100 * target}]))
        layers.append(line.mark_rule(color=LIGHT["muted"], strokeDash=[2, 3]).encode(y=y))
        said = line.mark_text(x=4, align="left", dy=-7, fontSize=11, color=LIGHT["muted"])
        layers.append(said.encode(y=y, text=alt.value(f"target {100 * target:g} %")))
    for network, curve in curves.items():
        seen = [point for point in curve if point["percent"] >= floor]
        base = alt.Chart(alt.Data(values=seen)).encode(x=x, y=y)
        layers.append(
            base.mark_line(color=COLOUR[network], strokeWidth=1.8, **line_style(network)).encode(
                order="joule:Q"
            )
        )
        ends[network] = (seen[-1]["joule"], seen[-1]["percent"])
    places = places_apart([percent for _, percent in ends.values()], 0.08 * (ceiling - floor))
    for (network, (joule, _)), place in zip(ends.items(), places, strict=True):
        point = {"joule": joule, "percent": place, "text": SHORT[network]}
        label = alt.Chart(alt.Data(values=[point])).mark_text(
            align="left", dx=6, fontSize=12, fontWeight="bold", color=COLOUR[network]
        )
        layers.append(label.encode(x=x, y=y, text="text:N"))
    return alt.layer(*layers).properties(width=WIDTH + 20, height=210, title=profile)


def parts_chart(view: Priced, kind: str, title: str) -> alt.LayerChart:
    """Bars from zero: what each phase, or layer, costs in a round."""
    shares = {network: parts(view, network, kind) for network in TWINS}
    names = list(dict.fromkeys(name for share in shares.values() for name in share))
    labels = [PHASES.get(name, name) for name in names]
    most = max(mj for share in shares.values() for mj in share.values())
    layers: list[alt.Chart] = []
    for network, offset in OFFSET.items():
        bars = [
            {"part": label, "mj": mj, "text": three_digits(mj)}
            for name, label in zip(names, labels, strict=True)
            if (mj := shares[network].get(name, 0.0)) > 0
        ]
        base = alt.Chart(alt.Data(values=bars)).encode(
            x=alt.X(
                "mj:Q",
                title="modelled mJ a round",
                scale=alt.Scale(domain=[0, 1.25 * most], nice=False),
                axis=alt.Axis(tickCount=4, format=",~r"),
            ),
            y=alt.Y("part:O", sort=labels, title=None, axis=_rows()),
        )
        layers += [
            base.mark_bar(color=COLOUR[network], height=12, yOffset=offset),
            base.mark_text(
                color=COLOUR[network], align="left", dx=5, fontSize=11, yOffset=offset
            ).encode(text="text:N"),
        ]
    return alt.layer(*layers).properties(width=WIDTH - 20, height=ROW * len(names), title=title)


def sensitivity_chart(repriced: Repriced, profile: str) -> alt.LayerChart:
    """A bar for each price, from the ratio at its low end to the ratio at its high end."""
    moved = repriced.sensitivities[profile][:MOST_PRICES]
    nominal = repriced.ratio[profile]
    ends = [ratio for one in moved for ratio in (one.ratio_at_low, one.ratio_at_high)]
    span = [min(*ends, nominal) / 1.15, max(*ends, nominal) * 1.15]
    scale = alt.Scale(type="log", domain=span, nice=False)
    bars = [bar for one in moved for bar in _bars(one, nominal)]
    names = [PRICES.get(one.price, one.price) for one in moved]
    y = alt.Y("price:O", sort=names, title=None, axis=_rows())
    title = "SNN energy over ANN energy"
    x = alt.X("from:Q", scale=scale, title=title, axis=logarithmic(*span))
    base = alt.Chart(alt.Data(values=bars)).encode(y=y, x=x, x2="to:Q")
    layers: list[alt.Chart] = [
        base.transform_filter(f"datum.end == '{end}'").mark_bar(
            color=LIGHT["count"], opacity=opacity, height=13
        )
        for end, opacity in (("low", 0.4), ("high", 0.9))
    ]
    rules = [(nominal, LIGHT["ink"], [1, 0])]
    if span[0] < 1 < span[1]:
        rules.append((1.0, LIGHT["snn"], [4, 3]))
    for place, colour, dash in rules:
        rule = alt.Chart(alt.Data(values=[{"from": place}]))
        layers.append(rule.mark_rule(color=colour, strokeDash=dash).encode(x=x))
    return alt.layer(*layers).properties(
        width=WIDTH - 20, height=24 * len(moved), title=f"{profile}: {three_digits(nominal)}"
    )


def spikes_chart(repriced: Repriced) -> alt.LayerChart:
    """This network's spikes per synapse beside the thresholds: published, and by profile."""
    here = repriced.snn.events_per_synapse
    rows: list[dict[str, object]] = [
        {"name": one.source.split(",")[0], "low": one.low, "high": one.high, "kind": "published"}
        for one in PUBLISHED
        if one.unit == "spikes per synapse and inference"
    ]
    for profile, layers in repriced.standings.items():
        even = layers[0].spikes_even if layers else 0
        if even > 0:
            rows.append({"name": profile, "low": even, "high": even, "kind": "here"})
    values = [float(str(row[end])) for row in rows for end in ("low", "high")] + [here]
    span = (min(values) / 1.6, max(values) * 2)
    scale = alt.Scale(type="log", domain=span, nice=False)
    names = [row["name"] for row in rows]
    x = alt.X(
        "low:Q", scale=scale, title="spikes per synapse and inference", axis=logarithmic(*span)
    )
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=x, y=alt.Y("name:O", sort=names, title=None, axis=_rows())
    )
    mine = alt.Chart(alt.Data(values=[{"low": here, "text": f"here {three_digits(here)}"}]))
    layers_drawn: list[alt.Chart] = [
        base.mark_rule(color=LIGHT["count"], strokeWidth=3).encode(x2="high:Q"),
        base.mark_point(color=LIGHT["count"], filled=True, size=50, opacity=1),
        base.mark_point(color=LIGHT["count"], filled=True, size=50, opacity=1).encode(
            x=alt.X("high:Q", scale=scale)
        ),
        mine.mark_rule(color=LIGHT["snn"], strokeWidth=2).encode(x=x),
        mine.mark_text(
            color=LIGHT["snn"], align="center", dy=-8, fontSize=12, fontWeight=600, y=0
        ).encode(x=x, text="text:N"),
    ]
    return alt.layer(*layers_drawn).properties(width=WIDTH, height=22 * len(names))


def mean_mj(view: Priced, network: str, profile: str, level: Level) -> float | None:
    """A mean round's energy, over the seeds."""
    group = view.main.group(network)
    found = [(run.bill or {}).get(profile, {}) for run in (group.runs if group else ())]
    values = [levels[view.key(level)].nominal_mj for levels in found if view.key(level) in levels]
    return estimate(values).mean if values else None


def three_digits(value: float) -> str:
    """A number with at least three digits.

    >>> three_digits(0.01234), three_digits(4.9228), three_digits(20951.4)
    ('0.0123', '4.92', '20,951')
    """
    if value == 0:
        return "0"
    return number(value, max(0, 2 - math.floor(math.log10(abs(value)))))


def logarithmic(low: float, high: float, *, grid: bool = True) -> alt.Axis:
    """A few round numbers of a log scale."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0), (1.0, 2.0, 5.0), (1.0,)):
        ticks = [step * 10.0**decade for decade in decades for step in steps]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) <= MOST_TICKS:
            break
    return alt.Axis(grid=grid, values=ticks, format=",~r", labelOverlap=True)


def _not_priced(view: Priced, network: str, profile: str, level: Level) -> set[str]:
    """What was done up to a level and has no price there."""
    group = view.main.group(network)
    found = [(run.bill or {}).get(profile, {}) for run in (group.runs if group else ())]
    billed = [levels[view.key(level)] for levels in found if view.key(level) in levels]
    return {term for one in billed for term in one.not_priced}


def _share(part: float) -> str:
    """A part of one in percent; a few of many are not none, and most are not all.

    >>> _share(0.0007), _share(0.5), _share(0.9999), _share(1.0)
    ('<1 %', '50 %', '>99 %', '100 %')
    """
    if 0 < part < 0.01:
        return "<1 %"
    return ">99 %" if 0.99 < part < 1 else f"{100 * part:.0f} %"


def _spent(view: Priced, network: str, profile: str) -> list[dict[str, float]]:
    """Round by round: joule so far and accuracy in percent, mean over the seeds."""
    group = view.main.group(network)
    mj = mean_mj(view, network, profile, "training")
    if group is None or not mj:
        return []
    rounds = zip(*(run.accuracy for run in group.runs), strict=True)
    return [
        {"joule": mj * done / 1000, "percent": 100 * estimate(values).mean}
        for done, values in enumerate(rounds, 1)
    ]


def _bars(one: Sensitivity, nominal: float) -> list[dict[str, object]]:
    ends = (("low", one.ratio_at_low), ("high", one.ratio_at_high))
    return [
        {"price": PRICES.get(one.price, one.price), "end": end, "from": nominal, "to": ratio}
        for end, ratio in ends
    ]


def _rows() -> alt.Axis:
    return alt.Axis(
        grid=False, labelLimit=LABELS, minExtent=LABELS, maxExtent=LABELS, labelColor=LIGHT["ink"]
    )
