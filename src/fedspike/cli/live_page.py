"""`fedspike watch --web`: a page on this machine alone, to which the server sends what has changed."""

import json
import re
import secrets
import sys
import threading
import time
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, NoReturn

from fedspike.cli.picture import headline, numbers
from fedspike.cli.stopping import leave, on_stop
from fedspike.deploy.hosts import demand_port
from fedspike.errors import InputError
from fedspike.records.views import ExperimentView, RunView, View
from fedspike.records.watching import Watcher
from fedspike.report.rendering.libraries import demand
from fedspike.report.rendering.live import live_page

LOOPBACK = "127.0.0.1"
OWN_NAMES = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d+)?")  # also behind a tunnel of ssh
LOOK_S = 1.0  # between two looks
SILENCE_S = 30.0  # how long a browser may take nothing before its connection is closed
DECIMALS = 5  # of an accuracy in a curve


def serve(watcher: Watcher, port: int) -> NoReturn:
    """Show the page until somebody stops it; port 0 stands for one that is free.

    Raises InputError where the port cannot be had, and where what makes the page is not installed.
    """
    demand("jinja2")
    if port:
        demand_port(port, "--port")
    try:
        server = _Server((LOOPBACK, port), _Answer)
    except OSError as error:
        raise InputError(
            f"--port {port}: {error.strerror}",
            expected="a port of this machine that is free and may be used",
            fix="leave it out: one that is free is taken",
        ) from error
    with on_stop(partial(leave, last_words="\nStopped.\n")):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sys.stdout.write(f"http://{LOOPBACK}:{server.server_address[1]}/\n")
        sys.stdout.flush()
        while True:
            server.looks.show(watcher.look())
            time.sleep(LOOK_S)


class _Looks:
    """The newest look, for which any number of browsers wait."""

    def __init__(self) -> None:
        self._turn = threading.Condition()
        self._number, self._newest = 0, View(experiments=(), absent=())

    def show(self, view: View) -> None:
        """There is a new one."""
        with self._turn:
            self._number, self._newest = self._number + 1, view
            self._turn.notify_all()

    def after(self, number: int) -> tuple[int, View]:
        """The newest look and its number, once there is one after that with this number."""
        with self._turn:
            self._turn.wait_for(lambda: self._number > number)
            return self._number, self._newest


class _Server(ThreadingHTTPServer):
    """A thread for each connection; none of them keeps the command from ending."""

    daemon_threads = True

    def __init__(self, *settings: Any) -> None:
        self.looks = _Looks()
        super().__init__(*settings)

    def server_bind(self) -> None:
        """Without asking the network for the name of this machine, as Python's own does."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = LOOPBACK, self.server_address[1]


class _Answer(BaseHTTPRequestHandler):
    """Answers the page, and the stream of what changes, to browsers that ask for this machine."""

    server: _Server
    timeout = SILENCE_S

    def do_GET(self) -> None:
        """Answer, unless the request names another host, or another page sent it."""
        if not OWN_NAMES.fullmatch(self.headers.get("Host", "")):
            self._text(403, f"This page is at {LOOPBACK} alone.\n")
        elif not self._is_its_own():
            self._text(403, "This page is read by itself alone.\n")
        elif self.path == "/":
            self._page()
        elif self.path == "/events":
            self._events()
        else:
            self._text(404, "There is one page here: /\n")

    def _is_its_own(self) -> bool:
        """Whether no page of another origin sent the request; to follow a link to the page is no reading.

        Browsers say so in two ways, the older of them only sometimes. Other programs say nothing.
        """
        site, sent_by = self.headers.get("Sec-Fetch-Site"), self.headers.get("Origin")
        followed = self.path == "/" and self.headers.get("Sec-Fetch-Mode") == "navigate"
        of_itself = sent_by in (None, f"http://{self.headers['Host']}")
        return of_itself and (followed or site in (None, "none", "same-origin"))

    def version_string(self) -> str:
        """Without Python's version."""
        return "fedspike"

    def log_message(self, *_: Any) -> None:
        """Nothing: the terminal shows the address."""

    def _page(self) -> None:
        nonce = secrets.token_urlsafe(16)
        rules = (
            *("default-src 'none'", f"style-src 'nonce-{nonce}'", f"script-src 'nonce-{nonce}'"),
            *("connect-src 'self'", "img-src data:", "base-uri 'none'", "form-action 'none'"),
            "frame-ancestors 'none'",
        )
        self._head(200, "text/html; charset=utf-8", {"Content-Security-Policy": "; ".join(rules)})
        self.wfile.write(live_page(nonce).encode())

    def _text(self, status: int, text: str) -> None:
        self._head(status, "text/plain; charset=utf-8", {})
        self.wfile.write(text.encode())

    def _head(self, status: int, kind: str, others: dict[str, str]) -> None:
        self.send_response(status)
        about = {
            **{"Content-Type": kind, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"},
            **{
                "X-Content-Type-Options": "nosniff",
                "Cross-Origin-Resource-Policy": "same-origin",
                "Connection": "close",
            },
        }
        for name, value in (about | others).items():
            self.send_header(name, value)
        self.end_headers()

    def _events(self) -> None:
        self._head(200, "text/event-stream", {})
        number, sent = 0, dict[tuple[str, str], RunView]()
        try:
            while True:
                number, view = self.server.looks.after(number)
                news = _news(view, sent)
                self.wfile.write(f"retry: 1000\ndata: {json.dumps(news)}\n\n".encode())
                sent = {(one.folder, run.run): run for one in view.experiments for run in one.runs}
        except OSError:
            self.close_connection = True  # the browser has gone


def _news(view: View, sent: dict[tuple[str, str], RunView]) -> dict[str, Any]:
    """What the page needs to know, with those runs that are not as they were `sent`."""
    return {
        "at": time.strftime("%H:%M:%S"),
        "absent": view.absent,
        "experiments": [_experiment(one, sent) for one in view.experiments],
    }


def _experiment(one: ExperimentView, sent: dict[tuple[str, str], RunView]) -> dict[str, Any]:
    return {
        "folder": one.folder,
        "state": one.state,
        "headline": headline(one).removeprefix(f"{one.folder}: "),
        "command": one.command,
        "remarks": one.remarks,
        "fixes": one.fixes,
        "runs": [run.run for run in one.runs],
        "changed": [_run(run) for run in one.runs if sent.get((one.folder, run.run)) != run],
    }


def _run(run: RunView) -> dict[str, Any]:
    return {
        "run": run.run,
        "state": run.state,
        "spiking": run.spiking,
        "cells": numbers(run),
        "curve": [(x, round(accuracy, DECIMALS)) for x, accuracy in run.curve],
        "remarks": run.remarks,
    }
