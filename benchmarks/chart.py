"""The measured rounds and growth curves as one chart (SVG)."""

import statistics
from typing import Any

import altair
from table import AXES, NAMES, PROGRAMS
from turns import Seconds, is_ann, is_bound, ours

from fedspike.report.rendering.drawing import LIGHT, charts

ROUNDS = {
    "round": "a round of the founding study",
    "convolution": "a round of a small convolutional network",
}
COLOUR = {"SNN": "spiking", "ANN": "conventional"}
COLOURS = altair.Scale(
    domain=list(PROGRAMS.values()), range=[LIGHT["spiking"], LIGHT["count"], LIGHT["conventional"]]
)


def draw(result: dict[str, Any]) -> str:
    """Everything that `result`, the content of engine.json, holds."""
    rows = []
    for section, title in ROUNDS.items():
        if section in result:
            seconds = result[section]["seconds"]
            rows += [_rounds(seconds, network, title) for network in ("SNN", "ANN")]
    if "growth" in result:
        points = result["growth"]["points"]
        panels = [_curve(points, axis, "seconds") for axis in AXES]
        panels += [_curve(points, "clients", "memory")]
        rows += [altair.hconcat(*panels[:3]), altair.hconcat(*panels[3:])]
    whole: Any = altair.vconcat(*rows).resolve_scale(color="independent")
    return charts([("", whole)])[0].svg


def _rounds(seconds: Seconds, network: str, title: str) -> altair.Chart:
    """A bar to each median and a dot for each round."""
    chosen = {who: s for who, s in seconds.items() if is_ann(who) == (network == "ANN")}
    order = [NAMES[who] for who in chosen]
    bars = [
        {"who": NAMES[who], "s": statistics.median(s), "kind": _kind(who)}
        for who, s in chosen.items()
    ]
    dots = [{"who": NAMES[who], "s": second} for who, s in chosen.items() for second in s]
    who = altair.Y("who:N", sort=order, title=None, axis=altair.Axis(labelLimit=400))
    s = altair.X("s:Q", title="seconds a round: median, and every round as a dot")
    label = altair.Text("s:Q", format=".2~g")
    own, bound = LIGHT[COLOUR[network]], LIGHT["rule"]
    kinds = altair.Scale(domain=["ours", "rival", "bound"], range=[own, LIGHT["muted"], bound])
    colour = altair.Color("kind:N", scale=kinds, legend=None)
    title = f"{network}: {title}, training only"
    median = altair.Chart(altair.Data(values=bars), title=title, width=560)
    return altair.layer(
        median.mark_bar().encode(y=who, x=s, color=colour),
        median.mark_text(align="left", dx=8, color=LIGHT["ink"]).encode(y=who, x=s, text=label),
        altair.Chart(altair.Data(values=dots))
        .mark_point(filled=True, size=16, color=LIGHT["ink"], opacity=0.8)
        .encode(y=who, x=s),
    )


def _kind(who: str) -> str:
    return "bound" if is_bound(who) else "ours" if who == ours(who) else "rival"


def _curve(points: list[dict[str, Any]], axis: str, what: str) -> altair.Chart:
    """Cost against what varies, both logarithmic."""
    y, title = {
        "seconds": ("seconds_per_1000_samples", "seconds per 1,000 samples"),
        "memory": ("peak_mb", "peak memory, MB"),
    }[what]
    values = [
        {"x": p[axis], "y": p[y], "who": PROGRAMS[p["rival"]]} for p in points if p["axis"] == axis
    ]
    logarithmic = altair.Scale(type="log")
    x_axis = altair.Axis(values=sorted({value["x"] for value in values}), format="~g")
    # The same scale in every panel of seconds, so that the panels compare.
    costs = [p["seconds_per_1000_samples"] for p in points]
    common = altair.Scale(type="log", domain=[min(costs) / 1.3, max(costs) * 1.3], nice=False)
    y_scale = common if what == "seconds" else altair.Scale(zero=True)
    return (
        altair.Chart(altair.Data(values=values), width=220, height=180)
        .mark_line(point=True)
        .encode(
            x=altair.X("x:Q", title=AXES[axis], scale=logarithmic, axis=x_axis),
            y=altair.Y("y:Q", title=title, scale=y_scale),
            color=altair.Color("who:N", title=None, scale=COLOURS),
        )
    )
