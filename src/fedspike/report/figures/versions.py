"""The environment that the runs were made in."""

import msgspec

from fedspike.records.schema import Environment
from fedspike.report.figures.configuration import pairs
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering.tables import Caption, Table


def _data(environment: Environment) -> Table:
    return pairs(msgspec.structs.asdict(environment))


VERSIONS = Figure(
    "environment",
    _data,
    caption=Caption("Environment"),
    needs=lambda results: results.experiment.environment,
)
