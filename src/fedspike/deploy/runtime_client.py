"""How the server's side of a training gets its order and its nodes, over Flower's Runtime API.

All that we use of Flower's inside for it is used here, and tests/test_flower_inside.py holds what we take for
granted of it.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx
from flwr.common.constant import SubStatus
from flwr.common.serde import run_from_proto
from flwr.proto.runtime_pb2 import (
    AcquireTaskRequest,
    PullTaskInputRequest,
    PushTaskOutputRequest,
    SendTaskHeartbeatRequest,
)
from flwr.supercore.constant import TaskType
from flwr.supercore.interceptors import RuntimeTokenHttpInterceptor, RuntimeVersionHttpInterceptor
from flwr.supercore.protobuf.client import ProtobufClientInterceptor
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supercore.task_identity import TaskIdentity
from flwr.superlink.grid import HttpGrid

from fedspike.deploy.certificates import AUTHORITY
from fedspike.deploy.control_client import OwnerToken
from fedspike.deploy.flower import directly
from fedspike.deploy.folder import FleetFolder
from fedspike.files import content_of

ASK_EVERY_S, BEAT_EVERY_S = 0.2, 2.0


class OwnersGrid(HttpGrid):
    """Flower's way to the nodes, past our own door."""

    def __init__(self, folder: FleetFolder, task: str) -> None:
        authority = content_of(folder.server / AUTHORITY)
        super().__init__(folder.settings.here, False, authority, token=task)
        self._client = _client(folder, task)


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
    grid = OwnersGrid(folder, _task(folder))
    order = grid._runtime_client.PullTaskInput(PullTaskInputRequest())
    TaskIdentity.task_id, TaskIdentity.run_id = order.task_id, order.run.run_id
    TaskIdentity.node_id = order.context.node_id
    grid.set_run(run_from_proto(order.run))
    return grid


def _task(folder: FleetFolder) -> str:
    """Flower's token of the training that was started, once there is one."""
    client, request = (
        _client(folder),
        AcquireTaskRequest(supported_task_types=[TaskType.SERVER_APP]),
    )
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
            except httpx.HTTPStatusError:  # its order is not valid any more
                goes_on = False
            if not goes_on:
                os._exit(0)
        time.sleep(BEAT_EVERY_S)


def _client(folder: FleetFolder, task: str = "") -> RuntimeHttpClient:
    asking: list[ProtobufClientInterceptor] = [
        RuntimeVersionHttpInterceptor(component_name="flwr-serverapp"),
        OwnerToken(folder.token),
    ]
    asking += [RuntimeTokenHttpInterceptor(token=task)] if task else []
    with directly():
        return RuntimeHttpClient.from_server_address(
            folder.settings.here, False, content_of(folder.server / AUTHORITY), asking
        )
