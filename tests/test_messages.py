"""Whatever a node answers, or a server asks, is taken, or refused in words; nobody else is harmed.

Messages are real ones, of tiny networks; they are spoilt in their bytes, their values and their tensors.
"""

import json
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from flwr.app import ConfigRecord, Message, RecordDict

from fedspike.algorithms import Scaffold
from fedspike.data import Dataset
from fedspike.errors import InputError
from fedspike.federation import tensor_bytes
from fedspike.federation.devices import Fleet
from fedspike.federation.guard import judge
from fedspike.federation.order import Answers, Order
from fedspike.federation.places.flower import messages
from fedspike.federation.places.flower.exchange import Answer
from fedspike.federation.places.flower.hosted import Hosted
from fedspike.federation.places.flower.messages import Holding, Task
from fedspike.federation.places.flower.node import perform, prepared
from fedspike.federation.places.flower.nodes import Nodes
from fedspike.federation.places.flower.server import Heard, where_it_went
from fedspike.federation.plan import Plan, plain
from fedspike.federation.rounds import State, order_for
from fedspike.learning import Backpropagation
from fedspike.networks import ANN, SNN, FullyConnected, Network
from fedspike.parts.optimisers import SGD
from fedspike.randomness import stream
from fedspike.records.schema import NodeRound
from fleet_in_process import InProcess
from fuzzing import spoilt, spoilt_bytes, withstands

HIDDEN, CLIENTS = 4, (0, 1)
PIXELS = np.linspace(0, 1, 12 * 9, dtype=np.float32).reshape(12, 3, 3)
LABELS = np.arange(12) % 3
DATA = Dataset("toy", PIXELS, LABELS, PIXELS, LABELS, classes=3, source="toy", sha256={})


def plan_of(network: Network) -> Plan:
    return Plan(
        network=network,
        data=DATA,
        fleet=Fleet(clients=3),
        learner=Backpropagation(None, SGD(0.1), batch_size=2),
        algorithm=Scaffold(),
        rounds=2,
    )


def asked(plan: Plan, folder: Path) -> tuple[Order, Hosted, Task, RecordDict, RecordDict]:
    """The first order, who is asked, the task with its content, and an honest answer for two clients."""
    site = plan.site()
    model = site.network.init(stream(0, "init"))
    order = order_for(plan, site, State(0, site.algorithm.start(model)), 1)
    shards = plan.devices().shards
    hosted = Hosted(DATA, {client: shards[client] for client in CLIENTS})
    task = Task(plain(plan), 3, 1, CLIENTS, {})
    content = messages.pack(task, messages.for_all({k: order.received[k] for k in CLIENTS}))
    return order, hosted, task, content, perform(task, content, hosted, folder)


def spoil(content: RecordDict, random: Random) -> RecordDict:
    """A message with another record, other values, other bytes or other tensors."""
    record = dict(content.config_records[messages.RECORD])
    what = random.choice(
        [0, 0, 0, 3, 3, 5, 6, 7] if messages.TENSORS in record else [0, 0, 3, 6, 7]
    )
    if what == 0:
        plain = msgspec.msgpack.decode(record[messages.MESSAGE], strict=False)
        try:
            record[messages.MESSAGE] = msgspec.msgpack.encode(spoilt(plain, random))
        except (
            OverflowError,
            RecursionError,
            ValueError,
        ):  # what has no form in MessagePack cannot be sent
            record[messages.MESSAGE] = b"\xc1"
    elif what == 3:
        key = random.choice(list(record))
        record[key] = spoilt_bytes(record[key], random)
    elif what == 5:
        tensors = tensor_bytes.unpack(record[messages.TENSORS], "-", "-")
        record[messages.TENSORS] = tensor_bytes.pack(other_tensors(tensors, random))
    elif what == 6:
        strange: list[Any] = [1, 0.5, "x", [1, 2], ["x"], b"", b"\x00" * 10**5]
        record[random.choice([*record, "more"])] = random.choice(strange)
    else:
        del record[random.choice(list(record))]
    name = messages.RECORD if random.random() > 0.02 else "other"
    return RecordDict({name: ConfigRecord(record)})


def other_tensors(tensors: dict[str, torch.Tensor], random: Random) -> dict[str, torch.Tensor]:
    name = random.choice(list(tensors))
    tensor = tensors.pop(name)
    changed = [
        tensor * torch.nan,
        tensor * 1e30,
        tensor - torch.inf,
        tensor.double(),
        tensor.half(),
        tensor.bfloat16(),
        tensor.int(),
        tensor > 0,
        tensor.unsqueeze(0),
        tensor.reshape(-1)[:1],
        tensor.reshape(-1)[:0],
        torch.zeros(10**5),
    ]
    other = random.choice(["", "/", "update", "0/update/x", "model/" + "x" * 5000, "\x1b[2J"])
    kept = random.choice([{name: random.choice(changed)}, {other: tensor}, {}])
    return tensors | kept


@pytest.fixture(scope="module")
def spiking(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return asked(
        plan_of(SNN(architecture=FullyConnected((HIDDEN,)), time_steps=5)),
        tmp_path_factory.mktemp("memories"),
    )


@pytest.mark.fuzz
def test_any_answer_is_its_nodes_own(spiking: Any) -> None:
    """Taken or rejected, and what is taken can be judged, timed and stored."""
    order, _, _, _, honest = spiking

    def read(content: RecordDict) -> None:
        heard = Heard(order)
        answer = Answer(7, 1.0, content)
        entry = {"node": "node-7", "clients": list(CLIENTS), "downlink_bytes": 0}
        entry |= heard.read(CLIENTS, answer)
        msgspec.json.decode(json.dumps(entry, allow_nan=False), type=NodeRound)
        reports = heard.reports
        where_it_went([answer], reports, 0.1, 1.0)
        activity = {k: own for report in reports.values() for k, own in report.activity.items()}
        losses = {k: loss for report in reports.values() for k, loss in report.losses.items()}
        answers = Answers({7: CLIENTS}, heard.replies, activity, losses, {}, 0, 0)
        verdict = judge(order, answers)
        for work in activity.values():
            rates = work.firing_rates(order.site.network.operations())
            assert all(0 <= rate <= 1 for rate in rates.values())
        if not verdict.accepted:
            assert "error" in entry or verdict.rejections
            raise InputError("rejected", expected="", fix="")
        assert abs(answers.mean_loss(verdict.clients)) < 1e31

    read(honest)
    withstands(read, lambda random: spoil(honest, random))


@pytest.mark.fuzz
def test_any_order_is_taken_or_refused(tmp_path: Path) -> None:
    _, hosted, _, content, _ = asked(plan_of(ANN(FullyConnected((HIDDEN,)))), tmp_path)

    def read(content: RecordDict) -> None:
        prepared(messages.unpack(content, Task), content, hosted)

    read(content)
    withstands(read, lambda random: spoil(content, random))


class Told(InProcess):
    """A grid with one node, which answers every question with the same content."""

    content = RecordDict()

    def get_node_ids(self) -> list[int]:
        return [5]

    def push_messages(self, pushed: Any) -> list[str]:
        self.questions = list(pushed)
        for message in self.questions:
            message.metadata.__dict__["_message_id"] = "1"
        return ["1" for _ in self.questions]

    def pull_messages(self, message_ids: Any) -> list[Message]:
        del message_ids
        return [Message(self.content, reply_to=question) for question in self.questions]


@pytest.mark.fuzz
def test_any_holding_is_its_nodes_own(tmp_path: Path) -> None:
    grid = Told({})
    honest = messages.pack(Holding("node-5", (3, 3), {0: (4, 4, 4), 1: (1, 0, 7)}))

    def read(content: RecordDict) -> None:
        nodes, grid.content = Nodes(grid, tmp_path, 3, (3, 3)), content
        nodes.meet()
        for counts in nodes._held.values():
            assert len(counts) == 3
            assert 0 < sum(counts) < 2**31
        if nodes.absent():
            json.dumps(nodes.absent())
            raise InputError("refused", expected="", fix="")
        assert set(nodes.hosts) == set(nodes._held)

    read(honest)
    withstands(read, lambda random: spoil(honest, random))
