"""How the server's side of a training gets its order and its nodes, over Flower's Runtime API.

All that we use of Flower's inside for it is used here, and tests/test_door.py holds what we take for granted
of it.
"""

import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice

import httpx
from flwr.app import Message, Metadata
from flwr.app.error import Error
from flwr.app.message import make_message
from flwr.common.constant import ErrorCode, SubStatus
from flwr.common.serde import run_from_proto
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest
from flwr.proto.runtime_pb2 import (
    AcquireTaskRequest,
    PullAppMessagesRequest,
    PullTaskInputRequest,
    PushTaskOutputRequest,
    SendTaskHeartbeatRequest,
)
from flwr.supercore.constant import SYSTEM_MESSAGE_TYPE, TaskType
from flwr.supercore.inflatable.inflatable_object import iterate_object_tree
from flwr.supercore.inflatable.inflatable_protobuf_utils import make_pull_object_fn_protobuf
from flwr.supercore.inflatable.inflatable_utils import (
    ObjectPullError,
    ObjectUnavailableError,
    inflate_object_from_contents,
)
from flwr.supercore.interceptors import RuntimeTokenHttpInterceptor, RuntimeVersionHttpInterceptor
from flwr.supercore.protobuf.client import ProtobufClientInterceptor
from flwr.supercore.retry import make_simple_http_retry_invoker
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supercore.task_identity import TaskIdentity
from flwr.superlink.grid import HttpGrid

from fedspike.deploy.certificates import AUTHORITY
from fedspike.deploy.flower import client_of
from fedspike.deploy.folder import FleetFolder
from fedspike.deploy.headers import TOKEN_HEADER, Header
from fedspike.deploy.letterbox import MOST_BYTES, MOST_PARTS, TOO_MANY_PARTS

ASK_EVERY_S, BEAT_EVERY_S = 0.2, 2.0


@dataclass
class Coming:
    """An answer, and its parts as far as they are there."""

    number: str
    node: int
    missing: list[str]
    parts: dict[str, bytes] = field(default_factory=dict)


class OwnersGrid(HttpGrid):
    """Flower's way to the nodes, past our own door; an answer that comes in part holds up no other.

    What is held of an answer, here and in the server's store, is let go when it is whole, cannot be read, or
    when the time for it is over.
    """

    def __init__(self, client: RuntimeHttpClient, task: str) -> None:
        super().__init__(token=task)
        self._client = client
        self._until: dict[str, float] = {}  # message that is not answered -> when it is forgotten
        self._coming: dict[str, Coming] = {}  # by the message that they answer

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Send messages; their numbers."""
        asked = list(messages)
        numbers = list(super().push_messages(asked))
        now = time.monotonic()
        self._until |= {n: now + each.metadata.ttl for n, each in zip(numbers, asked, strict=True)}
        return numbers

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """The answers to these messages that are whole, and errors for those that never will be."""
        asked, now = set(message_ids), time.monotonic()
        over = {number for number, until in self._until.items() if until < now}
        for number in over:
            self._let_go(number)
        # What nobody waits for any more is asked for once again: that takes it out of the server's store.
        answer = self._runtime_client.PullMessages(
            PullAppMessagesRequest(message_ids=sorted((asked | over) - self._coming.keys()))
        )
        for told, tree in zip(answer.messages_list, answer.message_object_trees, strict=True):
            about = told.metadata
            parts = [each.object_id for each in islice(iterate_object_tree(tree), MOST_PARTS + 1)]
            self._coming[about.reply_to_message_id] = Coming(
                about.message_id, about.src_node_id, parts
            )
        for number in self._coming.keys() - asked - self._until.keys():
            self._let_go(number)
        online = set(self.get_node_ids()) if self._coming else set()
        whole = []
        for number in self._coming.keys() & asked:  # others have asked for the others
            if message := self._message(number, self._coming[number], online):
                whole.append(message)
                self._let_go(number)
        return whole

    def _let_go(self, number: str) -> None:
        """Forget a message and what is there of its answer."""
        self._until.pop(number, None)
        if coming := self._coming.pop(number, None):
            self._runtime_client.ConfirmMessageReceived(
                ConfirmMessageReceivedRequest(
                    node=self.node, run_id=self.run.run_id, message_object_id=coming.number
                )
            )

    def _message(self, number: str, coming: Coming, online: set[int]) -> Message | None:
        """An answer if it is whole, an error if it will not be, None if that is open."""
        pull = make_pull_object_fn_protobuf(
            self._runtime_client.PullObject, self.node, self.run.run_id
        )
        if len(coming.missing) + len(coming.parts) > MOST_PARTS:
            return self._error(number, TOO_MANY_PARTS)
        try:
            for part in list(coming.missing):
                with suppress(ObjectUnavailableError):
                    coming.parts[part] = pull(part)
                    coming.missing.remove(part)
                if sum(map(len, coming.parts.values())) > MOST_BYTES:
                    return self._error(number, "an answer of more bytes than any has")
        except ObjectPullError as error:
            return self._error(number, str(error))
        if coming.missing:
            gone = coming.node not in (*online, self.node.node_id)
            return self._error(number, "gone while it answered") if gone else None
        try:
            message = inflate_object_from_contents(coming.number, coming.parts)
        except Exception as error:  # whatever a node sends, it is the node that did it
            return self._error(number, f"cannot be read: {type(error).__name__}: {error}")
        if not isinstance(message, Message) or message.metadata.reply_to_message_id != number:
            return self._error(number, "an answer to something else")
        message.metadata.__dict__["_message_id"] = coming.number
        return message

    def _error(self, number: str, reason: str) -> Message:
        about = Metadata(
            run_id=self.run.run_id,
            message_id="",
            src_node_id=self.node.node_id,
            dst_node_id=self.node.node_id,
            message_type=SYSTEM_MESSAGE_TYPE,
            group_id="",
            ttl=0,
            reply_to_message_id=number,
            created_at=time.time(),
        )
        return make_message(metadata=about, error=Error(ErrorCode.UNKNOWN, reason))


@contextmanager
def training(folder: FleetFolder) -> Iterator[OwnersGrid]:
    """Wait until somebody starts a training, and be it: its end here is its end for Flower.

    Where the training is stopped, or the server ends, this process ends at once: all that is stored is whole
    at any moment.
    """
    grid = grid_of_a_training(folder)
    threading.Thread(target=_beat, args=(grid,), daemon=True).start()
    status, details = SubStatus.FAILED, "see fedspike fleet logs"
    try:
        yield grid
        status, details = SubStatus.COMPLETED, ""
    finally:
        with suppress(httpx.HTTPError):  # a server that is gone knows
            grid._runtime_client.PushTaskOutput(
                PushTaskOutputRequest(sub_status=status, details=details)
            )


def grid_of_a_training(folder: FleetFolder) -> OwnersGrid:
    """The way to the nodes, for a training that was started; waits until there is one."""
    task = _task(folder)
    grid = OwnersGrid(_client(folder, task), task)
    order = grid._runtime_client.PullTaskInput(PullTaskInputRequest())
    TaskIdentity.task_id, TaskIdentity.run_id = order.task_id, order.run.run_id
    TaskIdentity.node_id = order.context.node_id
    grid.set_run(run_from_proto(order.run))
    return grid


def _task(folder: FleetFolder) -> str:
    """Flower's token of the training that was started, once there is one."""
    client = _client(folder)
    request = AcquireTaskRequest(supported_task_types=[TaskType.SERVER_APP])
    while True:
        with suppress(httpx.HTTPError):  # the server is away; whoever started us looks after it
            if token := client.AcquireTask(request).token:
                client.close()
                return token
        time.sleep(ASK_EVERY_S)


def _beat(grid: OwnersGrid) -> None:
    """Tell the server that the training goes on, and end where it does not."""
    while True:
        with suppress(httpx.TransportError):
            try:
                goes_on = grid._runtime_client.SendTaskHeartbeat(SendTaskHeartbeatRequest()).success
            except (
                httpx.HTTPStatusError
            ) as error:  # its order is not valid any more, or the disk is full
                goes_on = error.response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR
            if not goes_on:
                os._exit(0)
        time.sleep(BEAT_EVERY_S)


def _client(folder: FleetFolder, task: str = "") -> RuntimeHttpClient:
    asking: list[ProtobufClientInterceptor] = [
        RuntimeVersionHttpInterceptor(component_name="flwr-serverapp"),
        Header(TOKEN_HEADER, folder.token),
    ]
    asking += [RuntimeTokenHttpInterceptor(token=task)] if task else []
    return client_of(
        *(RuntimeHttpClient.from_server_address, folder.settings.here, folder.server / AUTHORITY),
        asking,
        # A server that is away is not its nodes' fault: it is waited for.
        retry_invoker=make_simple_http_retry_invoker(),
    )
