"""What is asked of a running server over Flower's Control API: which keys may come, and to train.

All that we use of Flower's inside for it is used here, and tests/test_door.py holds what we take for granted
of it.
"""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

import httpx
from flwr.cli.build import build_fab_from_files
from flwr.common.constant import HEARTBEAT_PATIENCE
from flwr.proto.control_pb2 import (
    ListNodesRequest,
    ListRunsRequest,
    RegisterNodeRequest,
    StartRunRequest,
    StopRunRequest,
    UnregisterNodeRequest,
)
from flwr.proto.fab_pb2 import Fab
from flwr.proto.node_pb2 import NodeInfo
from flwr.supercore.constant import NodeStatus
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor
from flwr.supercore.protobuf.client import ProtobufClientInterceptor

from fedspike.deploy import keys, silence
from fedspike.deploy.certificates import AUTHORITY, SERVER, demand_valid
from fedspike.deploy.flower import client_of
from fedspike.deploy.folder import FleetFolder
from fedspike.deploy.headers import TOKEN_HEADER, Header
from fedspike.errors import InputError
from fedspike.files import demand_room
from fedspike.shell import command

# Flower wants an app for each training. Ours says nothing: server and nodes run what is installed on them.
APP_TOML = b"""\
[project]
name = "fedspike-fleet"
version = "1.0.0"
description = "The training of a FedSpike fleet"
license = "Apache-2.0"
dependencies = ["flwr"]

[tool.flwr.app]
publisher = "fedspike"

[tool.flwr.app.components]
serverapp = "app:nothing"
clientapp = "app:nothing"
"""


@dataclass(frozen=True)
class Presence:
    """Whether a node is there, and when the server heard of it last; None where that was never.

    One that fell silent without a good-bye counts as heard of until the server gave it up, two heartbeats
    later.
    """

    online: bool
    last_seen: datetime | None


def presences(listed: Iterable[NodeInfo]) -> dict[int, Presence]:
    """Node's number in Flower -> whether it is there, from what Flower knows of it."""
    presence_of = {}
    for node in listed:
        online, last_seen = node.status == NodeStatus.ONLINE, None
        if node.HasField("online_until"):
            early = HEARTBEAT_PATIENCE * node.heartbeat_interval if online else 0.0
            last_seen = datetime.fromtimestamp(node.online_until - early, tz=UTC)
        presence_of[int(node.node_id)] = Presence(online, last_seen)
    return presence_of


class ServerAway(InputError):
    """Nobody answers at the server's address, or not with its certificate."""


class ServerUntrusted(ServerAway):
    """Somebody answers there, whose certificate is not good; the server's may have expired."""


@dataclass(frozen=True)
class Control:
    """A server that is there."""

    client: ControlHttpClient

    def register(self, name: str, key: bytes) -> int:
        """Let a node's public key in; the node's number. Raises InputError for one that was let in before."""
        request = RegisterNodeRequest(public_key=key, name=name)
        try:
            return int(self.client.RegisterNode(request).node_id)
        except httpx.HTTPStatusError as error:
            if error.response.status_code != httpx.codes.PRECONDITION_FAILED:
                raise
            raise InputError(
                f"the key of {name} is another node's, or was one's that is no longer let in",
                expected="a key for each node, and a new one after a node was removed",
                fix=f"delete server/nodes/{name}.toml; {keys.ANOTHER_KEY}",
            ) from error

    def unregister(self, node: int) -> None:
        """Let a node's key in no more."""
        self.client.UnregisterNode(UnregisterNodeRequest(node_id=node))

    def nodes(self) -> dict[int, Presence]:
        """Node's number -> whether it is there."""
        return presences(self._listed())

    def keys(self) -> dict[bytes, tuple[int, str]]:
        """The public keys that are let in -> the numbers of their nodes, and how they are called."""
        return {
            bytes(node.public_key): (int(node.node_id), str(node.name))
            for node in self._listed()
            if node.status != NodeStatus.UNREGISTERED
        }

    def _listed(self) -> Iterable[NodeInfo]:
        listed: Iterable[NodeInfo] = self.client.ListNodes(ListNodesRequest()).nodes_info
        return listed

    def start(self) -> int:
        """Start a training; its number."""
        with warnings.catch_warnings():  # of what Flower uses
            warnings.simplefilter("ignore", DeprecationWarning)
            app, _ = build_fab_from_files(
                {"pyproject.toml": APP_TOML, "app.py": b"nothing = None\n"}
            )
        fab = Fab(hash_str=sha256(app).hexdigest(), content=app)
        return int(self.client.StartRun(StartRunRequest(fab=fab)).run_id)

    def status(self, run: int) -> str:
        """ "running", "finished", ...; "" of one that the server does not know."""
        return self.progress(run)[0]

    def progress(self, run: int) -> tuple[str, str]:
        """As `status`, and how one that is finished ended: "completed", "failed", "stopped"."""
        listed = self.client.ListRuns(ListRunsRequest(run_id=run)).run_dict
        if run not in listed:
            return "", ""
        return str(listed[run].status.status), str(listed[run].status.sub_status)

    def stop(self, run: int) -> None:
        """End a training."""
        self.client.StopRun(StopRunRequest(run_id=run))


@contextmanager
def connected(folder: FleetFolder) -> Iterator[Control]:
    """A folder's running server. Raises InputError where there is none, or it refuses."""
    address = folder.settings.here
    asking: list[ProtobufClientInterceptor] = [
        RuntimeVersionHttpInterceptor(component_name="flwr CLI"),
        Header(TOKEN_HEADER, folder.token),
    ]
    authority = folder.server / AUTHORITY
    client = client_of(ControlHttpClient.from_server_address, address, authority, asking)
    try:
        yield Control(client)
    except httpx.HTTPStatusError as error:
        raise _gone_wrong(InputError, folder, error.response.text[:500]) from error
    except httpx.HTTPError as error:
        kind = ServerUntrusted if silence.of_certificate(error) else ServerAway
        raise _gone_wrong(kind, folder, silence.words(error)) from error
    finally:
        client.close()


def _gone_wrong(kind: type[InputError], folder: FleetFolder, words: object) -> InputError:
    """What kept a server from its answer: its disk or its certificate, where that is it, or its words."""
    try:
        demand_room(folder.path)
        demand_valid(folder.server / SERVER, folder.renewal)
    except InputError as error:
        return kind(error.passed, expected=error.expected, fix=error.fix)
    return kind(
        f"the server at {folder.settings.here}: {words}",
        expected="a server that runs and agrees",
        fix=command("fleet", "server", folder.path),
    )
