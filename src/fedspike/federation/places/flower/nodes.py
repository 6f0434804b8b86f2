"""Who is out there: the nodes of a fleet, the clients that each hosts, and how much these hold."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flwr.app import MessageType
from flwr.serverapp import Grid

from fedspike.errors import InputError
from fedspike.federation.client_numbers import spelled
from fedspike.federation.devices import Held
from fedspike.federation.places.flower import absent, seats
from fedspike.federation.places.flower.exchange import POLL_S, Answer, Post, in_words
from fedspike.federation.places.flower.messages import (
    SAME_VERSION,
    Holding,
    Question,
    pack,
    unpack,
)

ANSWER_WITHIN_S = 120.0
PATIENCE_S = 5.0  # with who was never asked before; a node asks for work every 3 s at least
AGAIN_AFTER_S = 5.0  # a refused node is asked again; to answer costs it some seconds
MOST_SAMPLES = 2**31  # of a client
NOBODY = "no client of the round is there; it waits for one until its deadline"
NO_LONGER = "its key is not let in any more"
SILENT = "no answer yet; it may read its data, or hang: see what it says on its device, or start it again"


@dataclass(frozen=True)
class Registered:
    """A node whose key was let in: how it is called, and the clients that are its own."""

    name: str
    clients: frozenset[int]


class Nodes:
    """The nodes that are connected, each asked what it holds until it has a part in the training.

    How much every client holds is settled when the training begins, or when it joins, and kept in `folder`.
    Who takes no part, and why, is kept there, too, for those who look on.

    `who_may_come()` says it at any moment: Flower's number of each node -> who it is. `in_vain()` says who
    asks to come and is kept out -> why.
    """

    def __init__(
        self,
        grid: Grid,
        folder: Path,
        classes: int,
        shape: tuple[int, ...],
        who_may_come: Callable[[], Mapping[int, Registered]],
        in_vain: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self.grid, self.folder, self.classes, self.shape = grid, folder, classes, shape
        self.who_may_come, self.registered = who_may_come, who_may_come()
        self.in_vain = in_vain
        self.names: dict[int, str] = {}  # node that takes part, or did -> how it is called
        self.refused: dict[int, str] = {}  # node that does not -> why
        self.hosts: dict[int, int] = {}  # client -> node
        self.clients = 0  # the number of seats
        self.counts: dict[int, seats.Counts] = {}  # client -> samples of each class, settled
        self._held: dict[int, seats.Counts] = {}  # as nodes say
        self._questions = Post(grid)
        self._asked_at: dict[int, float] = {}

    def wait_for(
        self,
        clients: int,
        say: Callable[[str], None],
        at_least: Callable[[], int] | None = None,
        dealt: Sequence[seats.Counts] = (),
    ) -> None:
        """Meet nodes until `at_least()` of the clients 0, 1, ... are there, by default all.

        A training that has begun goes on. What was `dealt` to clients is known before they come; without it,
        the seats of those who did not come stay open.
        """
        self.clients = clients
        self.counts = seats.read(self.folder, clients, self.classes)
        self.meet()
        told: object = None
        while not self.counts:
            missing, least = self._missing(), min(at_least(), clients) if at_least else clients
            if clients - len(missing) >= least:
                self.counts = dict(enumerate(dealt)) | self._newcomers()
                seats.write(self.folder, self.counts)
                break
            waiting = seats.awaited(missing, clients, least)
            if (waiting, self.refused) != told:
                self._publish(missing, waiting)
                say(waiting)
                for node, reason in self.refused.items():
                    say(f"{self.name(node)} takes no part: {reason}")
                told = waiting, dict(self.refused)
            time.sleep(POLL_S)
            self.meet()
        self.seat_newcomers()
        self._publish()

    def seat_newcomers(self) -> list[int]:
        """Settle how much those clients hold that came since the training began, and tell who they are."""
        self.meet()
        if newcomers := self._newcomers():
            self.counts |= newcomers
            seats.write(self.folder, self.counts)
        return sorted(newcomers)

    def meet(self) -> None:
        """Ask the nodes that have no part yet; wait for those who were never asked before, but not long.

        Who was refused is asked again, and may have been mended; its answer is heard when it is there.
        """
        online, now = self.online(), time.monotonic()
        for node in self.refused.keys() - online:
            del self.refused[node]
        apart = online - self.names.keys() - self._questions.asked
        fresh = apart - self._asked_at.keys()
        again = {n for n in apart - fresh if now - self._asked_at[n] > AGAIN_AFTER_S}
        to_ask = sorted(fresh | again)
        questions = {node: pack(self._question(node)) for node in to_ask}
        if questions:
            self._questions.send(questions, MessageType.QUERY, 0, ANSWER_WITHIN_S)
            self._asked_at |= dict.fromkeys(questions, now)
        while True:
            for answer in self._questions.fetch():
                self._hear(answer)
            if not fresh & self._questions.asked or time.monotonic() - now > PATIENCE_S:
                break
            time.sleep(POLL_S)
        for node in self._questions.asked & online - self.names.keys():
            if time.monotonic() - self._asked_at[node] > PATIENCE_S:
                self.refused.setdefault(node, SILENT)

    def hosting(self, clients: Iterable[int]) -> dict[int, list[int]]:
        """node that is there -> those of the clients that it hosts, both in the order of the clients."""
        self.registered = self.who_may_come()
        self.meet()
        online, hosting = self.online(), dict[int, list[int]]()
        wanted = list(clients)
        for client in wanted:
            node = self.hosts.get(client)
            if node in online and client in self.registered[node].clients:
                hosting.setdefault(node, []).append(client)
        self._publish(*((), "") if hosting else (wanted, NOBODY))
        return hosting

    def online(self) -> set[int]:
        """The nodes that are there and may be."""
        online = set(self.grid.get_node_ids())
        if online - self.registered.keys():
            self.registered = self.who_may_come()
        return online & self.registered.keys()

    def revoked(self, nodes: Iterable[int]) -> set[int]:
        """Those of the nodes that may not come any more."""
        self.registered = self.who_may_come()
        return set(nodes) - self.registered.keys()

    @property
    def held(self) -> Held:
        """How many samples of each class every client holds; of an open seat none."""
        nothing = (0,) * self.classes
        return Held(tuple(self.counts.get(client, nothing) for client in range(self.clients)))

    def name(self, node: int) -> str:
        """How a node is called, by the key that it came with."""
        own = self.registered.get(node)
        return own.name if own else self.names.get(node, f"node {node}")

    def absent(self) -> list[dict[str, Any]]:
        """The entries of a round's ledger for the nodes that are there, or ask to be, and take no part."""
        reasons = {self.name(node): reason for node, reason in sorted(self.refused.items())}
        return [
            {"node": name, "clients": [], "downlink_bytes": 0, "error": reason}
            for name, reason in {**reasons, **self.in_vain()}.items()
        ]

    def _missing(self) -> list[int]:
        """The clients that are not there."""
        online = self.online()
        return [client for client in range(self.clients) if self.hosts.get(client) not in online]

    def _newcomers(self) -> dict[int, seats.Counts]:
        """What those clients hold that came and have no part in the training yet."""
        seated = self.counts.keys()
        return {k: own for k, own in self._held.items() if k < self.clients and k not in seated}

    def _publish(self, missing: Sequence[int] = (), waiting: str = "") -> None:
        """Tell who looks on which nodes take no part, and why, and which clients are waited for."""
        refused = {self.name(node): reason for node, reason in self.refused.items()}
        absent.write(self.folder, refused, list(missing), waiting)

    def _question(self, node: int) -> Question:
        return Question(self.classes, self.shape, tuple(sorted(self.registered[node].clients)))

    def _hear(self, answer: Answer) -> None:
        """Give a node its part in the training, or none."""
        if answer.node not in self.registered:
            self.refused[answer.node] = NO_LONGER
            return
        if answer.content is None:
            self.refused[answer.node] = answer.error
            return
        try:
            self._welcome(answer.node, unpack(answer.content, Holding))
        except Exception as error:  # whatever a node answers, it is the node that did it
            self.refused[answer.node] = in_words(error)
        else:
            self.refused.pop(answer.node, None)

    def _welcome(self, node: int, holding: Holding) -> None:
        if holding.shape != self.shape:
            raise InputError(
                f"images of shape {holding.shape}",
                expected=f"those of the server's test set, {self.shape}",
                fix="prepare the images on all nodes the same way",
            )
        if not holding.class_counts:
            raise InputError("no clients", expected="one at least", fix=SAME_VERSION)
        own = self.registered[node]
        if strangers := holding.class_counts.keys() - own.clients:
            raise InputError(
                f"samples of the clients {spelled(strangers)}",
                expected=f"those that belong to its key, {spelled(own.clients)}",
                fix=f"keep only their files on the node, or change server/nodes/{own.name}.toml",
            )
        for client, counts in holding.class_counts.items():
            if len(counts) != self.classes or not 0 < sum(counts) < MOST_SAMPLES:
                raise InputError(
                    f"{counts[:20]} samples of client {client}",
                    expected=f"numbers of samples of {self.classes} classes, not all 0",
                    fix=SAME_VERSION,
                )
        self.names[node] = own.name
        self.hosts |= dict.fromkeys(holding.class_counts, node)
        self._held |= holding.class_counts
