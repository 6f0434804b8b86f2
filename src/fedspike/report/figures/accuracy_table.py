"""Table 1: the final test accuracy of each network in every setting."""

from fedspike.report.analysis.results import Results
from fedspike.report.analysis.settings import Network, interval_note
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering.tables import Caption, Cell, Column, Table, words

SETTING = words("setting", "each client holds")


def _data(results: Results) -> Table:
    by_key = {network.key: network for network in results.networks}
    columns = [SETTING]
    for key, network in by_key.items():
        group = f"{network.title}, %"
        last = Column(f"{key}_last_round_percent", "last round", group, 1, role=network.role)
        mean = Column(f"{key}_mean_last_10_percent", "last 10", group, 1, role=network.role)
        columns += [last, mean]
    columns.append(Column("gap_points", "spiking − conventional, points", "", 1, signed=True))
    rows = []
    for comparison in results.comparisons:
        networks = {network.key: network for network in comparison.networks}
        cells = [cell for key in by_key for cell in accuracies(networks.get(key))]
        rows.append((comparison.label, *cells, comparison.gap_points()))
    return Table(tuple(columns), tuple(rows))


def _caption(results: Results) -> Caption:
    return Caption(
        "Test accuracy of the global model",
        "“Last 10” is the mean over the last ten rounds. The last column is the difference of the "
        "last round, in percentage points.",
        interval_note(results.networks),
    )


def accuracies(network: Network | None) -> tuple[Cell, Cell]:
    """Last round and mean of the last ten, in percent."""
    if network is None:
        return None, None
    return network.accuracy, network.estimate(lambda run: 100 * run.final_accuracy_mean_last_10)


ACCURACY_TABLE = Figure("accuracy", _data, caption=_caption, number="1")
