"""What came back from the nodes, as far as it can be read; what may touch the model is for the guard."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from fedspike.algorithms import Tree
from fedspike.algorithms.trees import count_bytes
from fedspike.errors import InputError
from fedspike.federation.guard import Order, Reply
from fedspike.federation.places.flower.exchange import Answer
from fedspike.federation.places.flower.messages import Report, tree_of, unpack
from fedspike.layers.activity import Activity
from fedspike.networks import SizedNetwork


@dataclass
class Heard:
    """The answers of a round.

    `reports` and `trees` are of the nodes whose answers could be read, `replies` what the guard is to judge,
    and `ledger` has an entry for each node: bytes, seconds, joules, or what went wrong.
    """

    reports: dict[int, Report] = field(default_factory=dict)
    trees: dict[int, Tree] = field(default_factory=dict)
    replies: list[Reply] = field(default_factory=list)
    ledger: list[dict[str, Any]] = field(default_factory=list)

    @property
    def samples(self) -> dict[int, int]:
        """client -> samples of one epoch."""
        return {k: n for report in self.reports.values() for k, n in report.samples.items()}

    @property
    def activity(self) -> dict[int, Activity]:
        """What each client did."""
        return {k: seen for report in self.reports.values() for k, seen in report.activity.items()}

    @property
    def losses(self) -> dict[int, float]:
        """client -> of its mean sample."""
        return {k: loss for report in self.reports.values() for k, loss in report.losses.items()}


def hear(
    order: Order,
    answers: Sequence[Answer],
    network: SizedNetwork,
    names: Mapping[int, str],
    downlink_bytes: int,
) -> Heard:
    """Read the answers to an order."""
    heard = Heard()
    by_node = {answer.node: answer for answer in answers}
    for node, clients in order.asked.items():
        if node not in names:
            continue  # nobody was asked
        entry = {"node": names[node], "clients": list(clients), "downlink_bytes": downlink_bytes}
        answer = by_node.get(node, Answer(node, 0.0, None, "no answer before the deadline"))
        heard.ledger.append(entry | _read(order, answer, network, heard))
    return heard


def _read(order: Order, answer: Answer, network: SizedNetwork, heard: Heard) -> dict[str, Any]:
    """Put an answer where it belongs; what the ledger says of it."""
    if answer.content is None:
        return {"error": answer.error}
    try:
        report, tree = unpack(answer.content, Report), tree_of(answer.content)
        _demand_sound(report, order, answer.node, network)
    except InputError as error:
        # A reply without tensors, which the guard then rejects.
        claimed = dict(order.asked[answer.node])
        heard.replies.append(Reply(answer.node, order.round, claimed, None, answer.seconds))
        return {"error": error.passed}
    heard.reports[answer.node], heard.trees[answer.node] = report, tree
    claimed, narrow = dict(report.samples), _narrow(tree, order.form, len(report.samples))
    heard.replies.append(Reply(answer.node, report.round, claimed, narrow, answer.seconds))
    return {
        "uplink_bytes": count_bytes(tree),
        "seconds": {**report.seconds, "answered": answer.seconds},
        "joules": dict(report.joules),
    }


def _narrow(tree: Tree, form: Tree, clients: int) -> Tree:
    """In the types that the guard expects, if the float64 mean of many clients comes in their place."""
    if clients == 1:
        return tree
    return {
        group: {
            name: tensor.to(form[group][name].dtype)
            if tensor.dtype == torch.float64 and name in form.get(group, {})
            else tensor
            for name, tensor in tensors.items()
        }
        for group, tensors in tree.items()
    }


def _demand_sound(report: Report, order: Order, node: int, network: SizedNetwork) -> None:
    """Raise where a report is not about what was asked, or its counts are of another network."""
    layers = set(network.architecture.names)
    for client, seen in report.activity.items():
        counts = [seen.samples, seen.steps, seen.events_out, *seen.events_in.values()]
        if min([*counts, *seen.synapses_met.values()]) < 0 or not layers <= seen.events_in.keys():
            raise InputError(
                f"counts of client {client} that are negative or of other layers",
                expected=f"counts of the layers {', '.join(sorted(layers))}",
                fix="install the same version of fedspike on all nodes",
            )
    asked = order.asked[node].keys()
    told = (report.samples.keys(), report.activity.keys(), report.losses.keys())
    if any(clients != told[0] for clients in told) or not told[0] <= asked:
        raise InputError(
            f"an answer for clients {sorted(told[0])}",
            expected=f"one for those that were asked, {sorted(asked)}",
            fix="install the same version of fedspike on all nodes",
        )
