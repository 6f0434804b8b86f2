"""Where the energy of a round goes: by phase and by layer."""

import altair as alt

from fedspike.energy.account import BillBy
from fedspike.energy.estimate import estimate
from fedspike.report.analysis.energy_view import EnergyView, parts
from fedspike.report.analysis.results import Results
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering.axes import BAR_HEIGHT, BAR_ROW, OFFSETS, chart_of, energy_axis, rows
from fedspike.report.rendering.drawing import LIGHT, Panels, charts
from fedspike.report.rendering.tables import Caption, three_digits

WIDTH = 260
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
Shares = dict[str, dict[str, float]]
"""role -> phase or layer -> millijoule"""


def needs(results: Results) -> EnergyView | None:
    """A verdict with training under the profile that is shown."""
    view = results.judged("training")
    return view if view and view.profile in view.judging("training") else None


def _data(view: EnergyView) -> dict[str, Shares]:
    """ "phase" or "layer" -> role -> name -> millijoule, mean over the seeds."""
    return {
        kind: {network.role: parts(network, kind, view.profile) for network in view.twins}
        for kind in BillBy.__struct_fields__
    }


def _draw(data: dict[str, Shares]) -> Panels:
    drawn = [(f"by {kind}", _chart(f"by {kind}", shares)) for kind, shares in data.items()]
    return Panels(charts(drawn), 25, len(drawn))


def _caption(view: EnergyView) -> Caption:
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


def _chart(title: str, shares: Shares) -> alt.LayerChart:
    names = list(dict.fromkeys(name for own in shares.values() for name in own))
    labels = [PHASES.get(name, name) for name in names]
    x = energy_axis("mj", 1.25 * max(mj for own in shares.values() for mj in own.values()))
    y = rows("part", labels)
    layers: list[alt.Chart] = []
    for role, own in shares.items():
        colour, offset = LIGHT[role], OFFSETS[role]
        bars = [
            {"part": label, "mj": mj, "text": three_digits(mj)}
            for name, label in zip(names, labels, strict=True)
            if (mj := own.get(name, 0.0)) > 0
        ]
        base = chart_of(*bars).encode(x=x, y=y)
        text = base.mark_text(color=colour, align="left", dx=5, fontSize=11, yOffset=offset)
        layers += [
            base.mark_bar(color=colour, height=BAR_HEIGHT, yOffset=offset),
            text.encode(text="text:N"),
        ]
    return alt.layer(*layers).properties(width=WIDTH, height=BAR_ROW * len(names), title=title)


ENERGY_PARTS = Figure("energy-parts", _data, draw=_draw, caption=_caption, needs=needs)
