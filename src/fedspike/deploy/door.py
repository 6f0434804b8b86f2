"""The server's door: Flower's SuperLink, of which other machines reach the devices' interface alone.

    python -m fedspike.deploy.door FOLDER PARENT

Flower's interfaces for those who start trainings, and for the processes that do them, obey whoever reaches
them. So they answer this machine alone, and there only who knows the folder's token. What is for devices
answers keys that are registered: a request's head says which, before its body is read.
"""

import asyncio
import base64
import resource
import secrets
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.common.constant import SYSTEM_TIME_TOLERANCE, TIMESTAMP_HEADER, TIMESTAMP_TOLERANCE
from flwr.supercore.constant import (
    FLEET_HTTP_PUBLIC_KEY_HEADER,
    FLEET_HTTP_SIGNATURE_HEADER,
    NodeStatus,
)
from flwr.supercore.date import now
from flwr.supercore.primitives.asymmetric import verify_signature
from flwr.superlink import extensions
from flwr.superlink.cli.flower_superlink import flower_superlink
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse

from fedspike.deploy import keys, letterbox, refusals
from fedspike.deploy.certificates import AUTHORITY, KEY, SERVER
from fedspike.deploy.connections import MOST_WAITING, WAIT_S, Connections, Loop
from fedspike.deploy.folder import FleetFolder
from fedspike.deploy.headers import DOOR_HEADER, NODE_HEADER, TOKEN_HEADER
from fedspike.deploy.knocks import CLOCK, TWICE, UNREGISTERED, Knocks
from fedspike.deploy.metrics import Metrics
from fedspike.deploy.parent import end_with
from fedspike.shell import command

DEVICES, HEALTH, METRICS = "/v1/fleet/", "/health", "/metrics"
ACTIVATION = f"{DEVICES}activate-node"
HERE = ("127.0.0.1", "::1", "::ffff:127.0.0.1")
MOST_BODY = letterbox.MOST_BYTES
BODY_S, SLOWEST = 20.0, 1000.0  # a body has so many seconds, and one more for so many bytes
TOO_LARGE, TOO_SLOW = ("too large", 413), ("too slow", 408)
REVOKED = "this key was revoked by the fleet's owner"

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Body:
    """A request's body as it comes, with a length or without.

    One that gets too long, or comes too slowly, ends as if its sender had hung up, and what is said to that
    is not heard.
    """

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send, self._read = receive, send, 0
        self._until = asyncio.get_running_loop().time() + BODY_S
        self._whole = False
        self.fault: tuple[str, int] | None = None

    async def receive(self) -> MutableMapping[str, Any]:
        """The next part; behind the last one, that its sender has hung up."""
        if self._whole:
            return await self._receive()
        message: MutableMapping[str, Any] = {"type": "http.disconnect"}
        try:
            async with asyncio.timeout_at(self._until + self._read / SLOWEST):
                message = await self._receive()
        except TimeoutError:
            self.fault = TOO_SLOW
        self._read += len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        if self._read > MOST_BODY:
            self.fault = TOO_LARGE
        return {"type": "http.disconnect"} if self.fault else message

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """A part of the answer."""
        if not self.fault:
            await self._send(message)


class Door:
    """Lets in what may come in, and says to others why not, before any of their body is read."""

    def __init__(self, app: Any, folder: FleetFolder, connections: Connections) -> None:
        self.app, self.token, self.metrics = app, folder.token, Metrics(folder)
        self.connections = connections
        self.register, self.knocks = folder.register, Knocks(folder.server)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As an ASGI application."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        status, words = await self._refusal(scope)
        if status:
            refusal = PlainTextResponse(words, status, {DOOR_HEADER: "shut"})
            await refusal(scope, receive, send)
            return
        if scope["path"] == HEALTH:  # anybody may ask, and goes on waiting to be let in
            await self._pass(scope, receive, send)
            return
        with self.connections.let_in(scope["client"]):
            await self._pass(scope, receive, send)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A request that was let in, and its answer."""
        if scope["path"] == METRICS:
            state = scope["app"].state.linkstate_factory.state()
            page = await run_in_threadpool(self.metrics.page, state)
            await page(scope, receive, send)
            return
        body = Body(receive, send)
        try:
            await self.app(scope, body.receive, body.send)
        except Exception:
            if not body.fault:
                raise
        if body.fault:
            await PlainTextResponse(*body.fault)(scope, receive, send)

    async def _refusal(self, scope: Scope) -> tuple[int, str]:
        """HTTP's status and the words of a refusal, or 0."""
        if scope["type"] != "http":
            return 403, "no such thing here"
        head, path = heads(scope), scope["path"]
        if not head.get("content-length", "0").isdecimal():
            return 400, "a length that is no number"
        if int(head.get("content-length", "0")) > MOST_BODY:
            return 413, "too large"
        if path == HEALTH:
            return 0, ""
        if path.startswith(DEVICES):
            state = scope["app"].state.linkstate_factory.state()
            return await run_in_threadpool(self._stranger, head, path, scope["client"][0], state)
        if scope["client"][0] not in HERE:
            return 403, "for the server's machine alone"
        bearer = head.get("authorization", "").removeprefix("Bearer ")
        token = head.get(TOKEN_HEADER, bearer)
        if not secrets.compare_digest(token.encode(), self.token.encode()):
            return 403, "for the server's owner alone: the token is missing or wrong"
        return 0, ""

    def _stranger(
        self, head: dict[str, str], path: str, address: str, state: Any
    ) -> tuple[int, str]:
        """Why a request is not from a registered node that signed it just now, or is a second one's; else 0.

        Flower looks again, when it has read the body, whether that speaks of the same node.
        """
        try:
            content = base64.b64decode(head[FLEET_HTTP_PUBLIC_KEY_HEADER.lower()], validate=True)
            key = keys.of_pem(content)
            age_s = age_of_signature(head, key)
        except (KeyError, ValueError, TypeError):
            return 403, "for nodes alone: the request is not signed"
        if age_s is None:
            return 403, "for nodes alone: the signature is wrong"
        if self.register.is_revoked(key):
            return 403, REVOKED
        number, reason, fix = state.get_node_id_by_public_key(content), "", ""
        if number is None:
            letting_in = command("fleet", "admit", "FOLDER", keys.code_of(key))
            reason, fix = UNREGISTERED, f"; the fleet's owner lets it in with {letting_in}"
        elif not -SYSTEM_TIME_TOLERANCE < age_s < TIMESTAMP_TOLERANCE + SYSTEM_TIME_TOLERANCE:
            reason = CLOCK
        elif path == ACTIVATION and state.get_node_info(
            node_ids=[number], statuses=[NodeStatus.ONLINE]
        ):
            reason = TWICE
        if not reason:
            return 0, ""
        self.knocks.hear(key, head.get(NODE_HEADER, ""), address, reason)
        return 403, reason + fix


def heads(scope: Scope) -> dict[str, str]:
    """The request's head."""
    return {
        name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
    }


def age_of_signature(head: dict[str, str], key: ec.EllipticCurvePublicKey) -> float | None:
    """How many seconds ago a request was signed with this key, by its own word; None if it was not.

    Raises KeyError, ValueError or TypeError where it was not signed at all.
    """
    signature = base64.b64decode(head[FLEET_HTTP_SIGNATURE_HEADER.lower()], validate=True)
    signed = head[TIMESTAMP_HEADER.lower()]
    age = (now() - datetime.fromisoformat(signed)).total_seconds()
    return age if verify_signature(key, signed.encode(), signature) else None


def hold_many() -> int:
    """From now on, hold as many connections as the system lets a process have; how many that are.

    Most systems give a process 1,024 until it asks for more.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # not every system takes its own word for it
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    held, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if held == resource.RLIM_INFINITY else held


def main(most_waiting: int = MOST_WAITING, wait_s: float = WAIT_S) -> None:
    """Serve a fleet's folder until stopped, or until the process PARENT is gone."""
    end_with(int(sys.argv[2]))
    connections = Connections(min(most_waiting, hold_many() // 2), wait_s)
    folder = FleetFolder(Path(sys.argv[1]))
    settings, server = folder.settings, folder.server
    sys.argv = [
        *("flower-superlink", "--host", settings.listens_on, "--port", str(settings.port)),
        *("--ssl-ca-certfile", str(server / AUTHORITY), "--ssl-certfile", str(server / SERVER)),
        *("--ssl-keyfile", str(server / KEY), "--enable-supernode-auth"),
        *("--database", str(server / "flower.db"), "--isolation", "process"),
    ]
    letterbox.watch()
    refusals.bound()
    extensions.get_middleware = lambda: (Middleware(Door, folder=folder, connections=connections),)
    loop: Any = partial(Loop, connections)
    # Nothing stands between a node and the door that could say in a head from where it comes.
    uvicorn.run = partial(uvicorn.run, loop=loop, proxy_headers=False, ws="none")
    flower_superlink()


if __name__ == "__main__":
    main()
