"""Connections to the server, of which those that bring nothing make room for those that do.

asyncio gives a TLS handshake 60 s, and uvicorn a request's head all the time there is. Here a connection
waits from when it comes until a request on it is let in, and again when that is answered: not for long, not
with much, and not among too many. What it is allowed is the same for all, so nobody is refused for an
address that is shared; where too many wait, the place that most are from loses its oldest.
"""

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from fedspike.deploy.knocks import place

MOST_WAITING, WAIT_S = 400, 10.0
MOST_BYTES = (
    2**20
)  # of a connection that waits: a request's head, and what came of its body by then
SETTLE_S = 0.5  # between two looks at whether an answer has left
UNHEARD_S = 30.0  # whoever confirms nothing of an answer for so long is gone
Peer = tuple[str, int]


class Connections:
    """All that there are: `most` at once wait, each for `wait_s` seconds."""

    def __init__(self, most: int = MOST_WAITING, wait_s: float = WAIT_S) -> None:
        self.most, self.wait_s = most, wait_s
        self._all: dict[Peer, Connection] = {}
        self._waiting: dict[Connection, asyncio.TimerHandle] = {}  # who waits longest is the first

    def enter(self, connection: "Connection") -> None:
        """One that was just made."""
        self._all[connection.peer] = connection
        self._wait(connection)

    def leave(self, connection: "Connection") -> None:
        """One that is no more."""
        self._go_on(connection)
        if self._all.get(connection.peer) is connection:
            del self._all[connection.peer]

    @contextmanager
    def let_in(self, peer: Peer) -> Iterator[None]:
        """Meanwhile the connection with this address and port brings what is wanted."""
        connection = self._all.get(peer)
        if connection is None:
            yield
            return
        connection.requests += 1
        self._go_on(connection)
        try:
            yield
        finally:
            connection.requests -= 1
            self._settle(connection)

    def _settle(self, connection: "Connection") -> None:
        """Let one wait again when its answer has left."""
        if connection.requests or self._all.get(connection.peer) is not connection:
            return
        if connection.owed:
            asyncio.get_running_loop().call_later(SETTLE_S, self._settle, connection)
        else:
            self._wait(connection)

    def _wait(self, connection: "Connection") -> None:
        self._go_on(connection)
        connection.read = 0
        later = asyncio.get_running_loop().call_later(self.wait_s, connection.cut)
        self._waiting[connection] = later
        if len(self._waiting) > self.most:
            places = Counter(place(each.peer[0]) for each in self._waiting)
            crowded, _ = places.most_common(1)[0]
            next(each for each in self._waiting if place(each.peer[0]) == crowded).cut()

    def _go_on(self, connection: "Connection") -> None:
        if timer := self._waiting.pop(connection, None):
            timer.cancel()

    def hears(self, connection: "Connection", size: int) -> None:
        """So many bytes came."""
        if connection in self._waiting:
            connection.read += size
            if connection.read > MOST_BYTES:
                connection.cut()


class Connection(asyncio.Protocol):
    """One from its beginning: TLS, and behind it a protocol of uvicorn's, which `make` makes."""

    def __init__(
        self, others: Connections, make: Callable[[], asyncio.Protocol], context: ssl.SSLContext
    ) -> None:
        self._others, self._make, self._context = others, make, context
        self.peer: Peer = ("", 0)
        self.requests = 0  # that were let in and are not answered
        self.read = 0  # bytes, since it waits
        self._plain: Any = None
        self._secure: Any = None
        self._inner: asyncio.Protocol | None = None
        self._early = b""

    @property
    def owed(self) -> int:
        """Bytes of answers that have not left."""
        owed: int = self._secure.get_write_buffer_size() + self._plain.get_write_buffer_size()
        return owed

    def cut(self) -> None:
        """End it without a word: to those that wait it would be one more that takes its time."""
        self._others.leave(self)
        self._plain.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the address, and begin with TLS."""
        self._plain = transport
        self._plain.pause_reading()
        self.peer = tuple(self._plain.get_extra_info("peername")[:2])
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            own = self._plain.get_extra_info("socket")
            own.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1000 * UNHEARD_S))
        self._others.enter(self)
        self._securing = asyncio.ensure_future(self._secured())

    async def _secured(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            secure = await loop.start_tls(self._plain, self, self._context, server_side=True)
        except OSError:  # what it spoke was no TLS of ours, or it hung up
            self.cut()
            return
        if secure is None or self._plain.is_closing():
            self._others.leave(self)
            return
        self._secure, self._inner = secure, self._make()
        self._inner.connection_made(secure)
        if self._early:
            self._inner.data_received(self._early)

    def data_received(self, data: bytes) -> None:
        """Some of a request, perhaps right with the end of the handshake."""
        self._others.hears(self, len(data))
        if self._inner is None:
            self._early += data
        else:
            self._inner.data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is no more."""
        self._others.leave(self)
        if self._inner is not None:
            self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        """Its other side reads slower than it is answered."""
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        """It has caught up."""
        if self._inner is not None:
            self._inner.resume_writing()


class Loop(asyncio.SelectorEventLoop):
    """One whose servers show a connection to `connections` before TLS, where its address is known already."""

    def __init__(self, connections: Connections) -> None:
        super().__init__()
        self._connections = connections

    async def create_server(self, protocol_factory: Any, *args: Any, **more: Any) -> Any:
        """As asyncio's, with TLS."""
        context = more.pop("ssl")

        def made() -> Connection:
            return Connection(self._connections, protocol_factory, context)

        return await super().create_server(made, *args, **more)
