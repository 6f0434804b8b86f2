"""Flower's programs: how they are called, with what around them, and how they end.

They are told not to report home, not to look for updates and not to install anything. Whoever started one
ends it: by its process id, with the signal that lets it say good-bye, and its children end with it.
"""

import errno
import http.client
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import IO, TypeVar

from fedspike.deploy import silence
from fedspike.deploy.authority import ANEW
from fedspike.deploy.certificates import AUTHORITY, SERVER, demand_valid
from fedspike.deploy.folder import NODE_TOML, FleetFolder, NodeFolder
from fedspike.errors import InputError
from fedspike.files import appending, claimed, content_of, demand_room
from fedspike.shell import command

Client = TypeVar("Client")
START_WITHIN_S, END_WITHIN_S, AGAIN_AFTER_S = 180.0, 15.0, 0.5
# Flower's SYSTEM_TIME_TOLERANCE, and a second since HTTP has whole ones, and its TIMESTAMP_TOLERANCE
AHEAD_S, BEHIND_S = 6.0, 300.0
# X509_V_ERR_... of OpenSSL
CERT_NOT_YET_VALID, CERT_EXPIRED, HOST_MISMATCH, IP_MISMATCH = 9, 10, 62, 64


class NotYet(InputError):
    """What is mended by a clock that is set, or with time, and so is waited for."""


def environment(folder: FleetFolder) -> dict[str, str]:
    """What Flower finds around it: a home in the folder, what keeps it quiet here, and no proxy."""
    around = {name: value for name, value in os.environ.items() if not _is_proxy(name)}
    return around | {"FLWR_HOME": str(folder.path.resolve() / "flower")}


@contextmanager
def directly() -> Iterator[None]:
    """Meanwhile this process connects without a proxy: a fleet's machines reach each other, or do not."""
    proxies = {name: os.environ.pop(name) for name in list(os.environ) if _is_proxy(name)}
    try:
        yield
    finally:
        os.environ.update(proxies)


def client_of(
    kind: Callable[..., Client],
    address: str,
    authority: Path,
    asking: Sequence[object],
    **more: object,
) -> Client:
    """A client of Flower's, made by `kind`, that trusts this authority alone and takes no proxy."""
    with directly():
        return kind(address, False, content_of(authority), asking, **more)


def _is_proxy(name: str) -> bool:
    return name.lower().endswith("_proxy")


def superlink(folder: FleetFolder) -> tuple[list[str], dict[str, str]]:
    """The server's command and its environment: TLS, registered nodes only, a memory on the disk.

    Raises InputError where it lacks a part, its certificate is not valid now, or its port is not to be had.
    """
    folder.demand_whole()
    settings, server = folder.settings, folder.server.resolve()
    demand_valid(server / AUTHORITY, ANEW)
    demand_valid(server / SERVER, folder.renewal)
    demand_port(settings.listens_on, settings.port, folder.path / "fleet.toml")
    return _own("door", folder), environment(folder)


def _own(program: str, folder: FleetFolder) -> list[str]:
    """The command of a program of ours for a folder, which ends with this process."""
    module = f"fedspike.deploy.{program}"
    return [sys.executable, "-m", module, str(folder.path.resolve()), str(os.getpid())]


@contextmanager
def serving(folder: FleetFolder, log: IO[bytes] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """The server, once it answers; its output goes to `log`, or is shown.

    Raises InputError as `superlink` does, and where the folder's server runs already, on whatever port.
    """
    use = command("fleet", "status", folder.path)
    fix = f"its server runs already: use that one, as {use} does, or end it"
    with claimed(folder.path, fix=fix), started(*superlink(folder), log) as program:
        wait_until_healthy(folder, program)
        yield program


def log_of_training(folder: FleetFolder) -> Path:
    """What the server's side of trainings said."""
    return folder.server / "training.log"


@contextmanager
def trainers(folder: FleetFolder) -> Iterator[None]:
    """Meanwhile there is a process that waits for a training to be started; one ends, and the next begins."""
    command, around, over = _own("trainer", folder), environment(folder), threading.Event()

    def again() -> None:
        while not over.is_set():
            with started(command, around, log) as program:
                while program.poll() is None:
                    if over.wait(0.1):
                        program.terminate()  # nothing is lost with it, and nobody hears its last words
            over.wait(AGAIN_AFTER_S)  # one that cannot begin is not begun without end

    with appending(log_of_training(folder), folder.path) as log:
        watch = threading.Thread(target=again)
        watch.start()
        try:
            yield
        finally:
            over.set()
            watch.join()


def wait_until_healthy(folder: FleetFolder, server: subprocess.Popen[bytes]) -> None:
    """Wait for the server that was just started.

    Raises InputError where it ends, another one answers, or the disk is full.
    """
    until, reason = time.monotonic() + START_WITHIN_S, ""
    while time.monotonic() < until and server.poll() is None:
        if not (reason := ailment(folder.settings.here, folder.server / AUTHORITY)):
            return
        time.sleep(0.2)
    demand_room(folder.path)
    ended = f"it ended with exit code {server.returncode}"
    late = f"no answer within {START_WITHIN_S:.0f} s, {reason}"
    raise InputError(
        f"the server did not start: {late if server.poll() is None else ended}",
        expected="Flower's server, which answers",
        fix="see what it said: above, or in the folder logs; a busy machine may need longer: start it again",
    )


def wait_for_server(
    folder: NodeFolder, say: Callable[[str], None], knock: Callable[[NodeFolder], None]
) -> None:
    """Wait until a node's server answers, and clocks and certificates are good.

    It knocks meanwhile where a clock is wrong, so that the server's side knows why the node does not come.
    Raises InputError, as of `ailment`, where it is another server.
    """
    address, told = folder.settings.server, ""
    while True:
        try:
            kind = reason = ailment(address, folder.path / AUTHORITY)
            if reason:
                start = command("fleet", "server", "FOLDER")
                reason += f"\n  fix: start it there, {start}; or correct server in {folder.path / NODE_TOML}"
        except NotYet as error:
            kind, reason = error.fix, str(error)  # each time it says another second
            knock(folder)
        if not reason:
            return
        if kind != told:
            say(f"waiting for the server at {address}: {reason}")
        told = kind
        time.sleep(1.0)


def ailment(address: str, authority: Path) -> str:
    """Why nobody answers at an address yet; "" where a server does, with a certificate of this authority.

    Raises InputError where its certificate is not good, or this machine's clock is not: NotYet for what may
    be mended without this node.
    """
    try:
        context = ssl.create_default_context(cafile=str(authority))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{authority}: {error.strerror if isinstance(error, OSError) else error}",
            expected="the certificate of the fleet's authority",
            fix=f"copy server/{AUTHORITY} there from the folder of the fleet",
        ) from error
    try:
        secure = urllib.request.HTTPSHandler(context=context)
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}), secure)
        with direct.open(f"https://{address}/health", timeout=5) as answer:
            _demand_same_time(answer.headers.get("Date"), address)
        return ""
    except (OSError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(reason, ssl.SSLError):
            raise _bad_certificate(reason, address, authority) from error
        return silence.words(error)


def _bad_certificate(reason: ssl.SSLError, address: str, authority: Path) -> InputError:
    """What is wrong between a server's certificate, its authority and this clock, in words."""
    clock = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    code, kind = getattr(reason, "verify_code", None), InputError
    words = getattr(reason, "verify_message", "") or reason.reason or str(reason)
    passed = (
        f"{address} is not this fleet's server: its certificate is of another authority ({words})"
    )
    expected = f"one that {authority} signed"
    fix = "check server in node.toml; where the fleet was made anew, take the node's folder from it again"
    if code in (CERT_NOT_YET_VALID, CERT_EXPIRED):
        passed = f"the certificate of the server at {address}: {words}"
        expected = f"one that is valid now; this machine's clock says {clock}"
        fix = "set the clock if it is wrong; else, on the server: fedspike fleet renew my-fleet"
        kind = NotYet
    elif code in (HOST_MISMATCH, IP_MISMATCH):
        passed = f"the server at {address} has a certificate for other names: {words}"
        expected, fix = (
            "one for this address",
            "on the server: fedspike fleet renew my-fleet --host ADDRESS",
        )
    elif code is None:
        passed = f"what answers at {address} is not this fleet's server: {words}"
        expected, fix = (
            "a server that speaks TLS",
            "check the port, or stop the other program there",
        )
    return kind(passed, expected=expected, fix=fix)


def _demand_same_time(date: str | None, address: str) -> None:
    """Raise InputError where the clocks of the two machines are too far apart for Flower."""
    if date is None:
        return
    apart = (datetime.now(UTC) - parsedate_to_datetime(date)).total_seconds()
    if not -BEHIND_S <= apart <= AHEAD_S:
        raise NotYet(
            f"this machine's clock is {abs(apart):.0f} s {'ahead of' if apart > 0 else 'behind'} "
            f"that of the server at {address}",
            expected=f"at most {BEHIND_S:.0f} s behind and {AHEAD_S:.0f} s ahead: what a node says is "
            "signed with its time",
            fix="set the clocks of both, for example with NTP",
        )


def demand_port(host: str, port: int, file: Path) -> None:
    """Raise InputError where a program cannot listen there now; `file` says where."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    again = f"set another port in {file}, in invitation.toml and in node.toml of each node"
    try:
        with socket.socket(family) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
    except OSError as error:
        by_number = {
            errno.EADDRINUSE: (f"port {port} is taken by another program", again),
            errno.EACCES: (f"port {port} is not for every user", f"{again}: from 1024 on"),
        }
        passed, fix = by_number.get(
            error.errno or 0,
            (f"address {host} of this machine: {error.strerror}", f"set another host in {file}"),
        )
        raise InputError(passed, expected="an address and a port that are free", fix=fix) from error


def _not_started(program: str, error: OSError) -> InputError:
    return InputError(
        f"{program}: {error.strerror}",
        expected="a Python that can be started, and memory for one more program",
        fix="end other programs; where Python was moved or removed, install fedspike anew",
    )


@contextmanager
def started(
    command: Sequence[str], environment: dict[str, str], log: IO[bytes] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A program that ends when we are done with it; its output goes to `log`, or is shown."""
    try:
        program = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    except OSError as error:
        raise _not_started(command[0], error) from error
    try:
        yield program
    finally:
        end(program)


def end(program: subprocess.Popen[bytes]) -> None:
    """Let a program say good-bye, or end it."""
    # Not SIGINT, which a shell may have told what runs in its background to ignore.
    for number in (signal.SIGTERM, signal.SIGKILL):
        if program.poll() is not None:
            return
        program.send_signal(number)
        try:
            program.wait(END_WITHIN_S)
        except subprocess.TimeoutExpired:
            continue


def free_port() -> int:
    """A port of this machine that nobody uses at the moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port
