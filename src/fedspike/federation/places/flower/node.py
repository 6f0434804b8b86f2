"""A node's side of the fleet: it says which clients it hosts, and trains those that are asked for.

A node is one device, or a machine that hosts many clients and trains them side by side; then it answers with
one reply that stands for all of theirs. What its clients remember between rounds is on its disk.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch
from flwr.app import Message as Envelope
from flwr.app import MessageType, RecordDict

from fedspike.algorithms import Algorithm, Tree
from fedspike.algorithms.trees import copied, in_order
from fedspike.data.dataset import ignore
from fedspike.energy.meters import Sensor, sensors
from fedspike.errors import InputError
from fedspike.federation.client_numbers import spelled
from fedspike.federation.cohort import Site, train_cohort
from fedspike.federation.places.flower import examining, hosted, memory
from fedspike.federation.places.flower.conditions import NONE, Watch
from fedspike.federation.places.flower.hosted import Hosted
from fedspike.federation.places.flower.messages import (
    SAME_VERSION,
    ExamTask,
    Holding,
    Question,
    Refusal,
    Report,
    Task,
    for_each,
    pack,
    unpack,
)
from fedspike.federation.sent_plan import from_plain, print_of
from fedspike.randomness import stream
from fedspike.rules import Replies, heaps


@dataclass
class Device:
    """One device, or a machine that hosts many clients: how it is called, its folder, and its samples.

    `data` is a file with the samples of its only client, or a folder with a file for each client. The server
    says which clients a node has. What keeps it from taking part is said here, and to the server as often as
    it asks: it may be mended meanwhile.
    """

    name: str
    home: Path
    data: Path
    say: Callable[[str], None] = ignore
    conditions: Watch = NONE
    _hosted: tuple[object, Hosted] | None = None
    _absent: str = ""  # the words that were said last of why it takes no part
    _paused: str = ""  # the condition that did not hold when that was looked at last

    def answer(self, envelope: Envelope) -> Envelope:
        """What it says to a message, whatever that is."""
        content, kind = envelope.content, envelope.metadata.message_type
        doing = {
            MessageType.QUERY: lambda: self._declare(unpack(content, Question)),
            MessageType.TRAIN: lambda: self._train(unpack(content, Task), content),
            MessageType.EVALUATE: lambda: self._examine(unpack(content, ExamTask), content),
        }
        return Envelope(self._answered(doing.get(kind, _refuse)), reply_to=envelope)

    def look(self, classes: int, shape: tuple[int, ...]) -> None:
        """Read the samples before somebody asks, and say what is wrong with them."""

        def read() -> RecordDict:
            self._read(classes, shape)
            return RecordDict()

        self._answered(read)

    def hosted(self, classes: int, shape: tuple[int, ...], clients: Sequence[int]) -> Hosted:
        """Its samples. Raises InputError where they are bad.

        `clients` are the device's, or some of them: they say whose a single file is.
        """
        return self._read(classes, shape).belonging_to(clients)

    def _read(self, classes: int, shape: tuple[int, ...]) -> Hosted:
        """Its samples, read again where a file has changed."""
        now = (classes, shape, hosted.stamp(self.data))
        if self._hosted is None or self._hosted[0] != now:
            self._hosted = None  # two of them may not fit into memory
            self._hosted = (now, hosted.demand(self.data, classes, shape, self.say))
        return self._hosted[1]

    def _declare(self, question: Question) -> RecordDict:
        """Say which clients live here and how many samples of each class they have."""
        classes, own = question.classes, question.clients
        here = self.hosted(classes, question.shape, own)
        if strangers := here.shards.keys() - set(own):
            raise InputError(
                f"samples of the clients {spelled(strangers)}",
                expected=f"those of this node's own, {spelled(own)}",
                fix="rename or remove the files of the others, or ask the fleet's owner for their clients",
            )
        counts = {
            client: tuple(np.bincount(here.data.y_train[shard], minlength=classes).tolist())
            for client, shard in here.shards.items()
        }
        return pack(Holding(here.data.x_train.shape[1:], counts))

    def _train(self, task: Task, content: RecordDict) -> RecordDict:
        """Train the clients that are asked for and answer for them."""
        here = self.hosted(task.classes, task.shape, task.clients)
        if obstacle := self.pause():
            return pack(Refusal.of(obstacle))
        self.conditions.begin()
        return perform(task, content, here, self.home / "memory")

    def _examine(self, task: ExamTask, content: RecordDict) -> RecordDict:
        """Test the models that its clients have for themselves."""
        here = self.hosted(task.classes, task.shape, tuple(task.remembered))
        if obstacle := self.pause():
            return pack(Refusal.of(obstacle))
        return examining.perform(task, content, here, self.home / "memory")

    def pause(self) -> InputError | None:
        """Why it takes no work now, or nothing; said when it changes."""
        obstacle = self.conditions.obstacle()
        condition = obstacle.expected if obstacle else ""
        if condition != self._paused:
            self.say(f"{self.name}: {obstacle.passed if obstacle else 'takes work again'}")
        self._paused = condition
        return obstacle

    def _answered(self, do: Callable[[], RecordDict]) -> RecordDict:
        """What came of it, or in words why nothing did."""
        try:
            content, absent = do(), ""
        except Exception as error:
            if not isinstance(error, InputError):
                logging.getLogger("flwr").error("fedspike: %s", error, exc_info=True)
            content, absent = pack(Refusal.of(error)), f"takes no part: {error}"
        if absent != self._absent:
            self.say(f"{self.name} {absent or 'is mended: it takes part again'}")
        self._absent = absent
        return content


def _refuse() -> NoReturn:
    raise InputError(
        "a message that is no question and no task", expected="one of them", fix=SAME_VERSION
    )


def perform(task: Task, content: RecordDict, hosted: Hosted, folder: Path) -> RecordDict:
    """What `train` does; memories lie in `folder`. Raises InputError where the task is none for this node."""
    site, orders = prepared(task, content, hosted)
    folder = folder / print_of(task.plan)
    memories = {k: memory.read(folder, k, round) for k, round in task.remembered.items()}
    cohort = list(orders)
    with _measured() as joules:
        began = time.perf_counter()
        work = train_cohort(site, cohort, orders, memories, task.round)
        seconds = {"training": time.perf_counter() - began}
    for client, tree in work.memories.items():
        memory.write(folder, client, task.round, tree, task.remembered.get(client, 0))
    samples = {client: site.devices.samples(client) for client in cohort}
    report = Report(task.round, samples, work.activity, work.losses, seconds, joules())
    return pack(report, one_reply(site.algorithm, work.replies, samples))


def prepared(task: Task, content: RecordDict, hosted: Hosted) -> tuple[Site, dict[int, Tree]]:
    """All that training takes, and what each client receives, held against what its network needs.

    Raises InputError where the task is none for this node.
    """
    hosted.demand_here(task.clients, task.held, dict.fromkeys(task.clients) | task.remembered)
    declared = {client: hosted.shards[client][: task.held[client]] for client in task.clients}
    partition = replace(hosted, shards=hosted.shards | declared).partition
    site = from_plain(task.plan, hosted.data, partition).site()
    server = site.algorithm.start(site.network.init(stream(site.seed, "init")))
    cohort = site.devices.in_order(task.clients)
    forms = {client: site.algorithm.order(server, client) for client in cohort}
    forms |= {k: site.algorithm.again(forms[k]) for k in cohort if k in task.remembered}
    orders = for_each(content, forms, "an order", "what the plan's algorithm sends its clients")
    return site, {client: in_order(forms[client], tree) for client, tree in orders.items()}


def one_reply(algorithm: Algorithm, replies: dict[int, Tree], samples: dict[int, int]) -> Tree:
    """The reply of the only client, or one for all: exact sums to be gone on with, or kept apart."""
    tree = {}
    for group, rule in algorithm.joining().items():
        own = {client: reply[group] for client, reply in replies.items()}
        for name, heap in heaps(rule, group, own).items():
            if rule.partial and len(replies) > 1:
                weights = torch.tensor([samples[client] for client in heap])
                joining = Replies([own[k] for k in heap], weights, torch.ones_like(weights))
                tree[name] = rule.summed(joining)
            else:
                tree[name] = own[heap[0]]
    return copied(tree)


@contextmanager
def _measured() -> Iterator[Callable[[], dict[str, float]]]:
    """What the sensors of this machine count meanwhile, by sensor and domain."""
    readable = [sensor for sensor in sensors() if isinstance(sensor, Sensor)]

    def counted() -> dict[str, float]:
        return {
            f"{sensor.name} {domain}": joules
            for sensor in readable
            for domain, joules in sensor.joules().items()
        }

    before = counted()
    yield lambda: {name: joules - before[name] for name, joules in counted().items()}
