"""Who connects and brings nothing, over real sockets: it is cut off, and a node gets in beside it.

Each fence is taken out once, to see that it is the one that holds.
"""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from fedspike.deploy import authority, certificates, connections, door
from fedspike.deploy.connections import Connections, Loop
from fedspike.deploy.door import Door
from fedspike.deploy.folder import FleetFolder
from test_door import signed_by
from test_door_fences import REGISTERED, TOKEN, State

HERE, ELSEWHERE = "127.0.0.1", "127.0.0.2"
SOON_S, LONG_S, MOST = 0.4, 60.0, 8
PULL = f"POST {door.DEVICES}pull-messages HTTP/1.1\r\nhost: it\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a door needs of a fleet's folder."""
    folder = tmp_path_factory.mktemp("fleet") / "server"
    folder.mkdir()
    (folder / "token").write_text(TOKEN)
    authority.write(folder, [HERE], authority.Safe(folder / "authority.key"))
    return folder


async def flower(scope: door.Scope, receive: door.Receive, send: door.Send) -> None:
    """In its place: it reads a request and answers."""
    await PlainTextResponse(str(len(await Request(scope, receive).body())))(scope, receive, send)


@contextmanager
def served(folder: Path, limits: Connections) -> Iterator[int]:
    """The port of a door with these limits."""
    inside = Door(flower, FleetFolder(folder.parent), limits)
    app = SimpleNamespace(state=SimpleNamespace(linkstate_factory=SimpleNamespace(state=State)))

    async def outside(scope: door.Scope, receive: door.Receive, send: door.Send) -> None:
        await inside({**scope, "app": app}, receive, send)

    loop: Any = partial(Loop, limits)
    own: dict[str, Any] = {
        "ssl_keyfile": folder / certificates.KEY,
        "ssl_certfile": folder / certificates.SERVER,
    }
    quiet: dict[str, Any] = {"lifespan": "off", "log_config": None, "access_log": False}
    program = uvicorn.Server(uvicorn.Config(outside, port=0, loop=loop, ws="none", **own, **quiet))
    running = threading.Thread(target=program.run)
    running.start()
    try:
        while not program.started:
            time.sleep(0.01)
        port: int = program.servers[0].sockets[0].getsockname()[1]
        yield port
    finally:
        program.should_exit = program.force_exit = True
        running.join()


@dataclass
class Caller:
    """Who connects from some address of this machine."""

    folder: Path
    port: int
    stack: ExitStack

    def plain(self, address: str) -> socket.socket:
        own = socket.create_connection((HERE, self.port), 10, source_address=(address, 0))
        return self.stack.enter_context(own)

    def secure(self, address: str, words: str = "") -> ssl.SSLSocket:
        context = ssl.create_default_context(cafile=str(self.folder / certificates.AUTHORITY))
        own = context.wrap_socket(self.plain(address), server_hostname=HERE)
        own.sendall(words.encode())
        return self.stack.enter_context(own)


@contextmanager
def calling(folder: Path, limits: Connections) -> Iterator[Caller]:
    with served(folder, limits) as port, ExitStack() as stack:
        yield Caller(folder, port, stack)


def heads(**more: str) -> str:
    """The lines of a registered node's head, without the end."""
    own = signed_by(REGISTERED) | {"content-length": "5"} | more
    return PULL + "".join(f"{name}: {value}\r\n" for name, value in own.items())


def is_cut(line: socket.socket, drips: bytes = b"") -> bool:
    """Whether the server ends this line soon, whatever drips into it."""
    until = time.monotonic() + 3 * SOON_S
    line.settimeout(SOON_S / 8)
    while time.monotonic() < until:
        try:
            if drips:
                line.sendall(drips)
            if not line.recv(1000):
                return True
        except TimeoutError:
            continue
        except OSError:
            return True
    return False


def answer(line: ssl.SSLSocket, words: str) -> bytes:
    """The first line of what the server says; nothing where it has hung up."""
    try:
        line.sendall(words.encode())
        return line.recv(1000).split(b"\r\n")[0]
    except OSError:
        return b""


def half_a_hello(caller: Caller) -> socket.socket:
    """The beginning of a TLS handshake."""
    line = caller.plain(ELSEWHERE)
    line.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    return line


SILENT: dict[str, tuple[Callable[[Caller], socket.socket], bytes]] = {
    "nothing at all": (lambda caller: caller.plain(ELSEWHERE), b""),
    "half a handshake": (half_a_hello, b""),
    "nothing behind the handshake": (lambda caller: caller.secure(ELSEWHERE), b""),
    "a head that drips": (lambda caller: caller.secure(ELSEWHERE, PULL), b"x"),
    "a body that drips, of a stranger": (
        lambda caller: caller.secure(ELSEWHERE, f"{PULL}content-length: 1000\r\n\r\n"),
        b"x",
    ),
    "the health, again and again": (
        lambda caller: caller.secure(ELSEWHERE),
        f"GET {door.HEALTH} HTTP/1.1\r\nhost: it\r\n\r\n".encode(),
    ),
}


def test_who_brings_nothing_is_cut_off(server: Path) -> None:
    """And stays without the fence."""
    for wait_s, cut in ((SOON_S, True), (LONG_S, False)):
        with calling(server, Connections(wait_s=wait_s)) as caller:
            lines = [begin(caller) for begin, _ in SILENT.values()]
            with ThreadPoolExecutor(len(SILENT)) as pool:
                found = pool.map(is_cut, lines, [drips for _, drips in SILENT.values()])
                assert dict(zip(SILENT, found, strict=True)) == dict.fromkeys(SILENT, cut)


@pytest.mark.parametrize("fence", [True, False])
def test_a_head_without_end_is_cut_off(
    server: Path, monkeypatch: pytest.MonkeyPatch, fence: bool
) -> None:
    monkeypatch.setattr(connections, "MOST_BYTES", 2**20 if fence else 2**30)
    with calling(server, Connections(wait_s=LONG_S)) as caller:
        line, cut = caller.secure(ELSEWHERE, PULL), False
        until = time.monotonic() + 10 * fence  # what is under way when it is cut off was sent, too
        sent = 0
        try:
            while sent < 80 or time.monotonic() < until:
                line.sendall(b"a: " + bytes(2**15).replace(b"\0", b"x") + b"\r\n")
                sent += 1
        except OSError:
            cut = True
    assert cut is fence


@pytest.mark.parametrize("fence", [True, False])
def test_a_nodes_body_that_drips_is_too_slow(
    server: Path, monkeypatch: pytest.MonkeyPatch, fence: bool
) -> None:
    """One that only takes longer than a connection may wait is not."""
    monkeypatch.setattr(door, "BODY_S", 2 * SOON_S if fence else LONG_S)
    with calling(server, Connections(wait_s=SOON_S)) as caller:
        slow, never = (caller.secure(HERE, f"{heads()}\r\n12") for _ in range(2))
        time.sleep(1.5 * SOON_S)
        assert answer(slow, "345") == b"HTTP/1.1 200 OK"
        never.settimeout(2 * SOON_S)
        if fence:
            assert never.recv(1000).startswith(b"HTTP/1.1 408")
        else:
            with pytest.raises(TimeoutError):
                never.recv(1000)


@pytest.mark.parametrize("out", ["", "place", "most"])
def test_a_node_gets_in_beside_as_many_as_there_may_be(
    server: Path, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    """Of too many that wait the oldest goes, of the place that most are from: it is not the node's."""
    if out == "place":
        monkeypatch.setattr(connections, "place", lambda _: "everywhere")
    with calling(server, Connections(1000 if out == "most" else MOST, LONG_S)) as caller:
        node = caller.secure(HERE)
        crowd = [caller.plain(ELSEWHERE) for _ in range(5 * MOST)]
        time.sleep(SOON_S / 2)
        got = answer(node, f"{heads()}\r\n12345")
        assert got == (b"" if out == "place" else b"HTTP/1.1 200 OK")
        left = [line for line in crowd if not is_gone(line)]
        assert (len(left) > MOST) is (out == "most")
        assert answer(caller.secure(HERE), f"{heads()}\r\n12345") == b"HTTP/1.1 200 OK"


def is_gone(line: socket.socket) -> bool:
    """Whether the server has ended this line."""
    line.setblocking(False)
    try:
        return not line.recv(1)
    except BlockingIOError:
        return False
    except OSError:
        return True
