"""The server's side: an order to the nodes that host its clients, and their answers."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from flwr.app import MessageType

from fedspike.algorithms.trees import count_bytes
from fedspike.federation.order import Answers, Found, Order, Reply
from fedspike.federation.places.flower.claims import NotFinite, demand_plausible, most_bytes
from fedspike.federation.places.flower.exchange import Answer, exchange, in_words
from fedspike.federation.places.flower.messages import (
    Refused,
    Report,
    Task,
    for_all,
    pack,
    tree_of,
    unpack,
)
from fedspike.federation.places.flower.nodes import Nodes
from fedspike.federation.plan import plain


@dataclass
class Heard:
    """The answers of a round, as far as they can be read; what may touch the model is for the guard.

    `reports` are those of the nodes whose answers could be read, `replies` what the guard is to judge, and
    `ledger` has an entry for each node: bytes, seconds, joules, or what went wrong.
    """

    order: Order
    reports: dict[int, Report] = field(default_factory=dict)
    replies: list[Reply] = field(default_factory=list)
    ledger: list[dict[str, Any]] = field(default_factory=list)

    def read(self, clients: Sequence[int], answer: Answer) -> dict[str, Any]:
        """Put an answer where it belongs; what the ledger says of it. Whatever it is, nothing is raised."""
        order = self.order
        if answer.content is None:
            return {"error": answer.error}
        try:
            report = unpack(answer.content, Report)
            demand_plausible(report, clients, order)
            tree = tree_of(answer.content, most_bytes(order, clients))
        except Refused as refusal:
            return {"error": in_words(refusal)}
        except Exception as error:  # whatever a node sends, it is the node that did it
            words = in_words(error)
            claimed = {client: order.samples[client] for client in clients}
            reason: Found = "not finite" if isinstance(error, NotFinite) else "not readable"
            self.replies.append(
                Reply(answer.node, order.round, claimed, None, answer.seconds, (reason, words))
            )
            return {"error": words}
        self.reports[answer.node] = report
        claimed = dict(report.samples)
        self.replies.append(Reply(answer.node, report.round, claimed, tree, answer.seconds))
        return {
            "uplink_bytes": count_bytes(tree),
            "seconds": {**report.seconds, "answered": answer.seconds},
            "joules": dict(report.joules),
        }


@dataclass(frozen=True)
class Flower:
    """Devices that train elsewhere, and have `deadline_s` from an order to their answers."""

    nodes: Nodes
    deadline_s: float

    def work(self, order: Order) -> Answers:
        """Send each node its clients' part of the order, and hear all answers until the deadline."""
        began = time.monotonic()
        hosts = self.nodes.hosting(order.samples)
        trees = {n: for_all({k: order.received[k] for k in ks}) for n, ks in hosts.items()}
        tasks = {node: pack(self._task(order, ks), trees[node]) for node, ks in hosts.items()}
        answers, transport_s = exchange(
            self.nodes.grid, tasks, MessageType.TRAIN, order.round, self.deadline_s
        )
        sizes = {node: count_bytes(tree) for node, tree in trees.items()}
        heard, by_node = Heard(order), {answer.node: answer for answer in answers}
        for node, clients in hosts.items():
            answer = by_node.get(node, Answer(node, 0.0, None, "no answer before the deadline"))
            entry = {
                "node": self.nodes.name(node),
                "clients": clients,
                "downlink_bytes": sizes[node],
            }
            heard.ledger.append(entry | heard.read(clients, answer))
        reports = heard.reports.values()
        return Answers(
            hosts=hosts,
            replies=heard.replies,
            activity={k: own for report in reports for k, own in report.activity.items()},
            losses={k: loss for report in reports for k, loss in report.losses.items()},
            seconds=where_it_went(answers, heard.reports, transport_s, time.monotonic() - began),
            uplink_bytes=sum(entry.get("uplink_bytes", 0) for entry in heard.ledger),
            downlink_bytes=sum(sizes.values()),
            nodes=(*heard.ledger, *self.nodes.absent()),
            deadline_s=self.deadline_s,
        )

    def _task(self, order: Order, clients: list[int]) -> Task:
        remembered = {k: order.remembered[k] for k in clients if k in order.remembered}
        return Task(plain(order.plan), self.nodes.classes, order.round, tuple(clients), remembered)


def where_it_went(
    answers: list[Answer], reports: dict[int, Report], transport_s: float, seconds: float
) -> dict[str, float]:
    """The seconds until the last answer, as the node that answered last spent them.

    "transport" is our handing out and fetching, and "waiting" all else: nodes ask for work only every so
    often, and Flower carries it to them.
    """
    spent = {"training": 0.0}
    if reports:
        last = [answer for answer in answers if answer.node in reports][-1]
        told = reports[last.node].seconds
        spent["training"] = min(told.get("training", 0.0), last.seconds)
    spent["transport"] = transport_s
    spent["waiting"] = max(0.0, seconds - sum(spent.values()))
    return spent
