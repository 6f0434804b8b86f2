"""Who is out there: the nodes of a fleet, the clients that each hosts, and how much these hold."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from flwr.app import MessageType
from flwr.serverapp import Grid

from fedspike.errors import InputError
from fedspike.federation.devices import Held
from fedspike.federation.places.flower.exchange import POLL_S, exchange
from fedspike.federation.places.flower.messages import Holding, Question, pack, unpack
from fedspike.files import json_bytes, read_json, write_whole

ANSWER_WITHIN_S = 120.0


class Nodes:
    """The nodes that are connected, each asked once what it holds.

    How much every client holds is settled when they are first complete, and kept in `file`: a training that
    goes on after a break has the same clients, whoever of them is there.
    """

    def __init__(self, grid: Grid, file: Path, classes: int, shape: tuple[int, ...]) -> None:
        self.grid, self.file, self.classes, self.shape = grid, file, classes, shape
        self.names: dict[int, str] = {}  # node -> how it is called
        self.refused: dict[str, str] = {}  # what is called so -> why it does not take part
        self.hosts: dict[int, int] = {}  # client -> node
        self.counts: dict[int, tuple[int, ...]] = {}  # client -> samples of each class
        self._held: dict[int, tuple[int, ...]] = {}

    def wait_for(self, clients: int, say: Any) -> None:
        """Meet nodes until every client 0, 1, ... has its own, or was known before."""
        if self.file.exists():
            fix = f"delete {self.file.parent} to start again"
            stored = read_json(self.file, fix=fix)
            self.counts = msgspec.convert(
                {int(client): counts for client, counts in stored.items()},
                dict[int, tuple[int, ...]],
            )
        self.meet()
        told: list[int] = []
        while missing := [k for k in range(clients) if k not in (self.counts or self._held)]:
            if missing != told:
                say(f"waiting for the nodes of clients {', '.join(map(str, missing))}")
                told = missing
            time.sleep(POLL_S)
            self.meet()
        if not self.counts:
            self.counts = {k: self._held[k] for k in range(clients)}
            counts = {str(k): list(n) for k, n in self.counts.items()}
            write_whole(self.file, json_bytes(counts), self.file.parent)

    def meet(self) -> None:
        """Ask the nodes that were not asked yet."""
        new = [node for node in self.grid.get_node_ids() if node not in self.names]
        questions = {node: pack(Question(self.classes)) for node in new}
        if not questions:
            return
        answers, _ = exchange(self.grid, questions, MessageType.QUERY, 0, ANSWER_WITHIN_S)
        for answer in answers:
            self.names[answer.node] = f"node {answer.node}"
            try:
                if answer.content is None:
                    raise InputError(answer.error, expected="", fix="")
                holding = unpack(answer.content, Holding)
                self._welcome(answer.node, holding)
            except InputError as error:
                self.refused[self.names[answer.node]] = error.passed

    def hosting(self, clients: Iterable[int]) -> dict[int, list[int]]:
        """node that is there -> those of the clients that it hosts, both in the order of the clients."""
        online = set(self.grid.get_node_ids())
        if online - self.names.keys():
            self.meet()
        hosting: dict[int, list[int]] = {}
        for client in clients:
            if (node := self.hosts.get(client)) in online:
                hosting.setdefault(node, []).append(client)
        return hosting

    @property
    def held(self) -> Held:
        """How many samples of each class every client holds."""
        return Held(tuple(self.counts[client] for client in range(len(self.counts))))

    def _welcome(self, node: int, holding: Holding) -> None:
        self.names[node] = holding.node
        if holding.shape != self.shape:
            raise InputError(
                f"{holding.node} has images of shape {holding.shape}",
                expected=f"those of the server's test set, {self.shape}",
                fix="prepare the images on all nodes the same way",
            )
        for client, counts in holding.class_counts.items():
            if len(counts) != self.classes or sum(counts) == 0:
                raise InputError(
                    f"{holding.node} says {counts} of client {client}",
                    expected=f"numbers of samples of {self.classes} classes, not all 0",
                    fix="install the same version of fedspike on it",
                )
        for client, counts in holding.class_counts.items():
            self.hosts[client] = node
            self._held[client] = counts
