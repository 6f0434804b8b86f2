"""Certificates as if made on another day, and a server over TLS that does nothing but answer."""

import http.server
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fedspike.deploy import authority


@contextmanager
def answering(home: Path, host: str = "127.0.0.1", date: str | None = None) -> Iterator[int]:
    """A health check with the server's certificate; the port."""

    class Healthy(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def date_time_string(self, timestamp: float | None = None) -> str:
            return date or super().date_time_string(timestamp)

        def log_message(self, *_: object) -> None: ...

    class Server(http.server.HTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

        def handle_error(self, *_: object) -> None: ...

    with Server((host, 0), Healthy) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(home / "server.crt", home / "server.key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def write_certificates(folder: Path, names: list[str]) -> None:
    authority.write(folder, names, authority.Safe(folder / authority.AUTHORITY_KEY))


@contextmanager
def clock_off_by(days: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Meanwhile certificates are made as if today were so many days from now."""
    in_days = authority._in_days
    with monkeypatch.context() as patch:
        patch.setattr(authority, "_in_days", lambda ahead: in_days(ahead + days))
        yield
