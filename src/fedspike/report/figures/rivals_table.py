"""Table E1: under how many price tables the spiking network needs less energy, rival by rival."""

from fedspike.energy import pairing
from fedspike.report.analysis.energy_view import ADDED, EnergyView
from fedspike.report.analysis.naming import flat
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering.tables import Caption, Column, Table, words


def _data(view: EnergyView) -> Table:
    columns = (
        words("network", "network"),
        Column("last_round_percent", "accuracy, %", digits=1),
        *(words(f"spiking_cheaper_{level}", ADDED[level]) for level in view.levels),
    )
    rows = [
        (
            rival.title,
            rival.network.accuracy,
            *(f"{won} of {n}" if n else None for won, n in scores),
        )
        for rival in view.rivals
        for scores in [[view.won(rival, level) for level in view.levels]]
    ]
    own = (view.spiking.title, view.spiking.accuracy, *(None for _ in view.levels))
    return Table(columns, (*rows, own))


def _caption(view: EnergyView) -> Caption:
    notes = ["“3 of 9”: under three of the nine price tables that price both networks."]
    for network in view.main.setting.conventional:
        settings = flat(pairing.own(network.runs[0]))
        own = ", ".join(f"{key} = {value}" for key, value in settings.items() if "." in key)
        notes += [f"{network.title}: {own}."] if own else []
    title = "Price tables under which the spiking network needs less energy"
    return Caption(title, *notes)


RIVALS_TABLE = Figure(
    "baselines", _data, caption=_caption, needs=lambda results: results.energy, number="E1"
)
