"""A registered node that keeps to no rule, over real sockets: it speaks for itself, and leaves no trace."""

import math
import os
import sqlite3
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import httpx
import numpy as np
import pytest
from flwr.app import ConfigRecord, Message, MessageType, RecordDict
from flwr.app.message import remove_content_from_message
from flwr.cli.build import build_fab_from_files
from flwr.common.serde import message_to_proto
from flwr.proto.control_pb2 import StartRunRequest
from flwr.proto.fab_pb2 import Fab
from flwr.proto.fleet_pb2 import PushMessagesRequest
from flwr.proto.message_pb2 import Message as ProtoMessage
from flwr.proto.message_pb2 import Metadata as ProtoMetadata
from flwr.proto.message_pb2 import ObjectTree, PullObjectRequest, PullObjectResponse
from flwr.proto.node_pb2 import Node, NodeInfo
from flwr.proto.runtime_pb2 import GetNodesResponse, PullAppMessagesResponse
from flwr.supercore.inflatable.inflatable_object import get_object_tree
from flwr.supercore.inflatable.inflatable_utils import push_object_contents_from_iterable
from flwr.supercore.run import Run
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supercore.task_identity import TaskIdentity

from fedspike.cli import main
from fedspike.deploy import control, flower, letterbox
from fedspike.deploy import line as line_inside
from fedspike.deploy.control_client import APP_TOML, connected
from fedspike.deploy.folder import FleetFolder, NodeFolder
from fedspike.deploy.line import Line
from fedspike.deploy.runtime_client import OwnersGrid, grid_of_a_training
from fedspike.federation.places.flower import messages
from fedspike.federation.places.flower.node import Device


class Fleet:
    """A server that runs, a training that was started, a node that keeps to the rules and a bad one."""

    def __init__(self, folder: FleetFolder) -> None:
        self.folder = folder
        control.register(folder)
        with connected(folder) as it:
            self.run = it.start()
        self.grid: OwnersGrid = grid_of_a_training(folder)
        numbers = {node.name: number for number, node in control.registered(folder).items()}
        self.good, self.bad = numbers["node-0"], numbers["node-1"]

    def node(self, number: int) -> NodeFolder:
        return NodeFolder(self.folder.path / "nodes" / f"node-{number}")

    def ask(self, node: int, ttl: float = 60.0) -> str:
        """Send a message to a node; its number."""
        TaskIdentity.node_id, TaskIdentity.run_id = 1, self.run
        (number,) = self.grid.push_messages(
            [Message(something(), node, MessageType.TRAIN, ttl=ttl)]
        )
        return number

    def stored(self) -> int:
        """Bytes of messages in the server's store."""
        with closing(sqlite3.connect(self.folder.server / "flower.db")) as database:
            (size,) = database.execute("SELECT SUM(LENGTH(content)) FROM objects").fetchone()
        return size or 0


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    home = tmp_path_factory.mktemp("hostile") / "fleet"
    options = ["--nodes", "2", "--set", "data.kind=fashion-mnist-sample", "--port"]
    assert main(["fleet", "init", str(home), "fleet", *options, str(flower.free_port())]) == 0
    with (home / "log").open("ab", buffering=0) as log, flower.serving(FleetFolder(home), log):
        fleet = Fleet(FleetFolder(home))
        yield fleet
        fleet.grid.close()


def something(size: int = 16) -> RecordDict:
    return RecordDict({"a": ConfigRecord({"b": os.urandom(size)})})


def handed_in(reply: Message, node: int) -> PushMessagesRequest:
    """What a node that keeps to the rules hands in."""
    reply.metadata.__dict__["_message_id"] = reply.object_id
    return PushMessagesRequest(
        node=Node(node_id=node),
        messages_list=[message_to_proto(remove_content_from_message(reply))],
        message_object_trees=[get_object_tree(reply)],
        clientapp_runtime_list=[1.0],
    )


def about(field: str, value: Any) -> Callable[[Fleet, PushMessagesRequest], None]:
    return lambda _, request: setattr(request.messages_list[0].metadata, field, value)


def as_the_server(fleet: Fleet, request: PushMessagesRequest) -> None:
    """An order to the other node."""
    told = request.messages_list[0].metadata
    told.src_node_id, told.dst_node_id, told.reply_to_message_id = 1, fleet.good, ""


def as_the_other(fleet: Fleet, request: PushMessagesRequest) -> None:
    """An answer to what the other node was asked."""
    told = request.messages_list[0].metadata
    told.reply_to_message_id, told.src_node_id = fleet.ask(fleet.good), fleet.good


def with_more_parts(_: Fleet, request: PushMessagesRequest) -> None:
    for _number in range(letterbox.MOST_PARTS):
        request.message_object_trees[0].children.add(object_id=os.urandom(32).hex())


def twice(_: Fleet, request: PushMessagesRequest) -> None:
    request.messages_list.append(request.messages_list[0])


def with_other_parts(_: Fleet, request: PushMessagesRequest) -> None:
    request.message_object_trees[0].CopyFrom(ObjectTree(object_id=os.urandom(32).hex()))


def with_long_words(_: Fleet, request: PushMessagesRequest) -> None:
    request.messages_list[0].error.reason = "x" * letterbox.MOST_TOLD


def never(_: Fleet, request: PushMessagesRequest) -> None:
    request.clientapp_runtime_list[0] = math.nan


HARMS: dict[str, Callable[[Fleet, PushMessagesRequest], None]] = {
    "an order in the server's name": as_the_server,
    "an answer in another node's name": as_the_other,
    "an answer to nothing": about("reply_to_message_id", ""),
    "an answer to a node": about("dst_node_id", 7),
    "an answer of many parts": with_more_parts,
    "rubbish under an answer's name": with_other_parts,
    "two answers at once": twice,
    "long words": with_long_words,
    "a time that is none": about("created_at", math.nan),
    "a time to live that is none": about("ttl", math.inf),
    "work that took no time that there is": never,
}


def test_a_node_hands_in_answers_of_its_own_alone(fleet: Fleet) -> None:
    """Each harm is refused at once, without a word stored; then its own answer is taken, once."""
    with Line(fleet.node(0)) as other, Line(fleet.node(1)) as line:
        number, before = fleet.ask(fleet.bad), fleet.stored()
        asked = line.pull()
        assert asked is not None
        reply = Message(something(), reply_to=asked)
        for name, spoil in HARMS.items():
            request = handed_in(reply, fleet.bad)
            spoil(fleet, request)
            with pytest.raises(httpx.HTTPStatusError) as refused:
                line._client.PushMessages(request)
            assert refused.value.response.status_code == 400, name
        assert fleet.stored() <= before + 3 * 2000  # of what the other was asked
        line.push(reply, 1.0)
        assert [answer.content for answer in fleet.grid.pull_messages([number])] == [reply.content]
        asked_of_other = other.pull()
        assert asked_of_other is not None
        assert asked_of_other.metadata.src_node_id == 1
        assert other.pull() is None


def test_a_half_answer_is_let_go_when_its_time_is_over(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what was put into the server's store for it."""
    before = fleet.stored()
    with Line(fleet.node(1)) as line:
        number = fleet.ask(fleet.bad, ttl=2.0)
        asked = line.pull()
        assert asked is not None
        reply = Message(something(200_000), reply_to=asked)

        def all_but_the_last(contents: list[tuple[str, bytes]], store: Any) -> None:
            push_object_contents_from_iterable(contents[:-1], store)

        monkeypatch.setattr(line_inside, "push_object_contents_from_iterable", all_but_the_last)
        line.push(reply, 1.0)
        assert list(fleet.grid.pull_messages([number])) == []
        assert fleet.grid._coming[number].parts
        assert fleet.stored() > before + 200_000
        time.sleep(2.0)
        assert list(fleet.grid.pull_messages([])) == []
    assert not fleet.grid._coming
    assert not fleet.grid._until.keys() & {number}
    assert fleet.stored() <= before


def test_parts_are_counted_behind_the_letterbox_too() -> None:
    """A server whose letterbox has a hole: of an answer in too many parts none is asked for."""
    parts = [ObjectTree(object_id=f"part-{n}") for n in range(letterbox.MOST_PARTS)]
    whole = ObjectTree(object_id="answer", children=parts)
    told = ProtoMessage(
        metadata=ProtoMetadata(message_id="answer", src_node_id=7, reply_to_message_id="asked")
    )
    pulled, confirmed = list[str](), list[str]()

    def pull(request: PullObjectRequest) -> PullObjectResponse:
        pulled.append(request.object_id)
        return PullObjectResponse(object_found=True, object_available=False)

    client = Mock(
        spec=RuntimeHttpClient,
        PullMessages=lambda _: PullAppMessagesResponse(
            messages_list=[told], message_object_trees=[whole]
        ),
        PullObject=pull,
        GetNodes=lambda _: GetNodesResponse(nodes=[NodeInfo(node_id=7)]),
        ConfirmMessageReceived=lambda request: confirmed.append(request.message_object_id),
    )
    grid = OwnersGrid(client, "task")
    grid.set_run(Run.create_empty(1))
    (answer,) = grid.pull_messages(["asked"])
    assert (answer.error.reason, pulled, confirmed) == (letterbox.TOO_MANY_PARTS, [], ["answer"])
    del whole.children[-1]
    grid._until["asked"] = math.inf
    assert list(grid.pull_messages(["asked"])) == []
    assert len(pulled) == letterbox.MOST_PARTS


def test_code_that_comes_with_a_training_runs_nowhere(fleet: Fleet, tmp_path: Path) -> None:
    """Not even the owner's: server and nodes do what is installed on them."""
    canary = tmp_path / "canary"
    code = f"from pathlib import Path; Path({str(canary)!r}).touch(); nothing = None\n".encode()
    with warnings.catch_warnings():  # of what Flower uses
        warnings.simplefilter("ignore", DeprecationWarning)
        app, _ = build_fab_from_files({"pyproject.toml": APP_TOML, "app.py": code})
    np.savez(
        tmp_path / "x.npz",
        x_train=np.ones((4, 3, 3)),
        y_train=[0, 1, 2, 0],
        axes="sample height width",
    )
    device = Device("node-1", tmp_path, tmp_path / "x.npz")
    with connected(fleet.folder) as it:
        fab = Fab(hash_str=sha256(app).hexdigest(), content=app)
        run = it.client.StartRun(StartRunRequest(fab=fab)).run_id
        grid = grid_of_a_training(fleet.folder)
        assert (it.status(run), grid.run.run_id) == ("running", run)
        with Line(fleet.node(1)) as line:
            TaskIdentity.node_id, TaskIdentity.run_id = 1, run
            question = messages.pack(messages.Question(3, (3, 3), (0,)))
            (number,) = grid.push_messages(
                [Message(question, fleet.bad, MessageType.QUERY, ttl=60)]
            )
            asked = line.pull()
            assert asked is not None
            line.push(device.answer(asked), 1.0)
            (answer,) = grid.pull_messages([number])
        grid.close()
        it.stop(run)
    assert messages.unpack(answer.content, messages.Holding).class_counts == {0: (2, 1, 1)}
    assert not canary.exists()
    exec(code, {})
    assert canary.exists()
