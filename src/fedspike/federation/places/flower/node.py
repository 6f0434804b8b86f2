"""A node's side of the fleet: it says which clients it hosts, and trains those that are asked for.

A node is one device, or a machine that hosts many clients and trains them side by side; then it answers with
one reply that stands for all of theirs. Each message meets a new process, so what is kept is on the disk.
"""

import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from flwr.app import Context, RecordDict
from flwr.app import Message as Envelope
from flwr.clientapp import ClientApp

from fedspike.algorithms import Algorithm, Tree
from fedspike.algorithms.trees import copied
from fedspike.data import Dataset, load_own, remarks
from fedspike.energy.meters import Sensor, sensors
from fedspike.errors import InputError
from fedspike.federation.cohort import train_cohort
from fedspike.federation.devices import Given
from fedspike.federation.places.flower import memory
from fedspike.federation.places.flower.messages import (
    Holding,
    Question,
    Report,
    Task,
    for_one,
    pack,
    tree_of,
    unpack,
)
from fedspike.federation.plan import from_plain, print_of
from fedspike.rules import Replies

app = ClientApp()


@dataclass(frozen=True)
class Hosted:
    """The clients that live on a node, with their samples."""

    data: Dataset
    shards: dict[int, np.ndarray]  # client -> its positions in `data`

    @property
    def partition(self) -> Given:
        """Each client's own positions. Clients elsewhere have a place in it, and are never asked for."""
        elsewhere = np.zeros(1, np.int64)
        return Given(tuple(self.shards.get(k, elsewhere) for k in range(max(self.shards) + 1)))


@app.query()
def declare(envelope: Envelope, context: Context) -> Envelope:
    """Say which clients live here and how many samples of each class they have."""
    question = unpack(envelope.content, Question)
    hosted = read(context, question.classes)
    counts = {
        client: tuple(np.bincount(hosted.data.y_train[shard], minlength=question.classes).tolist())
        for client, shard in hosted.shards.items()
    }
    name = str(context.node_config["node"])
    holding = Holding(name, hosted.data.x_train.shape[1:], counts)
    return Envelope(pack(holding), reply_to=envelope)


@app.train()
def train(envelope: Envelope, context: Context) -> Envelope:
    """Train the clients that are asked for and answer for them."""
    task = unpack(envelope.content, Task)
    folder = Path(str(context.node_config["home"])) / "memory"
    content = perform(task, tree_of(envelope.content), read(context, task.classes), folder)
    return Envelope(content, reply_to=envelope)


def perform(task: Task, received: Tree, hosted: Hosted, folder: Path) -> RecordDict:
    """What `train` does; memories lie in `folder`. Raises InputError where the task is none for this node."""
    if absent := sorted(set(task.clients) - hosted.shards.keys()):
        raise InputError(
            f"a task for client {absent[0]}",
            expected=f"one of the clients that live here, {sorted(hosted.shards)}",
            fix="start the training again; nodes are asked at its start which clients they host",
        )
    starting = _alive_s()
    plan = from_plain(task.plan, hosted.data, hosted.partition)
    site, folder = plan.site(), folder / print_of(task.plan)
    memories = {k: memory.read(folder, k, round) for k, round in task.remembered.items()}
    cohort = site.devices.in_order(task.clients)
    orders = {client: for_one(received, client) for client in cohort}
    with _measured() as joules:
        began = time.perf_counter()
        work = train_cohort(site, cohort, orders, memories, task.round)
        seconds = {"starting": starting, "training": time.perf_counter() - began}
    for client, tree in work.memories.items():
        memory.write(folder, client, task.round, tree, task.remembered.get(client, 0))
    samples = {client: site.devices.samples(client) for client in cohort}
    report = Report(task.round, samples, work.activity, work.losses, seconds, joules())
    return pack(report, one_reply(site.algorithm, work.replies, samples))


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


def read(context: Context, classes: int) -> Hosted:
    """The samples of a node's clients, from the file or folder that it was started with.

    Raises InputError where they are not sound.
    """
    path = Path(str(context.node_config["data"]))
    files = sorted(path.glob("client-*.npz")) if path.is_dir() else [path]
    if not files:
        raise InputError(
            f"{path}: no client-*.npz in it",
            expected="an .npz file, or a folder with one for each client: client-0.npz, client-1.npz",
            fix="name the device's own file with --data",
        )
    images, labels, shards, first, signs = [], [], {}, 0, set()
    for file in files:
        x, y, signed = load_own(file)
        signs.add(signed)
        images.append(x)
        labels.append(y)
        shards[_client(file, context)] = np.arange(first, first + len(y))
        first += len(y)
    if len({x.shape[1:] for x in images}) > 1 or len(signs) > 1:
        raise InputError(
            f"{path}: images of different shapes, or signed and not",
            expected="one shape and one kind of numbers for all clients",
            fix="prepare all of them the same way",
        )
    x, y = np.concatenate(images), np.concatenate(labels)
    data = Dataset("own", x, y, x[:1], y[:1], classes, source=str(path), sha256={}, signed=signed)
    for remark in remarks(data):
        logging.getLogger("flwr").warning("worth knowing: %s", remark)
    return Hosted(data, shards)


def _client(file: Path, context: Context) -> int:
    """The number in the file's name, or else the node's."""
    named = re.fullmatch(r"client-(\d{1,9})\.npz", file.name)
    return int(named[1] if named else context.node_config["client"])


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
