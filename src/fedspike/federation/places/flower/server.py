"""The server's side: an order to the nodes that host its clients, and their answers."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from flwr.app import MessageType

from fedspike.algorithms.trees import count_bytes
from fedspike.federation.guard import is_sound
from fedspike.federation.order import Answers, Exam, Found, Order, Reply, Told
from fedspike.federation.packing import unpacked
from fedspike.federation.places.flower.claims import NotFinite, demand_plausible, most_bytes
from fedspike.federation.places.flower.examining import ask
from fedspike.federation.places.flower.exchange import POLL_S, Answer, Post, in_words
from fedspike.federation.places.flower.messages import (
    Refused,
    Report,
    Task,
    for_all,
    pack,
    tree_of,
    unpack,
)
from fedspike.federation.places.flower.nodes import NO_LONGER, Nodes
from fedspike.federation.sent_plan import plain

PATIENCE = 10  # deadlines until a node that nobody waits for is asked again


@dataclass(frozen=True)
class Part:
    """What one node was asked: the clients of an order that it hosts; `bytes` went to it."""

    node: int
    order: Order
    clients: Sequence[int]
    bytes: int


@dataclass
class Heard:
    """The answers of a round, as far as they can be read; what may touch the model is for the guard.

    `reports` are those that could be read, `replies` what the guard is to judge, `sound` the clients of those
    that it will accept, and `entries` are for the ledger: bytes, seconds, joules, or what went wrong, by the
    message that was answered.
    """

    reports: list[tuple[Answer, Report]] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    sound: int = 0
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)

    def read(self, order: Order, part: Part, answer: Answer) -> None:
        """Put an answer where it belongs. Whatever it is, nothing is raised."""
        self.entries[answer.number] = entry = self._read(part, answer)
        if "error" not in entry and order.enough is not None:
            reply = self.replies[-1]
            self.sound += len(reply.samples) * is_sound(order, {part.node: part.clients}, reply)

    def _read(self, part: Part, answer: Answer) -> dict[str, Any]:
        order, clients = part.order, part.clients
        if answer.content is None:
            return {"error": answer.error}
        try:
            report = unpack(answer.content, Report)
            demand_plausible(report, clients, order)
            sent = tree_of(answer.content, most_bytes(order, clients))
            tree = unpacked(order, report.samples, sent)
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
        self.reports.append((answer, report))
        claimed = dict(report.samples)
        self.replies.append(Reply(answer.node, report.round, claimed, tree, answer.seconds))
        return {
            "uplink_bytes": count_bytes(sent),
            "seconds": {**report.seconds, "answered": answer.seconds},
            "joules": dict(report.joules),
        }


class Flower:
    """Devices that train elsewhere. A round waits `deadline_s` at most for their answers.

    Where the server goes on without all, those who are still at work answer in a later round. After a
    restart they are asked again, for the same.
    """

    def __init__(self, nodes: Nodes, deadline_s: float) -> None:
        self.nodes, self.deadline_s = nodes, deadline_s
        self._post = Post(nodes.grid)
        # Those whose answers are to come, by the numbers of their messages.
        self._parts: dict[str, Part] = {}

    def work(self, order: Order) -> Answers:
        """Send each node its clients' part of the order, and hear answers: enough, or until the deadline."""
        began = time.monotonic()
        handed_out = self._send(order, began + self.deadline_s)
        parts, heard = dict(self._parts), Heard()
        fetched = self._hear(order, heard, began + self.deadline_s)
        late = dict(self._parts)
        if not order.goes_on:
            self._parts.clear()
            self._post.waiting.clear()
            if not _is_enough(order, heard):
                heard.entries |= {n: {"error": "no answer before the deadline"} for n in late}
                late = {}
        over = {number: part for number, part in parts.items() if number not in self._parts}
        hosts: dict[int, list[int]] = {}
        for part in parts.values():
            hosts.setdefault(part.node, []).extend(part.clients)
        ledger = [
            self._about(part) | heard.entries[number]
            for number, part in over.items()
            if number in heard.entries
        ]
        reports = [report for _, report in heard.reports]
        return Answers(
            hosts=hosts,
            replies=heard.replies,
            activity={k: own for report in reports for k, own in report.activity.items()},
            losses={k: loss for report in reports for k, loss in report.losses.items()},
            seconds=where_it_went(heard.reports, handed_out + fetched, time.monotonic() - began),
            uplink_bytes=sum(entry.get("uplink_bytes", 0) for entry in ledger),
            downlink_bytes=sum(part.bytes for part in over.values()),
            unpacked_bytes=sum(
                count_bytes(reply.tree) for reply in heard.replies if not reply.fault
            ),
            nodes=(*ledger, *self.nodes.absent()),
            deadline_s=math.inf if order.goes_on else self.deadline_s,
            at_work={client: 0.0 for part in late.values() for client in part.clients},
        )

    def examine(self, exam: Exam) -> Told:
        """Have the nodes test the models that never leave them; those that are there until the deadline."""
        return ask(self.nodes, exam, self.deadline_s)

    def _send(self, order: Order, until: float) -> float:
        """Ask the nodes that are there and were not asked yet; wait for one where none is. Its seconds."""
        while True:
            began = time.monotonic()
            for asked in order.all:
                sent = self._asked_in(asked.round)
                if lacking := [client for client in asked.samples if client not in sent]:
                    self._ask(asked, self.nodes.hosting(lacking))
            if self._parts or time.monotonic() > until:
                return time.monotonic() - began
            time.sleep(POLL_S)

    def _asked_in(self, round: int) -> set[int]:
        """The clients that were asked in a round, and whose answers are to come."""
        parts = [part for part in self._parts.values() if part.order.round == round]
        return {client for part in parts for client in part.clients}

    def _ask(self, order: Order, hosts: dict[int, list[int]]) -> None:
        trees = {n: for_all({k: order.received[k] for k in ks}) for n, ks in hosts.items()}
        tasks = {node: pack(self._task(order, ks), trees[node]) for node, ks in hosts.items()}
        within_s = self.deadline_s * (PATIENCE if order.goes_on else 1)
        numbers = self._post.send(tasks, MessageType.TRAIN, order.round, within_s)
        for node, clients in hosts.items():
            self._parts[numbers[node]] = Part(node, order, clients, count_bytes(trees[node]))

    def _hear(self, order: Order, heard: Heard, until: float) -> float:
        """Answers until there are enough, or none is to come, or it is late; the seconds of the last fetch.

        A node that is gone is given up by Flower after two missed heartbeats.
        """
        fetched = 0.0
        while self._parts and time.monotonic() < until and not _is_enough(order, heard):
            asked_at = time.monotonic()
            answers = self._post.fetch()
            revoked = self.nodes.revoked(answer.node for answer in answers) if answers else ()
            for answer in answers:
                if answer.node in revoked:
                    answer = replace(answer, content=None, error=NO_LONGER)
                heard.read(order, self._parts.pop(answer.number), answer)
            if answers:
                fetched = time.monotonic() - asked_at
            else:
                time.sleep(POLL_S)
        return fetched

    def _about(self, part: Part) -> dict[str, Any]:
        """What the ledger says of a part, whatever came of it."""
        name = self.nodes.name(part.node)
        return {"node": name, "clients": part.clients, "downlink_bytes": part.bytes}

    def _task(self, order: Order, clients: list[int]) -> Task:
        remembered = {k: order.remembered[k] for k in clients if k in order.remembered}
        return Task(
            *(plain(order.plan), self.nodes.classes, self.nodes.shape),
            *(order.round, tuple(clients), remembered),
            {k: len(order.site.devices.shards[k]) for k in clients},
        )


def _is_enough(order: Order, heard: Heard) -> bool:
    return order.enough is not None and heard.sound >= order.enough


def where_it_went(
    reports: list[tuple[Answer, Report]], transport_s: float, seconds: float
) -> dict[str, float]:
    """The seconds until the last answer, as the node that answered last spent them.

    "transport" is our handing out and fetching, and "waiting" all else: nodes ask for work only every so
    often, and Flower carries it to them.
    """
    spent = {"training": 0.0}
    if reports:
        last, report = reports[-1]
        spent["training"] = min(report.seconds.get("training", 0.0), last.seconds)
    spent["transport"] = transport_s
    spent["waiting"] = max(0.0, seconds - sum(spent.values()))
    return spent
