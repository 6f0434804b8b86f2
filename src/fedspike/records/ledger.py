"""What each node of a real fleet did over a whole run, from its records: work, bytes, seconds, joules."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from fedspike.energy.account import work
from fedspike.layers.operations import NetworkOperations
from fedspike.records.schema import Node, NodeRound, RoundRecord


@dataclass(frozen=True)
class NodeRounds:
    """The rounds that a node was asked in, each with what it did."""

    asked: list[tuple[RoundRecord, NodeRound]] = field(default_factory=list)

    @property
    def answered(self) -> list[tuple[RoundRecord, NodeRound]]:
        """Those without an error."""
        return [(round, entry) for round, entry in self.asked if entry.error is None]

    @property
    def failed(self) -> int:
        """The rounds in which it did not answer."""
        return len(self.asked) - len(self.answered)

    @property
    def clients(self) -> list[int]:
        """Whom it trained, or should have, in their order."""
        return sorted({client for _, entry in self.asked for client in entry.clients})

    @property
    def joules(self) -> dict[str, float]:
        """Sensor -> what it measured while the node trained."""
        sums: dict[str, float] = {}
        for _, entry in self.answered:
            for sensor, joules in entry.joules.items():
                sums[sensor] = sums.get(sensor, 0.0) + joules
        return sums


def rounds_by_node(rounds: Iterable[RoundRecord]) -> dict[str, NodeRounds]:
    """Node -> what it did, in the order of the nodes' names; nothing of a simulation.

    One that is refused, or asks at the door in vain, is asked nothing.
    """
    rounds_of: dict[str, NodeRounds] = {}
    for round in rounds:
        for entry in round.nodes:
            if entry.clients:
                rounds_of.setdefault(entry.node, NodeRounds()).asked.append((round, entry))
    return dict(sorted(rounds_of.items()))


def nodes(network: NetworkOperations, rounds: Sequence[RoundRecord]) -> list[Node]:
    """An entry for each node; none for a simulation.

    A node's operations are those of the forward passes of its clients.
    """
    return [_node(name, network, own) for name, own in rounds_by_node(rounds).items()]


def round_seconds(rounds: Sequence[RoundRecord]) -> dict[str, float]:
    """The parts of a round on a real fleet and their seconds, medians; nothing of a simulation."""
    if not any(round.nodes for round in rounds):
        return {}
    return {
        part: statistics.median(round.seconds.get(part, 0.0) for round in rounds)
        for part in rounds[0].seconds
    }


def _node(name: str, network: NetworkOperations, own: NodeRounds) -> Node:
    answered = own.answered
    accepted = [
        replace(round, activity={client: round.activity[client] for client in entry.clients})
        for round, entry in answered
        if round.activity.keys() >= set(entry.clients)
    ]
    forward = work(network, accepted).training()["forward"].values() if accepted else ()
    seconds = [entry.seconds["training"] for _, entry in answered]
    return Node(
        node=name,
        clients=own.clients,
        rounds=len(answered),
        failed=own.failed,
        samples=sum(work.samples for round in accepted for work in round.activity.values()),
        operations={kind: sum(layer.get(kind, 0) for layer in forward) for kind in ("mac", "ac")},
        uplink_bytes=sum(entry.uplink_bytes for _, entry in answered),
        downlink_bytes=sum(entry.downlink_bytes for _, entry in own.asked),
        training_seconds=statistics.median(seconds) if seconds else None,
        joules=own.joules,
    )
