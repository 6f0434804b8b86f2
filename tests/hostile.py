"""A fleet in one process of which one node answers what it likes, with Flower's server out of the way.

The honest nodes trained once; what they answered is handed in again in every round. What the server's side
does with an answer is the real thing: taking it out of Flower's hands, reading, judging, joining, testing.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, NoReturn

import msgspec
import pytest
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.app.error import Error
from flwr.app.message import make_message, remove_content_from_message
from flwr.app.metadata import Metadata
from flwr.common.serde import message_to_proto
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedResponse,
    ObjectTree,
    PullObjectRequest,
    PullObjectResponse,
)
from flwr.proto.message_pb2 import Message as Told
from flwr.proto.node_pb2 import NodeInfo
from flwr.proto.runtime_pb2 import (
    GetNodesResponse,
    PullAppMessagesRequest,
    PullAppMessagesResponse,
    PushAppMessagesRequest,
    PushAppMessagesResponse,
)
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
from flwr.supercore.run import Run as FlowersRun
from flwr.supercore.runtime import RuntimeHttpClient

from fedspike.algorithms import Tree
from fedspike.deploy import runtime_client
from fedspike.deploy.runtime_client import OwnersGrid
from fedspike.experiment.sweep import Experiment
from fedspike.federation import tensor_bytes
from fedspike.federation.order import Answers, Order, Reply
from fedspike.federation.places.flower import exchange, messages, nodes, server
from fedspike.federation.places.flower.messages import Report
from fedspike.federation.places.flower.nodes import Nodes
from fedspike.federation.places.flower.server import Flower
from fedspike.federation.rounds import Round, rounds
from fleet_in_process import dealt_out
from fuzzing import spoilt_bytes

HOSTILE, DEADLINE_S = 1, 1.0
NEVER = 10**9


class Clock:
    """A clock that goes on when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    time = monotonic

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Parcel:
    """An answer as Flower's server hands it on: what is said of it, its parts (None: lost), and how often
    each part is asked for before it is there."""

    told: Told
    tree: ObjectTree
    parts: dict[str, bytes | None]
    late: int = 0


def parcel(node: int, number: str, what: RecordDict | Error, **about: Any) -> Parcel:
    """An answer to the message of this number, in order unless `about` it something else is said."""
    usual = {"run_id": 1, "message_id": "", "src_node_id": node, "dst_node_id": 1}
    usual |= {"reply_to_message_id": number, "group_id": "1", "created_at": 1.8e9}
    usual |= {"ttl": DEADLINE_S, "message_type": "train"}
    content = what if isinstance(what, RecordDict) else None
    error = what if isinstance(what, Error) else None
    message = make_message(Metadata(**{**usual, **about}), content, error)
    tree = get_object_tree(message)
    message.metadata.__dict__["_message_id"] = tree.object_id
    told = message_to_proto(remove_content_from_message(message))
    parts = {name: each.deflate() for name, each in get_all_nested_objects(message).items()}
    return Parcel(told, tree, dict(parts))


@dataclass
class Server(RuntimeHttpClient):
    """Flower's server in the place of a network. `answers` makes what a node hands in to a message."""

    answers: Callable[[int, str, str], list[Parcel]]
    online: list[int]
    asked: dict[str, tuple[int, str]] = field(default_factory=dict)
    parcels: dict[str, Parcel] = field(default_factory=dict)
    confirmed: set[str] = field(default_factory=set)

    def GetNodes(self, _: object) -> GetNodesResponse:
        return GetNodesResponse(nodes=[NodeInfo(node_id=node) for node in self.online])

    def PushMessages(self, request: PushAppMessagesRequest) -> PushAppMessagesResponse:
        self.parcels, self.confirmed = {}, set()
        self.asked = {
            str(number): (each.metadata.dst_node_id, each.metadata.message_type)
            for number, each in enumerate(request.messages_list)
        }
        return PushAppMessagesResponse(message_ids=list(self.asked))

    def PushObject(self, request: object) -> NoReturn:
        raise AssertionError(request)

    def PullMessages(self, request: PullAppMessagesRequest) -> PullAppMessagesResponse:
        new = []
        for number in request.message_ids:
            if number in self.asked:
                node, kind = self.asked.pop(number)
                new += self.answers(node, number, kind)
        for each in new:
            self.parcels |= dict.fromkeys(each.parts, each)
        return PullAppMessagesResponse(
            messages_list=[each.told for each in new],
            message_object_trees=[each.tree for each in new],
        )

    def PullObject(self, request: PullObjectRequest) -> PullObjectResponse:
        of = self.parcels.get(request.object_id)
        content = of.parts[request.object_id] if of else None
        if of is None or content is None:
            return PullObjectResponse(object_found=False)
        of.late -= 1
        there = of.late < 0
        return PullObjectResponse(
            object_found=True, object_available=there, object_content=content if there else b""
        )

    def ConfirmMessageReceived(self, request: Any) -> ConfirmMessageReceivedResponse:
        self.confirmed.add(request.message_object_id)
        return ConfirmMessageReceivedResponse()


class Overheard:
    """A place, with the last order and its answers."""

    order: Order
    answers: Answers

    def __init__(self, place: Flower) -> None:
        self.place = place

    def work(self, order: Order) -> Answers:
        self.order = order
        self.answers = self.place.work(order)
        return self.answers


class World:
    """A fleet of which node `HOSTILE` answers an order with parcels; its model without and with that node."""

    def __init__(self, experiment: Experiment, folder: Path, count: int) -> None:
        self.plan = experiment.runs[0].plan
        self.honest: dict[tuple[int, str], RecordDict] = {}
        self.parcels: dict[tuple[int, str, str], Parcel] = {}
        grid = dealt_out(experiment, folder, count)

        def overhear(node: int, message: Message) -> Message:
            self.honest[node, message.metadata.message_type] = message.content
            return message

        grid.meddle = overhear
        met = Nodes(grid, folder, 3, (3, 3), grid.registered)
        met.wait_for(self.plan.fleet.clients, lambda _: None)
        next(rounds(self.plan, Flower(met, 60.0)))
        self.server = Server(self._honest, sorted(grid.devices))
        self.grid = OwnersGrid(self.server, "-")
        self.grid.set_run(FlowersRun.create_empty(1))
        self.clock = Clock()
        self.nodes = Nodes(self.grid, folder, 3, (3, 3), grid.registered)
        self.nodes.wait_for(self.plan.fleet.clients, lambda _: None)
        self.place = Overheard(Flower(self.nodes, DEADLINE_S))
        self.with_it = self.after(lambda number: [self.as_it_should(number)]).state.server
        gone = Error(code=5, reason="Node Unavailable")
        self.without = self.after(lambda number: [parcel(HOSTILE, number, gone)]).state.server
        assert not same(self.with_it, self.without)

    def _honest(self, node: int, number: str, kind: str) -> list[Parcel]:
        key = node, number, kind
        if key not in self.parcels:
            self.parcels[key] = parcel(node, number, self.honest[node, kind], message_type=kind)
        return [self.parcels[key]]

    @property
    def content(self) -> RecordDict:
        """What the hostile node would answer if it were honest."""
        return self.honest[HOSTILE, "train"]

    def as_it_should(self, number: str) -> Parcel:
        """The same as Flower hands it on."""
        return parcel(HOSTILE, number, self.content)

    def after(self, answer: Callable[[str], list[Parcel]]) -> Round:
        """The round in which the hostile node answers so."""

        def answers(node: int, number: str, kind: str) -> list[Parcel]:
            if (node, kind) == (HOSTILE, "train"):
                return answer(number)
            return self._honest(node, number, kind)

        self.server.answers = answers
        with in_short(self.clock):
            return next(rounds(self.plan, self.place))

    def told_plainly(self, reply: Reply) -> RecordDict:
        """An answer that says nothing but what could be read out of another."""
        told, answers = self.place.answers, dict(reply.samples)
        report = Report(
            reply.round,
            answers,
            {client: told.activity[client] for client in answers},
            {client: told.losses[client] for client in answers},
            {"training": 0.0},
            {},
        )
        return messages.pack(report, reply.tree)


def same(one: Tree, other: Tree) -> bool:
    """Whether two trees have the same bits."""
    return one.keys() == other.keys() and all(
        own.keys() == other[group].keys()
        and all(torch.equal(tensor, other[group][name]) for name, tensor in own.items())
        for group, own in one.items()
    )


@contextmanager
def in_short(clock: Clock) -> Iterator[None]:
    """Meanwhile nobody waits for what never comes, and orders, which nobody reads, are empty."""
    nothing = RecordDict()
    with pytest.MonkeyPatch.context() as patch:
        for module in (runtime_client, exchange, nodes, server):
            patch.setattr(module, "time", clock)
        patch.setattr(server, "pack", lambda *_: nothing)
        yield


def disguised(content: RecordDict, random: Random) -> RecordDict:
    """The same said in another order, with other times, and with more beside it."""
    record: dict[str, Any] = dict(content.config_records[messages.RECORD])
    report = msgspec.msgpack.decode(record[messages.MESSAGE], strict=False)
    report["seconds"] = {"training": random.random() * 1e9, "x": 0.0}
    report["joules"] = {"a meter": random.random() * 1e15}
    tensors = tensor_bytes.unpack(record[messages.TENSORS], "-", "-")
    record[messages.MESSAGE] = msgspec.msgpack.encode(shuffled(report, random))
    record[messages.TENSORS] = tensor_bytes.pack(shuffled(tensors, random))
    record["more"] = random.choice([1, "x" * 1000, [0.5], b""])
    return RecordDict({messages.RECORD: ConfigRecord(shuffled(record, random))})


def shuffled(table: dict[Any, Any], random: Random) -> dict[Any, Any]:
    """Its entries in another order, and those in its tables."""
    return {
        key: shuffled(table[key], random) if isinstance(table[key], dict) else table[key]
        for key in random.sample(list(table), len(table))
    }


def other_records(content: RecordDict, random: Random) -> RecordDict:
    """Records of other kinds, other names and other numbers of them."""
    record = content.config_records[messages.RECORD]
    metric: Any = random.choice([1, -0.5, float("nan"), [2**60] * 9])
    kinds: list[Any] = [
        ArrayRecord({"a": random_array(random)}),
        MetricRecord({"m": metric}),
        ConfigRecord({}),
        ConfigRecord({messages.MESSAGE: b"\x00" * random.choice([0, 1, 10**6])}),
        record,
    ]
    names = [messages.RECORD, "", "x" * 1000, "fedspike.", "\x00"]
    chosen = {random.choice(names): random.choice(kinds) for _ in range(random.randint(0, 4))}
    return RecordDict(chosen if chosen != {messages.RECORD: record} else {})


def random_array(random: Random) -> Array:
    """One that is none."""
    kind = random.choice(["float32", "<f8", "object", "x", ""])
    shape = random.choice([(2,), (2**40, 2**20), (-1,), ()])
    return Array(kind, shape, random.choice(["numpy.ndarray", "pickle", ""]), random.randbytes(8))


def spoilt_parcel(world: World, number: str, content: RecordDict, random: Random) -> list[Parcel]:
    """What Flower's server might hand on, and what it never would."""
    given = parcel(HOSTILE, number, content)
    about: dict[str, list[Any]] = {
        "reply_to_message_id": ["", "1", "9", "x" * 10**5],
        "src_node_id": [0, 2, 2**64 - 1],
        "dst_node_id": [0, 7],
        "run_id": [0, 2**64 - 1],
        "created_at": [float("nan"), float("-inf"), -1.0, 1e300],
        "ttl": [float("nan"), float("inf"), -1.0],
        "group_id": ["2", "x" * 10**5],
        "message_type": ["query", "evaluate"],
    }
    key = random.choice(list(about))
    part = random.choice(list(given.parts))
    what = random.randrange(12)
    if what == 0:
        return [parcel(HOSTILE, number, content, **{key: random.choice(about[key])})]
    if what == 1:
        setattr(given.told.metadata, key, random.choice(about[key]))
    elif what == 2:
        words = random.choice(["", "x" * 10**5, "\x1b[2J\n", "\x00", "{}"])
        return [parcel(HOSTILE, number, Error(random.choice([0, 5, -1, 2**31]), words))]
    elif what == 3:
        given.parts[part] = spoilt_bytes(given.parts[part] or b"", random)
    elif what == 4:
        given.parts[part] = given.parts[random.choice(list(given.parts))]
    elif what == 5:
        kind = random.choice([b"Array", b"Message", b"MetricRecord", b"Error", b"os.system", b""])
        _, _, rest = (given.parts[part] or b"").partition(b" ")
        given.parts[part] = kind + b" " + rest
    elif what == 6:
        given.parts[part] = None
    elif what == 7:
        given.late = random.choice([1, 2, 3, 5, 20, NEVER])
    elif what == 8:
        deepest = given.tree
        for _ in range(random.choice([1, 2, 50])):
            deepest = deepest.children.add(object_id=random.choice([part, "x", ""]))
    elif what == 9:
        del given.tree.children[:]
    elif what == 10:
        return [given, *spoilt_parcel(world, number, content, random)]
    else:
        return [*spoilt_parcel(world, number, content, random), given]
    return [given]
