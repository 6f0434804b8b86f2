"""What came back from the nodes, as far as it can be read; what may touch the model is for the guard."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fedspike.algorithms.trees import count_bytes
from fedspike.errors import InputError
from fedspike.federation.order import Order, Reply
from fedspike.federation.places.flower.exchange import Answer
from fedspike.federation.places.flower.messages import Report, tree_of, unpack


@dataclass
class Heard:
    """The answers of a round.

    `reports` are those of the nodes whose answers could be read, `replies` what the guard is to judge, and
    `ledger` has an entry for each node: bytes, seconds, joules, or what went wrong.
    """

    reports: dict[int, Report] = field(default_factory=dict)
    replies: list[Reply] = field(default_factory=list)
    ledger: list[dict[str, Any]] = field(default_factory=list)


def hear(
    order: Order,
    hosts: Mapping[int, Sequence[int]],
    answers: Sequence[Answer],
    names: Mapping[int, str],
    downlink_bytes: Mapping[int, int],
) -> Heard:
    """Read the answers to an order."""
    heard = Heard()
    by_node = {answer.node: answer for answer in answers}
    for node, clients in hosts.items():
        entry = {
            "node": names[node],
            "clients": list(clients),
            "downlink_bytes": downlink_bytes[node],
        }
        answer = by_node.get(node, Answer(node, 0.0, None, "no answer before the deadline"))
        heard.ledger.append(entry | _read(order, clients, answer, heard))
    return heard


def _read(order: Order, clients: Sequence[int], answer: Answer, heard: Heard) -> dict[str, Any]:
    """Put an answer where it belongs; what the ledger says of it."""
    if answer.content is None:
        return {"error": answer.error}
    try:
        report, tree = unpack(answer.content, Report), tree_of(answer.content)
        _demand_sound(report, clients, order)
    except InputError as error:
        # A reply without tensors, which the guard then rejects.
        claimed = {client: order.samples[client] for client in clients}
        heard.replies.append(Reply(answer.node, order.round, claimed, None, answer.seconds))
        return {"error": error.passed}
    heard.reports[answer.node] = report
    claimed = dict(report.samples)
    heard.replies.append(Reply(answer.node, report.round, claimed, tree, answer.seconds))
    return {
        "uplink_bytes": count_bytes(tree),
        "seconds": {**report.seconds, "answered": answer.seconds},
        "joules": dict(report.joules),
    }


def _demand_sound(report: Report, clients: Sequence[int], order: Order) -> None:
    """Raise where a report is not about what was asked, or its counts are of another network."""
    layers = set(order.site.network.architecture.names)
    for client, activity in report.activity.items():
        counts = [activity.samples, activity.steps, activity.events_out]
        counts += [*activity.events_in.values(), *activity.synapses_met.values()]
        if min(counts) < 0 or not layers <= activity.events_in.keys():
            raise InputError(
                f"counts of client {client} that are negative or of other layers",
                expected=f"counts of the layers {', '.join(sorted(layers))}",
                fix="install the same version of fedspike on all nodes",
            )
    told = (report.samples.keys(), report.activity.keys(), report.losses.keys())
    if any(those != told[0] for those in told) or not told[0] <= set(clients):
        raise InputError(
            f"an answer for clients {sorted(told[0])}",
            expected=f"one for those that were asked, {sorted(clients)}",
            fix="install the same version of fedspike on all nodes",
        )
