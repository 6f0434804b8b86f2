"""What each node of a real fleet did over a whole run, from its records: work, bytes, seconds, joules."""

import statistics
from collections.abc import Sequence

from fedspike.experiment import billing
from fedspike.records.events import Record


def of_run(run: Record, records: Sequence[Record]) -> Record:
    """`nodes`, an entry for each, and where the `round_seconds` went, as medians; nothing of a simulation.

    `run` is the summary so far. A node's operations are those of the forward passes of its clients.
    """
    if not any("nodes" in line for line in records):
        return {}
    names = dict.fromkeys(entry["node"] for line in records for entry in line.get("nodes", ()))
    parts = {
        part: [line["seconds"].get(part, 0.0) for line in records] for part in records[0]["seconds"]
    }
    return {
        "nodes": [_node(name, run, records) for name in sorted(names)],
        "round_seconds": {part: statistics.median(spent) for part, spent in parts.items()},
    }


def _node(name: str, run: Record, records: Sequence[Record]) -> Record:
    asked = [
        (line, entry)
        for line in records
        for entry in line.get("nodes", ())
        if entry["node"] == name
    ]
    answered = [(line, entry) for line, entry in asked if "error" not in entry]
    # A round as if it had only the clients of this node.
    own = [
        {**line, "activity": {str(k): line["activity"][str(k)] for k in entry["clients"]}}
        for line, entry in answered
        if all(str(k) in line["activity"] for k in entry["clients"])
    ]
    forward = billing.work(run, own).training()["forward"].values() if own else ()
    joules = [entry["joules"] for _, entry in answered]
    sensors = dict.fromkeys(sensor for read in joules for sensor in read)
    seconds = [entry["seconds"]["training"] for _, entry in answered]
    return {
        "node": name,
        "clients": sorted({client for _, entry in asked for client in entry["clients"]}),
        "rounds": len(answered),
        "failed": len(asked) - len(answered),
        "samples": sum(seen["samples"] for line in own for seen in line["activity"].values()),
        "operations": {
            kind: sum(layer.get(kind, 0) for layer in forward) for kind in ("mac", "ac")
        },
        "uplink_bytes": sum(entry["uplink_bytes"] for _, entry in answered),
        "downlink_bytes": sum(entry["downlink_bytes"] for _, entry in asked),
        "training_seconds": statistics.median(seconds) if seconds else None,
        "joules": {sensor: sum(read.get(sensor, 0.0) for read in joules) for sensor in sensors},
    }
