"""What each node of a real fleet did over a whole run, from its records: work, bytes, seconds, joules."""

import statistics
from collections.abc import Sequence

from msgspec.structs import replace

from fedspike.energy.account import work
from fedspike.layers.operations import NetworkOperations
from fedspike.records.schema import Node, RoundRecord


def nodes(network: NetworkOperations, rounds: Sequence[RoundRecord]) -> list[Node]:
    """An entry for each node; none for a simulation.

    A node's operations are those of the forward passes of its clients.
    """
    names = sorted({entry.node for round in rounds for entry in round.nodes})
    return [_node(name, network, rounds) for name in names]


def round_seconds(rounds: Sequence[RoundRecord]) -> dict[str, float]:
    """The parts of a round on a real fleet and their seconds, medians; nothing of a simulation."""
    if not any(round.nodes for round in rounds):
        return {}
    return {
        part: statistics.median(round.seconds.get(part, 0.0) for round in rounds)
        for part in rounds[0].seconds
    }


def _node(name: str, network: NetworkOperations, rounds: Sequence[RoundRecord]) -> Node:
    asked = [(round, entry) for round in rounds for entry in round.nodes if entry.node == name]
    answered = [(round, entry) for round, entry in asked if entry.error is None]
    accepted = [
        replace(round, activity={client: round.activity[client] for client in entry.clients})
        for round, entry in answered
        if round.activity.keys() >= set(entry.clients)
    ]
    forward = work(network, accepted).training()["forward"].values() if accepted else ()
    seconds = [entry.seconds["training"] for _, entry in answered]
    sensors = dict.fromkeys(sensor for _, entry in answered for sensor in entry.joules)
    return Node(
        node=name,
        clients=sorted({client for _, entry in asked for client in entry.clients}),
        rounds=len(answered),
        failed=len(asked) - len(answered),
        samples=sum(work.samples for round in accepted for work in round.activity.values()),
        operations={kind: sum(layer.get(kind, 0) for layer in forward) for kind in ("mac", "ac")},
        uplink_bytes=sum(entry.uplink_bytes for _, entry in answered),
        downlink_bytes=sum(entry.downlink_bytes for _, entry in asked),
        training_seconds=statistics.median(seconds) if seconds else None,
        joules={
            sensor: sum(entry.joules.get(sensor, 0.0) for _, entry in answered)
            for sensor in sensors
        },
    )
