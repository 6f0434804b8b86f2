"""A node's line to its server: Flower's interface for devices, with the node's key and heartbeats.

All that we use of Flower's inside for it is used here, and tests/test_door.py holds what we take for granted
of it. A node takes messages, never code: what Flower offers for that is not called.
"""

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from types import TracebackType
from typing import Any, TypeVar

import httpx
from flwr.app import Message as Envelope
from flwr.app.message import remove_content_from_message
from flwr.common.serde import message_to_proto
from flwr.proto.fleet_pb2 import (
    ActivateNodeRequest,
    DeactivateNodeRequest,
    PullMessagesRequest,
    PushMessagesRequest,
)
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.node_pb2 import Node
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.inflatable.inflatable_protobuf_utils import (
    make_confirm_message_received_fn_protobuf,
    make_pull_object_fn_protobuf,
    make_push_object_fn_protobuf,
)
from flwr.supercore.inflatable.inflatable_utils import (
    ObjectPullError,
    ObjectPushError,
    pull_and_inflate_object_from_tree,
    push_object_contents_from_iterable,
)
from flwr.supercore.interceptors.http.runtime_version import RuntimeVersionHttpInterceptor
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supercore.protobuf.client import ProtobufClientInterceptor
from flwr.supercore.task_identity import TaskIdentity
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from fedspike.deploy import silence
from fedspike.deploy.certificates import AUTHORITY
from fedspike.deploy.flower import client_of
from fedspike.deploy.folder import NodeFolder
from fedspike.deploy.headers import DOOR_HEADER, NODE_HEADER, Header
from fedspike.deploy.knocks import HEARTBEAT_S, TWICE

BEAT_EVERY_S, BEAT_AGAIN_S = 5.0, 1.0  # and where one was not heard
CONNECT_S, ANSWER_S = 5.0, 30.0
# A server that works for long at an answer still confirms what it gets; a line on which nobody does is dead.
DEAD_AFTER_S, ASK_AFTER_S, ASK_EVERY_S = 8, 4, 2
ANSWER = TypeVar("ANSWER")
SOCKET_OPTIONS = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in {
            "TCP_KEEPIDLE": ASK_AFTER_S,
            "TCP_KEEPINTVL": ASK_EVERY_S,
            "TCP_KEEPCNT": (DEAD_AFTER_S - ASK_AFTER_S) // ASK_EVERY_S,
            "TCP_USER_TIMEOUT": 1000 * DEAD_AFTER_S,
        }.items()
        if hasattr(socket, name)  # not every system has them
    ),
]


class Away(Exception):
    """The server does not answer, or cannot for the moment."""


class NotWanted(Exception):
    """The server refuses what it was sent, in its words; `at_door`, whatever this node may send."""

    def __init__(self, words: str, *, at_door: bool) -> None:
        super().__init__(words)
        self.at_door = at_door


class Client(FleetHttpClient):
    """Flower's, over connections that notice when nobody is at their other end."""

    def __init__(self, base_url: str, *, verify: ssl.SSLContext, **more: Any) -> None:
        super().__init__(base_url, verify=verify, **more)
        self._client.close()
        self._client = httpx.Client(
            transport=httpx.HTTPTransport(verify=verify, socket_options=SOCKET_OPTIONS),
            timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S),
        )


class Line:
    """A connection under the key in a node's folder; while it is open, the server counts the node as there.

    Raises Away or NotWanted when it is opened, as each of its methods does.
    """

    def __init__(self, folder: NodeFolder) -> None:
        self._folder = folder
        self._client, public = _client(folder)
        request = ActivateNodeRequest(public_key=public, heartbeat_interval=HEARTBEAT_S)
        try:
            self._node = Node(node_id=asked(lambda: self._client.ActivateNode(request)).node_id)
        except NotWanted as refused:
            self._client.close()
            if refused.at_door:
                raise
            raise NotWanted(TWICE, at_door=False) from refused
        except Away:
            self._client.close()
            raise
        self._closed = threading.Event()
        self._heart = threading.Thread(target=self._beat, daemon=True)
        self._heart.start()

    def __enter__(self) -> "Line":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._closed.set()
        self._client.close()
        self.say_good_bye()

    def say_good_bye(self) -> None:
        """Tell the server that the node is gone; over a connection of its own, at any moment."""
        client, _ = _client(self._folder)
        request = DeactivateNodeRequest(node_id=self._node.node_id)
        # Where it is not told, it finds out when no heartbeat comes.
        with closing(client), suppress(Away, NotWanted):
            asked(lambda: client.DeactivateNode(request))

    def pull(self) -> Envelope | None:
        """The next message for this node; None where there is none, or what there was is gone."""
        request = PullMessagesRequest(node=self._node)
        answer = asked(lambda: self._client.PullMessages(request))
        if not answer.messages_list:
            return None
        run, tree = answer.messages_list[0].metadata.run_id, answer.message_object_trees[0]
        objects = make_pull_object_fn_protobuf(self._client.PullObject, self._node, run)
        confirm = make_confirm_message_received_fn_protobuf(
            self._client.ConfirmMessageReceived, self._node, run
        )
        try:
            message: Envelope = asked(
                lambda: pull_and_inflate_object_from_tree(
                    tree, objects, confirm, return_type=Envelope
                )
            )
        except (NotWanted, ObjectPullError):  # the training was ended meanwhile
            return None
        message.metadata.__dict__["_message_id"] = tree.object_id
        TaskIdentity.node_id, TaskIdentity.run_id, TaskIdentity.task_id = self._node.node_id, run, 1
        return message

    def push(self, reply: Envelope, seconds: float) -> None:
        """Give the server an answer, and how long it took; to be called again after Away."""
        run = reply.metadata.run_id
        reply.metadata.__dict__["_message_id"] = reply.object_id
        with no_object_id_recompute():
            objects, tree = get_all_nested_objects(reply), get_object_tree(reply)
            request = PushMessagesRequest(
                node=self._node,
                messages_list=[message_to_proto(remove_content_from_message(reply))],
                message_object_trees=[tree],
                clientapp_runtime_list=[seconds],
            )
            answer = asked(lambda: self._client.PushMessages(request))
            wanted = set(answer.objects_to_push)
            push = make_push_object_fn_protobuf(
                self._client.PushObject, self._node, run, answer.session_id
            )
            contents = [(name, each.deflate()) for name, each in objects.items() if name in wanted]
            try:
                asked(lambda: push_object_contents_from_iterable(contents, push))
            except ObjectPushError as error:
                raise NotWanted(str(error), at_door=False) from error

    def _beat(self) -> None:
        """Tell the server again and again that the node is there."""
        request = SendNodeHeartbeatRequest(node=self._node, heartbeat_interval=HEARTBEAT_S)
        pause = BEAT_EVERY_S
        while not self._closed.wait(pause):
            pause = BEAT_AGAIN_S
            # The next question for work meets the same refusal, and acts on it.
            with suppress(Away, NotWanted):
                asked(lambda: self._client.SendNodeHeartbeat(request))
                pause = BEAT_EVERY_S


def knock(folder: NodeFolder) -> None:
    """Show a node to the server and ask for nothing: its door remembers whom it does not let in, and why."""
    client, _ = _client(folder)
    with closing(client), suppress(Away, NotWanted):
        asked(lambda: client.SendNodeHeartbeat(SendNodeHeartbeatRequest()))


def asked(do: Callable[[], ANSWER]) -> ANSWER:
    """What a server answers. Raises Away or NotWanted in the place of what Flower raises."""
    try:
        return do()
    except httpx.HTTPStatusError as error:
        status, words = error.response.status_code, error.response.text[:500]
        if status >= 500:
            raise Away(f"it answers {status}: {words}") from error
        unknown = status == httpx.codes.UNAUTHORIZED
        at_door = unknown or DOOR_HEADER in error.response.headers
        raise NotWanted(words, at_door=at_door) from error
    except (httpx.HTTPError, RuntimeError) as error:  # a closed client raises the latter
        raise Away(silence.words(error)) from error


def _client(folder: NodeFolder) -> tuple[Client, bytes]:
    """A client that signs with the node's key, and the public half of it."""
    private = folder.key
    public = private.public_key()
    signing: list[ProtobufClientInterceptor] = [
        RuntimeVersionHttpInterceptor(component_name="SuperNode"),
        NodeAuthHttpInterceptor(private, public),
        Header(NODE_HEADER, folder.settings.node),
    ]
    client = client_of(
        Client.from_server_address,
        folder.settings.server,
        folder.path / AUTHORITY,
        signing,
    )
    return client, public_key_to_bytes(public)
