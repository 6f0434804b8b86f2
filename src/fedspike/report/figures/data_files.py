"""The data set, and the hashes of its files."""

from fedspike.records.schema import Dataset
from fedspike.report.figures.configuration import pairs
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering.tables import Caption, Table


def _data(dataset: Dataset) -> Table:
    return pairs(dict(dataset.sha256))


def _caption(dataset: Dataset) -> Caption:
    return Caption("SHA-256 of the data files", f"{dataset.name}, {dataset.source}.")


DATA_FILES = Figure(
    "data-files", _data, caption=_caption, needs=lambda results: results.experiment.dataset
)
