"""`fedspike watch --web` in a real browser: it draws what others train, and answers this machine alone."""

import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver

from browsing import NEEDS_BROWSER, ask, browsing, show
from running import FEDSPIKE, endless

ROWS = (
    "[...document.querySelectorAll('tbody tr')].map(row => [...row.cells].map(c => c.textContent))"
)
STATE = "document.querySelector('.state')?.textContent"
CONNECTION = "document.getElementById('connection').textContent"


@contextmanager
def served(folder: Path, *words: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """The command, at this folder, and the address that it prints."""
    process = subprocess.Popen(
        [*FEDSPIKE, "watch", "--web", *words, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Any]]:
    """A folder, and the process that trains in it."""
    folder = tmp_path_factory.mktemp("runs")
    process = endless(folder, "<b>mine</b>")
    yield folder, process
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with browsing(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


def until(value: Callable[[], Any], holds: Callable[[Any], object], seconds: float = 60) -> Any:
    """The first value of which something holds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds(now := value()):
            return now
        time.sleep(0.1)
    raise AssertionError(value())


def answer(
    port: int, path: str, host: str | None, method: str = "GET", **headers: str
) -> http.client.HTTPResponse:
    """What a request for this host gets."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.putrequest(method, path, skip_host=True)
    if host is not None:
        connection.putheader("Host", host)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    return connection.getresponse()


def own_address() -> str | None:
    """An address of this machine on a network; a socket that sends nothing knows it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect(("192.0.2.1", 9))
        except OSError:
            return None
        address: str = asking.getsockname()[0]
        return address


def test_only_this_machine_is_answered(tmp_path: Path) -> None:
    with served(tmp_path) as (process, address):
        port = int(address.rstrip("/").rpartition(":")[2])
        assert address == f"http://127.0.0.1:{port}/"
        for other in filter(None, ("127.0.0.2", own_address())):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((other, port), timeout=5)
        for host in ("localhost", "127.0.0.1:9", "[::1]:8000"):
            assert answer(port, "/", host).status == 200
        evil = ("evil.example", "127.0.0.1.evil.example", f"evil.example:{port}")
        for wrong in (None, "", *evil):
            for path in ("/", "/events"):
                assert answer(port, path, wrong).status == 403
        assert answer(port, "/../../etc/passwd", "localhost").status == 404
        page = answer(port, "/", "localhost")
        rules = page.headers["Content-Security-Policy"]
        assert rules.startswith("default-src 'none'; ")
        assert "connect-src 'self'" in rules
        nonces = {answer(port, "/", "localhost").headers["Content-Security-Policy"], rules}
        assert len(nonces) == 2
        assert b"http" not in page.read().replace(b"http://www.w3.org/2000/svg", b"")
        stream = answer(port, "/events", "localhost")  # somebody who listens keeps nothing up
        assert stream.readline().startswith(b"retry: ")
        taken = subprocess.run(
            [*FEDSPIKE, "watch", "--web", "--port", str(port)], capture_output=True, text=True
        )
        assert taken.returncode == 2
        assert f"--port {port}: Address already in use" in taken.stderr
        asked = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 130
        assert time.monotonic() - asked < 2


def test_another_page_in_the_same_browser_reads_nothing(tmp_path: Path) -> None:
    """Neither by a request of its own, which says its origin, nor as a script or picture of its own."""
    with served(tmp_path) as (_, address):
        port = int(address.rstrip("/").rpartition(":")[2])
        host = f"127.0.0.1:{port}"
        others = ("http://evil.example", "null", f"https://{host}", "http://127.0.0.1:9", "")
        foreign: list[dict[str, str]] = [{"Origin": one} for one in others]
        for site in ("cross-site", "same-site"):
            foreign += [{"Sec_Fetch_Site": site, "Sec_Fetch_Mode": m} for m in ("no-cors", "cors")]
        for path in ("/", "/events"):
            for headers in foreign:
                refused = answer(port, path, host, **headers)
                assert refused.status == 403, headers
                assert b"experiments" not in refused.read()
            for own in ({"Origin": f"http://{host}"}, {"Sec_Fetch_Site": "same-origin"}):
                answered = answer(port, path, host, **own)
                assert answered.status == 200
                assert not [name for name in answered.headers if "access-control" in name.lower()]
                assert answered.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        link = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}
        assert answer(port, "/", host, **link).status == 200  # and nobody may frame it
        assert answer(port, "/events", host, **link).status == 403
        for method in ("POST", "PUT", "OPTIONS", "HEAD"):
            asked = answer(port, "/events", host, method, Origin="http://evil.example")
            assert asked.status == 501
            assert not [name for name in asked.headers if "access-control" in name.lower()]


@NEEDS_BROWSER
def test_the_page_draws_what_is_trained(
    browser: webdriver.Chrome, training: tuple[Path, Any]
) -> None:
    folder, process = training
    with served(folder) as (command, address):
        show(browser, address, scheme="light")
        rows = until(lambda: ask(browser, ROWS), lambda rows: rows and all(r[3] for r in rows))
        assert [row[0] for row in rows] == ["ann-iid-seed0", "snn-iid-seed0"]
        before = int(rows[0][2].partition("/")[0])
        until(
            lambda: ask(browser, ROWS)[0][2], lambda text: int(text.partition("/")[0]) > before + 5
        )
        assert ask(browser, STATE).startswith("running, 0 of 2 runs finished, ")
        heading = ask(browser, "document.querySelector('h2').textContent")
        assert heading == f"{folder}/<b>mine</b>"  # as text: nobody's name is HTML
        curves = ask(
            browser,
            """[...document.querySelectorAll('.curve')].map(curve => [
                curve.dataset.run, getComputedStyle(curve).stroke, curve.getBBox().width > 0])""",
        )
        assert [curve[:2] for curve in curves] == [
            ["ann-iid-seed0", "rgb(0, 103, 166)"],
            ["snn-iid-seed0", "rgb(184, 69, 0)"],
        ]
        assert curves[0][2]
        show(browser, address, scheme="dark", width=390)
        until(lambda: ask(browser, ROWS), bool)
        assert ask(browser, "getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 27)"
        assert ask(browser, "document.documentElement.scrollWidth") <= 390
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        said = until(lambda: ask(browser, STATE), lambda text: text.startswith("stopped"))
        assert said == "stopped, 0 of 2 runs finished; to go on:"
        going_on = ask(browser, "document.querySelector('pre').textContent")
        assert going_on == f"fedspike run endless.toml --output '{folder}/<b>mine</b>'"
        assert browser.get_log("browser") == []
        command.send_signal(signal.SIGINT)
        assert command.wait(timeout=10) == 130
        lost = until(lambda: ask(browser, CONNECTION), lambda text: "Not connected" in text)
        assert "fedspike watch has ended" in lost
        assert len(ask(browser, ROWS)) == 2  # what was seen last stays
    with served(folder, "--port", address.rstrip("/").rpartition(":")[2]):
        until(lambda: ask(browser, CONNECTION), lambda text: text.startswith("Live, "))
        assert ask(browser, STATE) == said
