"""A fleet in one process of which some nodes answer what they like, with Flower's server out of the way.

The honest nodes trained once; what they answered is handed in again in every round. What the server's side
does with an answer is the real thing: taking it out of Flower's hands, reading, judging, joining, testing.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
from flwr.app import Message, MessageType, RecordDict
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
from fedspike.federation.order import Answers, Order, Reply
from fedspike.federation.places.flower import exchange, messages, nodes, server
from fedspike.federation.places.flower.messages import Report
from fedspike.federation.places.flower.nodes import Nodes
from fedspike.federation.places.flower.server import Flower
from fedspike.federation.rounds import Round, rounds
from fleet_in_process import dealt_out

DEADLINE_S = 1.0
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


@dataclass(repr=False)
class Parcel:
    """An answer as Flower's server hands it on: what is said of it, its parts (None: lost), and how often
    each part is asked for before it is there."""

    told: Told
    tree: ObjectTree
    parts: dict[str, bytes | None]
    late: int = 0

    def __repr__(self) -> str:
        """Short enough to be read where a test fails."""
        parts = [part and part[:200] for part in self.parts.values()]
        return f"Parcel(late={self.late}, parts={parts!r:.1500}, told={self.told!s:.500})"


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
    """A fleet of which the first nodes, the `hostile`, answer an order with parcels of their own."""

    def __init__(self, experiment: Experiment, folder: Path, count: int, hostile: int) -> None:
        self.plan = experiment.runs[0].plan
        self.hostile = range(1, hostile + 1)
        self.honest: dict[tuple[int, str], RecordDict] = {}
        self.parcels: dict[tuple[int, str, str], Parcel] = {}
        # Hostile node -> the number of the message that it answers; the same in every round.
        self.numbers: dict[int, str] = {}
        grid = dealt_out(experiment, folder, count)

        def overhear(node: int, message: Message) -> Message:
            self.honest[node, message.metadata.message_type] = message.content
            return message

        grid.meddle = overhear
        form = self.plan.data.classes, self.plan.data.x_train.shape[1:]
        met = Nodes(grid, folder, *form, grid.registered)
        met.wait_for(self.plan.fleet.clients, lambda _: None)
        next(rounds(self.plan, Flower(met, 60.0)))
        self.server = Server(self._honest, sorted(grid.devices))
        self.grid = OwnersGrid(self.server, "-")
        self.grid.set_run(FlowersRun.create_empty(1))
        self.clock = Clock()
        self.nodes = Nodes(self.grid, folder, *form, grid.registered)
        self.nodes.wait_for(self.plan.fleet.clients, lambda _: None)
        with_them = self.after(self._as_they_should).state.server
        assert not same(with_them, self.after(self.silent).state.server)

    def _honest(self, node: int, number: str, kind: str) -> list[Parcel]:
        key = node, number, kind
        if key not in self.parcels:
            self.parcels[key] = parcel(node, number, self.honest[node, kind], message_type=kind)
        return [self.parcels[key]]

    def _as_they_should(self, node: int, number: str) -> list[Parcel]:
        self.numbers[node] = number
        return self._honest(node, number, MessageType.TRAIN)

    def content(self, node: int) -> RecordDict:
        """What a hostile node would answer if it were honest."""
        return self.honest[node, MessageType.TRAIN]

    @staticmethod
    def silent(node: int, number: str) -> list[Parcel]:
        """What Flower's server hands in for a node that is gone."""
        return [parcel(node, number, Error(code=5, reason="Node Unavailable"))]

    def after(self, answer: Callable[[int, str], list[Parcel]]) -> Round:
        """The round in which the hostile nodes answer so."""

        def answers(node: int, number: str, kind: str) -> list[Parcel]:
            if node in self.hostile and kind == MessageType.TRAIN:
                return answer(node, number)
            return self._honest(node, number, kind)

        self.server.answers = answers
        self.place = Overheard(Flower(self.nodes, DEADLINE_S))
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
        patch.setattr(server, "plain", lambda *_: {})
        yield
