"""Table 7: the hashes of the trained models."""

from fedspike.report.analysis.results import Results
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering.tables import Caption, Column, Table, words


def _data(results: Results) -> Table:
    sha256 = words("model_sha256", "SHA-256 of model.safetensors", "code")
    columns = (words("run", "run"), Column("parameters", "parameters"), sha256)
    return Table(
        columns, tuple((run.name, run.parameters, run.model_sha256) for run in results.runs)
    )


MODELS_TABLE = Figure("models", _data, caption=Caption("The trained models"), number="7")
