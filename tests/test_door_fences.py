"""The door's fences, one by one: with all of them a request is refused, and without its own it comes in."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.supercore.constant import FLEET_HTTP_PUBLIC_KEY_HEADER as KEY
from flwr.supercore.primitives.asymmetric import public_key_to_bytes

from fedspike.deploy import door
from fedspike.deploy.connections import Connections
from fedspike.deploy.door import Door
from fedspike.deploy.folder import FleetFolder
from fedspike.deploy.headers import TOKEN_HEADER
from fedspike.deploy.register import Register
from test_door import signed_by

TOKEN = "t" * 64
REGISTERED, UNKNOWN, REVOKED = (ec.generate_private_key(ec.SECP384R1()) for _ in range(3))
LIMIT = 1000


class State:
    """Flower's, as far as the door asks it."""

    def get_node_id_by_public_key(self, key: bytes) -> int | None:
        known = [public_key_to_bytes(own.public_key()) for own in (REGISTERED, REVOKED)]
        return 7 if key in known else None


@dataclass(frozen=True)
class Request:
    """A request, and whose body comes in parts."""

    path: str
    heads: dict[str, str]
    address: str = "127.0.0.1"
    parts: tuple[bytes, ...] = (b"",)
    kind: str = "http"


def answer(folder: FleetFolder, request: Request) -> tuple[int, bytes]:
    """HTTP's status, and what came in of the body."""
    read, sent = bytearray(), list[Any]()
    left = list(request.parts)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    async def send(message: Any) -> None:
        sent.append(message)

    async def app(_: Any, receive: Any, send: Any) -> None:
        more = True
        while more:
            part = await receive()
            if part["type"] == "http.disconnect":
                return
            read.extend(part["body"])
            more = part["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})

    scope = {
        "type": request.kind,
        "path": request.path,
        "headers": [(name.encode(), value.encode()) for name, value in request.heads.items()],
        "client": (request.address, 1),
        "method": "POST",
        "app": SimpleNamespace(
            state=SimpleNamespace(linkstate_factory=SimpleNamespace(state=State))
        ),
    }
    asyncio.run(Door(app, folder, Connections())(scope, receive, send))
    return sent[0]["status"], bytes(read)


OWNER = {TOKEN_HEADER: TOKEN}
CONTROL, PULL = "/v1/control/start-run", door.DEVICES + "pull-messages"


def anybody(*_: object) -> tuple[int, str]:
    """What there would be without the look at a node's head."""
    return 0, ""


def without_length(scope: door.Scope) -> dict[str, str]:
    """A request's head, of which the length is not looked at."""
    names = [name.decode() for name, _ in scope["headers"]]
    return {
        name: value.decode()
        for name, (_, value) in zip(names, scope["headers"], strict=True)
        if name != "content-length"
    }


async def let_all_in(*_: object) -> tuple[int, str]:
    return 0, ""


@dataclass(frozen=True)
class Fence:
    """A request that only this fence stops, and how it is taken out."""

    stops: Callable[[], Request]
    take_out: Callable[[pytest.MonkeyPatch], None]


def by(name: str, value: Any) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda patch: patch.setattr(door, name, value)


FENCES = {
    "address": Fence(lambda: Request(CONTROL, OWNER, "127.0.0.2"), by("HERE", ("127.0.0.2",))),
    "token": Fence(
        lambda: Request(CONTROL, {TOKEN_HEADER: "x" * 64}),
        by("secrets", SimpleNamespace(compare_digest=lambda *_: True)),
    ),
    "registration": Fence(
        lambda: Request(PULL, signed_by(UNKNOWN)),
        lambda patch: patch.setattr(State, "get_node_id_by_public_key", lambda *_: 7),
    ),
    "revocation, of which Flower was not told": Fence(
        lambda: Request(PULL, signed_by(REVOKED)),
        lambda patch: patch.setattr(Register, "is_revoked", lambda *_: False),
    ),
    "signature": Fence(
        lambda: Request(PULL, signed_by(UNKNOWN) | {KEY: signed_by(REGISTERED)[KEY]}),
        by("verify_signature", lambda *_: True),
    ),
    "clock, behind": Fence(
        lambda: Request(PULL, signed_by(REGISTERED, 400)), by("TIMESTAMP_TOLERANCE", 1000)
    ),
    "clock, ahead": Fence(
        lambda: Request(PULL, signed_by(REGISTERED, -400)), by("SYSTEM_TIME_TOLERANCE", 1000)
    ),
    "devices' path": Fence(
        lambda: Request("//v1/fleet/pull-messages", signed_by(REGISTERED), "127.0.0.2"),
        by("DEVICES", "//v1/fleet/"),
    ),
    "a node's head": Fence(
        lambda: Request(PULL, {}), lambda patch: patch.setattr(Door, "_stranger", anybody)
    ),
    "length": Fence(
        lambda: Request(PULL, signed_by(REGISTERED) | {"content-length": str(LIMIT + 1)}),
        by("MOST_BODY", LIMIT + 1),
    ),
    "length in parts": Fence(
        lambda: Request(PULL, signed_by(REGISTERED), parts=(bytes(LIMIT), b"x")),
        by("MOST_BODY", LIMIT + 1),
    ),
    "length that is none": Fence(
        lambda: Request(CONTROL, OWNER | {"content-length": "-1"}),
        lambda patch: patch.setattr(door, "heads", without_length),
    ),
    "kind": Fence(
        lambda: Request(CONTROL, OWNER, kind="websocket"),
        lambda patch: patch.setattr(Door, "_refusal", let_all_in),
    ),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FleetFolder:
    """One of which the door needs the token and the register alone."""
    (tmp_path / "server").mkdir()
    (tmp_path / "server" / "token").write_text(TOKEN)
    monkeypatch.setattr(door, "MOST_BODY", LIMIT)
    fleet = FleetFolder(tmp_path)
    fleet.register.bar("kitchen", REVOKED.public_key())
    return fleet


def test_who_keeps_to_the_rules_comes_in(folder: FleetFolder) -> None:
    body = (bytes(LIMIT - 1), b"x")
    for request in (
        Request(CONTROL, OWNER, parts=body),
        Request(PULL, signed_by(REGISTERED), "127.0.0.2", parts=body),
        Request(door.HEALTH, {}, "127.0.0.2", parts=body),
    ):
        assert answer(folder, request) == (200, b"".join(body))


@pytest.mark.parametrize("name", FENCES)
def test_each_fence_stops_what_only_it_stops(
    name: str, folder: FleetFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taken out, it lets in what it stopped: no other one stands behind it, and none of them is for show."""
    fence = FENCES[name]
    status, read = answer(folder, fence.stops())
    assert status in (400, 403, 413)
    assert len(read) <= LIMIT
    fence.take_out(monkeypatch)
    assert answer(folder, fence.stops()) == (200, b"".join(fence.stops().parts))
