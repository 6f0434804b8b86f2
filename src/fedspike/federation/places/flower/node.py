"""A node's side of the fleet: it says which clients it hosts, and trains those that are asked for.

A node is one device, or a machine that hosts many clients and trains them side by side; then it answers with
one reply that stands for all of theirs. Each message meets a new process, so what is kept is on the disk.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from flwr.app import Context, RecordDict
from flwr.app import Message as Envelope
from flwr.clientapp import ClientApp

from fedspike.algorithms import Algorithm, Tree
from fedspike.algorithms.trees import copied, count_bytes
from fedspike.energy.meters import Sensor, sensors
from fedspike.errors import InputError
from fedspike.federation.cohort import Site, train_cohort
from fedspike.federation.guard import form_fault
from fedspike.federation.places.flower import memory
from fedspike.federation.places.flower.hosted import Hosted, read
from fedspike.federation.places.flower.messages import (
    BESIDE_NUMBERS,
    SAME_VERSION,
    Holding,
    Question,
    Refusal,
    Report,
    Task,
    for_one,
    pack,
    tree_of,
    unpack,
)
from fedspike.federation.plan import from_plain, print_of
from fedspike.randomness import stream
from fedspike.rules import Replies

app = ClientApp()


@app.query()
def declare(envelope: Envelope, context: Context) -> Envelope:
    """Say which clients live here and how many samples of each class they have."""

    def holding() -> RecordDict:
        question = unpack(envelope.content, Question)
        hosted = read(*_data(context), question.classes)
        labels, classes = hosted.data.y_train, question.classes
        counts = {
            client: tuple(np.bincount(labels[shard], minlength=classes).tolist())
            for client, shard in hosted.shards.items()
        }
        name = str(context.node_config["node"])
        return pack(Holding(name, hosted.data.x_train.shape[1:], counts))

    return Envelope(answered(holding), reply_to=envelope)


@app.train()
def train(envelope: Envelope, context: Context) -> Envelope:
    """Train the clients that are asked for and answer for them."""

    def report() -> RecordDict:
        task = unpack(envelope.content, Task)
        folder = Path(str(context.node_config["home"])) / "memory"
        return perform(task, envelope.content, read(*_data(context), task.classes), folder)

    return Envelope(answered(report), reply_to=envelope)


def answered(do: Callable[[], RecordDict]) -> RecordDict:
    """What a node answers: what came of it, or in words why nothing did, which it says here, too."""
    try:
        return do()
    except Exception as error:
        ours = not isinstance(error, InputError)
        logging.getLogger("flwr").error("fedspike: %s", error, exc_info=ours)
        return pack(Refusal.of(error))


def perform(task: Task, content: RecordDict, hosted: Hosted, folder: Path) -> RecordDict:
    """What `train` does; memories lie in `folder`. Raises InputError where the task is none for this node."""
    starting = _alive_s()
    site, orders = prepared(task, content, hosted)
    folder = folder / print_of(task.plan)
    memories = {k: memory.read(folder, k, round) for k, round in task.remembered.items()}
    cohort = list(orders)
    with _measured() as joules:
        began = time.perf_counter()
        work = train_cohort(site, cohort, orders, memories, task.round)
        seconds = {"starting": starting, "training": time.perf_counter() - began}
    for client, tree in work.memories.items():
        memory.write(folder, client, task.round, tree, task.remembered.get(client, 0))
    samples = {client: site.devices.samples(client) for client in cohort}
    report = Report(task.round, samples, work.activity, work.losses, seconds, joules())
    return pack(report, one_reply(site.algorithm, work.replies, samples))


def prepared(task: Task, content: RecordDict, hosted: Hosted) -> tuple[Site, dict[int, Tree]]:
    """All that training takes, and what each client receives, held against what its network needs.

    Raises InputError where the task is none for this node.
    """
    strangers = {*task.clients, *task.remembered} - hosted.shards.keys()
    if strangers or len(set(task.clients)) < len(task.clients):
        raise InputError(
            f"a task for the clients {list(task.clients)}",
            expected=f"each once, and of those that live here, {sorted(hosted.shards)}",
            fix="start the training again; nodes are asked at its start which clients they host",
        )
    site = from_plain(task.plan, hosted.data, hosted.partition).site()
    server = site.algorithm.start(site.network.init(stream(site.seed, "init")))
    cohort = site.devices.in_order(task.clients)
    forms = {client: site.algorithm.order(server, client) for client in cohort}
    received = tree_of(content, sum(count_bytes(form) + BESIDE_NUMBERS for form in forms.values()))
    orders = {client: for_one(received, client) for client in cohort}
    for client, tree in orders.items():
        if fault := form_fault(forms[client], tree):
            raise InputError(
                f"an order for client {client} with {fault[0]}: {fault[1]}",
                expected="what the plan's algorithm sends its clients",
                fix=SAME_VERSION,
            )
    return site, orders


def one_reply(algorithm: Algorithm, replies: dict[int, Tree], samples: dict[int, int]) -> Tree:
    """The reply of the only client, or one for all: float64 sums to be gone on with, or kept apart."""
    first, *others = replies.values()
    if not others:
        return copied(first)
    weights = torch.tensor([samples[client] for client in replies])
    tree = {}
    for group, rule in algorithm.joining().items():
        tensors = {client: reply[group] for client, reply in replies.items()}
        if rule.partial:
            tree[group] = rule.join(Replies([*tensors.values()], weights, torch.ones_like(weights)))
        else:
            tree |= {f"{client}/{group}": own for client, own in tensors.items()}
    return copied(tree)


def _alive_s() -> float:
    """How long this process has been there: starting Python and importing torch. 0 outside Linux."""
    try:
        after_name = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        uptime = float(Path("/proc/uptime").read_text().split()[0])
    except OSError:
        return 0.0
    ticks_per_second = 100  # of every Linux, to user space
    return uptime - int(after_name[19]) / ticks_per_second


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


def _data(context: Context) -> tuple[Path, int]:
    """Where this node's samples are, and whose they are where that is one file."""
    return Path(str(context.node_config["data"])), int(context.node_config["client"])
