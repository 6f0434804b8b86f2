"""How to get the same results again."""

from fedspike.report.figures.figure import Figure
from fedspike.report.rendering.drawing import Prose


def _data(command: str) -> Prose:
    return Prose((command,), "pre")


COMMAND = Figure("command", _data, needs=lambda results: results.experiment.command)
