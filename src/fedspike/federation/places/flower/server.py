"""The server's side: an order to the nodes that host its clients, and their answers."""

import time
from dataclasses import dataclass

from flwr.app import MessageType

from fedspike.algorithms.trees import count_bytes
from fedspike.federation.order import Answers, Order
from fedspike.federation.places.flower.answers import Heard, hear
from fedspike.federation.places.flower.exchange import Exchange, exchange
from fedspike.federation.places.flower.messages import Task, for_all, pack
from fedspike.federation.places.flower.nodes import Nodes
from fedspike.federation.plan import plain


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
        exchanged = exchange(
            self.nodes.grid, tasks, MessageType.TRAIN, order.round, self.deadline_s
        )
        sizes = {node: count_bytes(tree) for node, tree in trees.items()}
        heard = hear(order, hosts, exchanged.answers, self.nodes.names, sizes)
        reports = heard.reports.values()
        return Answers(
            hosts=hosts,
            replies=heard.replies,
            activity={k: done for report in reports for k, done in report.activity.items()},
            losses={k: loss for report in reports for k, loss in report.losses.items()},
            seconds=where_it_went(exchanged, heard, time.monotonic() - began),
            uplink_bytes=sum(entry.get("uplink_bytes", 0) for entry in heard.ledger),
            downlink_bytes=sum(sizes.values()),
            nodes=tuple(heard.ledger),
            deadline_s=self.deadline_s,
        )

    def _task(self, order: Order, clients: list[int]) -> Task:
        remembered = {k: order.remembered[k] for k in clients if k in order.remembered}
        return Task(plain(order.plan), self.nodes.classes, order.round, tuple(clients), remembered)


def where_it_went(exchanged: Exchange, heard: Heard, seconds: float) -> dict[str, float]:
    """The seconds until the last answer, as the node that answered last spent them.

    "starting" is a new process on the node that imports torch, "transport" our handing out and fetching, and
    "waiting" all else: Flower asks for work and answers only every so often, and carries them.
    """
    spent = {"training": 0.0, "starting": 0.0}
    if heard.reports:
        last = [answer for answer in exchanged.answers if answer.node in heard.reports][-1]
        told = heard.reports[last.node].seconds
        spent["training"] = min(told.get("training", 0.0), last.seconds)
        spent["starting"] = min(told.get("starting", 0.0), last.seconds - spent["training"])
    spent["transport"] = exchanged.transport_seconds
    spent["waiting"] = max(0.0, seconds - sum(spent.values()))
    return spent
