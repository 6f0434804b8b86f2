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
from flwr.app.error import Error

from fedspike.algorithms import FedAvg, Scaffold
from fedspike.cli.progress import refusals
from fedspike.data import Dataset
from fedspike.errors import InputError
from fedspike.experiment.document import Document
from fedspike.experiment.sweep import Experiment, Run
from fedspike.federation import tensor_bytes
from fedspike.federation.devices import Fleet
from fedspike.federation.guard import judge
from fedspike.federation.order import Answers, Order
from fedspike.federation.places.flower import absent, messages
from fedspike.federation.places.flower.exchange import Answer, Post
from fedspike.federation.places.flower.hosted import Hosted
from fedspike.federation.places.flower.messages import Holding, Question, Task
from fedspike.federation.places.flower.node import perform, prepared
from fedspike.federation.places.flower.nodes import NO_LONGER, Nodes, Registered
from fedspike.federation.places.flower.server import Flower, Heard, Part, where_it_went
from fedspike.federation.plan import Plan
from fedspike.federation.rounds import order_for, rounds
from fedspike.federation.sent_plan import plain
from fedspike.federation.state import State
from fedspike.learning import Backpropagation
from fedspike.networks import ANN, SNN, FullyConnected, Network
from fedspike.parts.optimisers import SGD
from fedspike.randomness import stream
from fedspike.records import writer
from fedspike.records.schema import NodeRound
from fedspike.remedies import EFSign
from fleet_in_process import InProcess, dealt_out
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
    task = Task(plain(plan), 3, (3, 3), 1, CLIENTS, {}, dict.fromkeys(CLIENTS, 4))
    content = messages.pack(task, messages.for_all({k: order.received[k] for k in CLIENTS}))
    return order, hosted, task, content, perform(task, content, hosted, folder)


def spoil(content: RecordDict, random: Random) -> RecordDict:
    """A message with another record, other values, other bytes or other tensors."""
    record: dict[str, Any] = dict(content.config_records[messages.RECORD])
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
        heard, part = Heard(), Part(7, order, CLIENTS, 0)
        entry = {"node": "node-7", "clients": list(CLIENTS), "downlink_bytes": 0}
        heard.read(order, part, Answer(7, 1.0, content))
        entry |= heard.entries[""]
        msgspec.json.decode(json.dumps(entry, allow_nan=False), type=NodeRound)
        where_it_went(heard.reports, 0.1, 1.0)
        reports = [report for _, report in heard.reports]
        activity = {k: own for report in reports for k, own in report.activity.items()}
        losses = {k: loss for report in reports for k, loss in report.losses.items()}
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


def test_bytes_that_no_client_can_have_packed_are_their_nodes_own(tmp_path: Path) -> None:
    """One too few of client 1: the answer is not readable; as it was sent it counts, to the byte."""
    network = ANN(FullyConnected((HIDDEN,)))
    packing = {"algorithm": FedAvg(), "remedies": (EFSign(),)}
    plan = msgspec.structs.replace(plan_of(network), **packing)
    order, _, _, _, honest = asked(plan, tmp_path)
    record: dict[str, Any] = dict(honest.config_records[messages.RECORD])
    tensors = tensor_bytes.unpack(record[messages.TENSORS], "-", "-")
    tensors["1/update/bytes"] = tensors["1/update/bytes"][:-1]
    record[messages.TENSORS] = tensor_bytes.pack(tensors)
    for content, reasons in (
        (honest, []),
        (RecordDict({"fedspike": ConfigRecord(record)}), ["not readable"]),
    ):
        heard = Heard()
        heard.read(order, Part(7, order, CLIENTS, 0), Answer(7, 1.0, content))
        verdict = judge(order, Answers({7: CLIENTS}, heard.replies, {}, {}, {}, 0, 0))
        assert [rejection.reason for rejection in verdict.rejections] == reasons
        assert verdict.clients == (() if reasons else CLIENTS)
        if reasons:
            assert "1 bytes too few" in heard.entries[""]["error"]
        else:  # 4 x 9 + 4 + 3 x 4 + 3 signs, and a size of each tensor
            assert heard.entries[""]["uplink_bytes"] == 2 * (5 + 1 + 2 + 1 + 4 * 4)


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
    grid = Told({}, {})
    honest = messages.pack(Holding((3, 3), {0: (4, 4, 4), 1: (1, 0, 7)}))
    members = {5: Registered("node-5", frozenset((0, 1)))}

    def read(content: RecordDict) -> None:
        nodes, grid.content = Nodes(grid, tmp_path, 3, (3, 3), lambda: members), content
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


def toy(network: Network) -> Experiment:
    return Experiment("toy", (Run("toy", plan_of(network)),), Document("the plan", "", {}))


class Overheard:
    """Nodes, with the last order that they got."""

    def __init__(self, place: Flower) -> None:
        self.place = place
        self.order: Order

    def work(self, order: Order) -> Answers:
        self.order = order
        return self.place.work(order)


def test_spoilt_answers_leave_the_model_of_a_run_without_their_node(tmp_path: Path) -> None:
    """To the bit, and the other nodes' rounds go on; each spoilt answer is in its round's record."""
    experiment, random = toy(ANN(FullyConnected((HIDDEN,)))), Random(0)
    plan = experiment.runs[0].plan
    grid = dealt_out(experiment, tmp_path, nodes=3)
    nodes = Nodes(grid, tmp_path, 3, (3, 3), grid.registered)
    nodes.wait_for(plan.fleet.clients, lambda _: None)
    place = Overheard(Flower(nodes, 60.0))

    def silent(node: int, message: Message) -> Message:
        return gone(message) if node == 2 else message

    def unreadable(node: int, message: Message) -> Message:
        while node == 2 and message.metadata.message_type == "train":
            content = spoil(message.content, random)
            heard = Heard()
            heard.read(place.order, Part(2, place.order, [1], 0), Answer(2, 1.0, content))
            if "error" in heard.entries[""]:
                message.content = content
                break
        return message

    grid.meddle = silent
    *_, last = rounds(plan, place)
    expected = last.state.model
    grid.meddle = unreadable
    for _ in range(20):
        happened = list(rounds(plan, place))
        assert {r.rejections[0].reason for r in happened} <= {"not readable", "not finite"}
        model = happened[-1].state.model
        assert all(torch.equal(model[name], expected[name]) for name in expected)
        record = writer.round_record(happened[0])
        assert record.nodes[1].error
        assert "node-2: " in " ".join(refusals(record))


def gone(message: Message) -> Message:
    """What Flower answers in the place of a node that it has given up."""
    message.metadata.__dict__["_message_id"] = message.metadata.reply_to_message_id
    return Message(Error(code=5, reason="Node Unavailable"), reply_to=message)


def test_a_refused_node_is_named_and_takes_part_when_it_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wrong labels and two files for a client at the start, and data that are spoilt in between."""
    experiment = toy(ANN(FullyConnected((HIDDEN,))))
    (run,) = experiment.runs
    grid = dealt_out(experiment, tmp_path, nodes=3)
    monkeypatch.setattr("fedspike.federation.places.flower.nodes.AGAIN_AFTER_S", 0.0)
    monkeypatch.setattr("fedspike.federation.places.flower.nodes.POLL_S", 0.0)
    file = tmp_path / "node-2" / "data" / "client-1.npz"
    good = file.read_bytes()
    np.savez(file, x_train=PIXELS[:2], y_train=np.array([0, 7]), axes="sample height width")
    second = tmp_path / "node-3" / "data" / "client-02.npz"
    second.write_bytes(good)
    told: list[str] = []

    def say(text: str) -> None:
        told.append(text)
        if "node-3 takes" in text or "node-3 does" in text:
            published = absent.read(tmp_path)
            assert published.waiting_for == [1, 2]
            assert "labels from 0 to 7" in published.refused["node-2"].reason
            file.write_bytes(good)
            second.unlink()

    nodes = Nodes(grid, tmp_path, 3, (3, 3), grid.registered)
    nodes.wait_for(run.plan.fleet.clients, say)
    assert any("node-2" in text and "labels from 0 to 7" in text for text in told)
    assert any("node-3" in text and "client-02.npz" in text for text in told)
    assert nodes.absent() == []
    happening = rounds(run.plan, Flower(nodes, 60.0))
    file.write_bytes(b"")
    first = next(happening)
    assert (first.missing, first.rejections) == ((1,), ())
    assert "client-1.npz" in first.nodes[1]["error"]
    file.write_bytes(good)
    assert next(happening).missing == ()


def test_a_client_belongs_to_its_key_whoever_claims_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while its node is away, and from the node's own mouth; a key that is revoked is out at once."""
    monkeypatch.setattr("fedspike.federation.places.flower.nodes.AGAIN_AFTER_S", 0.0)
    grid = dealt_out(toy(ANN(FullyConnected((HIDDEN,)))), tmp_path, nodes=3)
    honest = grid.devices.pop(1)
    claim = messages.pack(Holding((3, 3), {0: (4, 4, 4), 2: (4, 4, 4)}))

    def greedy(node: int, message: Message) -> Message:
        if node == 3:
            message.content = claim
        return message

    grid.meddle = greedy
    nodes = Nodes(grid, tmp_path, 3, (3, 3), grid.registered)
    nodes.meet()
    grid.devices[1] = honest
    nodes.meet()
    assert nodes.hosts == {0: 1, 1: 2}
    (entry,) = nodes.absent()
    assert entry["node"] == "node-3"
    assert "samples of the clients 0; expected those that belong to its key, 2" in entry["error"]
    grid.meddle = InProcess.unchanged
    other = tmp_path / "node-3" / "data" / "client-0.npz"
    other.write_bytes((tmp_path / "node-1" / "data" / "client-0.npz").read_bytes())
    nodes.meet()
    assert "samples of the clients 0; expected those of this" in nodes.absent()[0]["error"]
    other.unlink()
    nodes.meet()
    assert nodes.hosting([0, 1, 2]) == {1: [0], 2: [1], 3: [2]}
    grid.members = {n: own for n, own in grid.members.items() if n != 2}
    assert nodes.hosting([0, 1, 2]) == {1: [0], 3: [2]}
    assert nodes.name(2) == "node-2"


def test_an_answer_of_a_key_that_was_revoked_meanwhile_does_not_count(tmp_path: Path) -> None:
    experiment = toy(ANN(FullyConnected((HIDDEN,))))
    grid = dealt_out(experiment, tmp_path, nodes=3)
    nodes = Nodes(grid, tmp_path, 3, (3, 3), grid.registered)
    nodes.wait_for(experiment.runs[0].plan.fleet.clients, lambda _: None)
    happening = rounds(experiment.runs[0].plan, Flower(nodes, 60.0))

    def revoked(node: int, message: Message) -> Message:
        if node == 2:
            grid.members = {n: own for n, own in grid.members.items() if n != node}
        return message

    grid.meddle = revoked
    first = next(happening)
    assert first.missing == (1,)
    assert first.nodes[1]["error"] == NO_LONGER
    assert [entry["node"] for entry in next(happening).nodes] == ["node-1", "node-3"]


def test_an_answer_that_flower_cannot_read_is_its_nodes_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor do answers to nothing, and second ones, disturb the others."""
    experiment = toy(ANN(FullyConnected((HIDDEN,))))
    grid = dealt_out(experiment, tmp_path, nodes=3)
    pull = grid.pull_messages

    def damaged(message_ids: Any) -> list[Message]:
        if any(number.startswith("2-") for number in message_ids):
            raise MemoryError("an array of terabytes")
        replies = list(pull(message_ids))
        return replies * 2

    monkeypatch.setattr(grid, "pull_messages", damaged)
    post = Post(grid)
    asked = messages.pack(Question(3, (3, 3), (0,)))
    post.send(dict.fromkeys((1, 2, 3), asked), "query", 0, 60.0)
    answers = {answer.node: answer for answer in post.fetch()}
    assert sorted(answers) == [1, 2, 3]
    assert "terabytes" in answers[2].error
    assert answers[1].content
    assert answers[3].content
    assert not post.waiting
