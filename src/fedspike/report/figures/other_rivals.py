"""The verdicts against the other conventional networks, and on hardware that skips zeros."""

from fedspike.report.analysis.energy_view import EnergyView
from fedspike.report.analysis.results import Results
from fedspike.report.figures.figure import Figure
from fedspike.report.figures.price_matrix import columns, rows
from fedspike.report.rendering.tables import Caption, Table, words


def needs(results: Results) -> EnergyView | None:
    """A verdict against another rival than the first."""
    return results.energy if results.energy and len(results.energy.rivals) > 1 else None


def _data(view: EnergyView) -> Table:
    stacked = [(one.title, *row) for one in view.rivals[1:] for row in rows(view, one)]
    return Table((words("rival", "against"), *columns(view)), tuple(stacked))


OTHER_RIVALS = Figure(
    "other-rivals",
    _data,
    caption=Caption("Which network needs less energy, against other rivals"),
    needs=needs,
    summary="Verdicts against the other conventional networks, and on hardware that skips zeros",
)
