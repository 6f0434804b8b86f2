"""What is asked of a running server over Flower's Control API: which keys may come, and to train.

All that we use of Flower's inside for it is used here, and tests/test_door.py holds what we take for granted
of it.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256

import httpx
from flwr.cli.build import build_fab_from_files
from flwr.proto.control_pb2 import (
    ListNodesRequest,
    ListRunsRequest,
    RegisterNodeRequest,
    StartRunRequest,
    StopRunRequest,
    UnregisterNodeRequest,
)
from flwr.proto.fab_pb2 import Fab
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor
from flwr.supercore.protobuf.client import (
    ProtobufCall,
    ProtobufClientInterceptor,
    ProtobufRequestContext,
)

from fedspike.deploy.certificates import AUTHORITY
from fedspike.deploy.flower import client_of
from fedspike.deploy.folder import TOKEN_HEADER, FleetFolder
from fedspike.errors import InputError

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
class OwnerToken:
    """Says to the server's door that a request is its owner's."""

    token: str

    def intercept(self, context: ProtobufRequestContext, call_next: ProtobufCall) -> httpx.Response:
        """As one of Flower's interceptors."""
        context.request.headers[TOKEN_HEADER] = self.token
        return call_next(context)


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
                fix=f"make another node's folder, or delete server/keys/{name}.pub",
            ) from error

    def unregister(self, node: int) -> None:
        """Let a node's key in no more."""
        self.client.UnregisterNode(UnregisterNodeRequest(node_id=node))

    def nodes(self) -> dict[int, str]:
        """Node's number -> "online", "offline", ..."""
        listed = self.client.ListNodes(ListNodesRequest()).nodes_info
        return {int(node.node_id): str(node.status) for node in listed}

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
        listed = self.client.ListRuns(ListRunsRequest(run_id=run)).run_dict
        return str(listed[run].status.status) if run in listed else ""

    def stop(self, run: int) -> None:
        """End a training."""
        self.client.StopRun(StopRunRequest(run_id=run))


@contextmanager
def connected(folder: FleetFolder) -> Iterator[Control]:
    """A folder's running server. Raises InputError where there is none, or it refuses."""
    address = folder.settings.here
    asking: list[ProtobufClientInterceptor] = [
        RuntimeVersionHttpInterceptor(component_name="flwr CLI"),
        OwnerToken(folder.token),
    ]
    authority = folder.server / AUTHORITY
    client = client_of(ControlHttpClient.from_server_address, address, authority, asking)
    try:
        yield Control(client)
    except httpx.HTTPError as error:
        answer = error.response.text[:500] if isinstance(error, httpx.HTTPStatusError) else error
        raise InputError(
            f"the server at {address}: {answer}",
            expected="a server that runs and agrees",
            fix=f"fedspike fleet server {folder.path}",
        ) from error
    finally:
        client.close()
