"""Real devices: what each did, sent and measured, Table D1, and where the time of a round went, Table D2."""

from fedspike.records.schema import Node, RunSummary
from fedspike.report.analysis.results import Results
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering.tables import Caption, Column, Table, table, words

PARTS = {
    "training": "training on the node that answered last",
    "transport": "handing out the model and fetching the last answer",
    "waiting": "Flower’s polling, and carrying the messages",
    "aggregation": "guard, aggregation and bookkeeping",
    "evaluation": "test of the new model",
}


def _on_devices(results: Results) -> list[RunSummary]:
    return [run for run in results.runs if run.nodes]


def _work(runs: list[RunSummary]) -> Table:
    operations, sent = "forward operations", "bytes"
    names = {id(node): run.name for run in runs for node in run.nodes}
    return table(
        (node for run in runs for node in run.nodes),
        words("run", "run", lambda node: names[id(node)]),
        words("node"),
        Column("clients", "clients", lambda node: len(node.clients)),
        Column("rounds", "answered", group="rounds"),
        Column("failed", "failed", group="rounds"),
        Column("samples", "samples"),
        Column("mac", "MAC", lambda node: node.operations.get("mac", 0), operations),
        Column("ac", "AC", lambda node: node.operations.get("ac", 0), operations),
        Column("sent_bytes", "sent", lambda node: node.uplink_bytes, sent),
        Column("received_bytes", "received", lambda node: node.downlink_bytes, sent),
        Column("training_seconds", "s per round", digits=None),
        words("measured_joule", "measured", _measured, "long"),
    )


def _measured(node: Node) -> str:
    read = (f"{name} {joules:.4g} J" for name, joules in node.joules.items())
    return "; ".join(read) or "no sensor"


def _times(runs: list[RunSummary]) -> Table:
    rows = (
        (run.name, PARTS.get(part, part), seconds)
        for run in runs
        for part, seconds in run.round_seconds.items()
    )
    columns = words("run"), words("part", form="long"), Column("seconds", "seconds", digits=None)
    return table(rows, *columns)


DEVICE_WORK = Figure(
    "device-work",
    _work,
    Caption(
        "Work of each device",
        "Over all rounds. The nodes count the operations of what they train. Joules are what a node’s "
        "own sensors read while it trained: the whole machine, with everything else that it did.",
    ),
    _on_devices,
    "D1",
)
ROUND_TIME = Figure(
    "round-time",
    _times,
    Caption("Time of a round", "Medians over the rounds; the parts of one round add up to it."),
    _on_devices,
    "D2",
)
