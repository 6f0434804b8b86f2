"""Table D2: where the time of a round on real devices went."""

from fedspike.records.schema import RunSummary
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering.tables import Caption, Column, Table, words

PARTS = {
    "training": "training on the node that answered last",
    "starting": "starting its process: Python, torch, Flower",
    "transport": "handing out the model and fetching the last answer",
    "waiting": "Flower’s polling, and carrying the messages",
    "aggregation": "guard, aggregation and bookkeeping",
    "evaluation": "test of the new model",
}


def _data(runs: list[RunSummary]) -> Table:
    columns = (words("run", "run"), words("part", "part", "long"))
    rows = tuple(
        (run.name, PARTS.get(part, part), seconds)
        for run in runs
        for part, seconds in run.round_seconds.items()
    )
    return Table((*columns, Column("seconds", "seconds", digits=2)), rows)


ROUND_TIME = Figure(
    "round-time",
    _data,
    caption=Caption(
        "Time of a round", "Medians over the rounds; the parts of one round add up to it."
    ),
    needs=lambda results: [run for run in results.runs if run.nodes],
    number="D2",
)
