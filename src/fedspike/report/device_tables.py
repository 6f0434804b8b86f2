"""The tables of a real fleet: what each device did, sent and drew, and where the time of a round went."""

from collections.abc import Iterator, Sequence

from fedspike.records.schema import RunSummary
from fedspike.report.tables import Column, Table

PARTS = {
    "training": "training on the node that answered last",
    "starting": "starting its process: Python, torch, Flower",
    "transport": "handing out the model and fetching the last answer",
    "waiting": "Flower’s polling, and carrying the messages",
    "aggregation": "guard, aggregation and bookkeeping",
    "evaluation": "test of the new model",
}


def device_tables(runs: Sequence[RunSummary]) -> Iterator[Table]:
    """Both tables, if a run was on real devices."""
    if any(run.nodes for run in runs):
        yield devices_table(runs)
        yield round_time_table(runs)


def devices_table(runs: Sequence[RunSummary]) -> Table:
    """The ledger: an entry for each node of each run."""
    return Table(
        "D1",
        "devices",
        "What each device did",
        (
            Column("run", "run", is_text=True),
            Column("node", "node", is_text=True),
            Column("clients", "clients"),
            Column("rounds", "answered", "rounds"),
            Column("failed", "failed", "rounds"),
            Column("samples", "samples"),
            Column("mac", "MAC", "forward operations"),
            Column("ac", "AC", "forward operations"),
            Column("sent_bytes", "sent", "bytes"),
            Column("received_bytes", "received", "bytes"),
            Column("training_seconds", "s a round", digits=2),
            Column("measured_joule", "measured", is_text=True, is_long=True),
        ),
        tuple(
            (
                *(run.name, node.node, len(node.clients), node.rounds, node.failed, node.samples),
                *(node.operations.get("mac", 0), node.operations.get("ac", 0)),
                *(node.uplink_bytes, node.downlink_bytes, node.training_seconds),
                "; ".join(f"{name} {joules:.4g} J" for name, joules in node.joules.items())
                or "no sensor",
            )
            for run in runs
            for node in run.nodes
        ),
        (
            "Over all rounds. Operations are counted by the nodes on what they trained. Joules are what a "
            "node’s own sensors read while it trained: the whole machine, whatever else it did.",
        ),
    )


def round_time_table(runs: Sequence[RunSummary]) -> Table:
    """Where the seconds of a round went."""
    return Table(
        "D2",
        "round-time",
        "Where the time of a round went",
        (
            Column("run", "run", is_text=True),
            Column("part", "part", is_text=True, is_long=True),
            Column("seconds", "seconds", digits=2),
        ),
        tuple(
            (run.name, PARTS.get(part, part), seconds)
            for run in runs
            for part, seconds in run.round_seconds.items()
        ),
        ("Medians over the rounds; the parts of one round add up to it.",),
    )
