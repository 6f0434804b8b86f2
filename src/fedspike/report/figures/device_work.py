"""Table D1: what each device of a real fleet did, sent and measured."""

from fedspike.records.schema import RunSummary
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering.tables import Caption, Column, Table, words


def _data(runs: list[RunSummary]) -> Table:
    operations, sent = "forward operations", "bytes"
    columns = (
        *(words("run", "run"), words("node", "node")),
        Column("clients", "clients"),
        *(Column("rounds", "answered", "rounds"), Column("failed", "failed", "rounds")),
        Column("samples", "samples"),
        *(Column("mac", "MAC", operations), Column("ac", "AC", operations)),
        *(Column("sent_bytes", "sent", sent), Column("received_bytes", "received", sent)),
        Column("training_seconds", "s per round", digits=2),
        words("measured_joule", "measured", "long"),
    )
    rows = tuple(
        (
            *(run.name, node.node, len(node.clients), node.rounds, node.failed, node.samples),
            *(node.operations.get("mac", 0), node.operations.get("ac", 0)),
            *(node.uplink_bytes, node.downlink_bytes, node.training_seconds),
            "; ".join(f"{name} {joules:.4g} J" for name, joules in node.joules.items())
            or "no sensor",
        )
        for run in runs
        for node in run.nodes
    )
    return Table(columns, rows)


DEVICE_WORK = Figure(
    "device-work",
    _data,
    caption=Caption(
        "Work of each device",
        "Over all rounds. The nodes count the operations of what they train. Joules are what a node’s "
        "own sensors read while it trained: the whole machine, with everything else that it did.",
    ),
    needs=lambda results: [run for run in results.runs if run.nodes],
    number="D1",
)
