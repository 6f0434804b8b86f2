"""Flower's programs: how they are called, with what around them, and how they end.

They are told not to report home, not to look for updates and not to install anything. Whoever started one
ends it: by its process id, with the signal that lets it say good-bye, and its children end with it.
"""

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from fedspike.deploy.certificates import AUTHORITY, KEY, NODE_KEY, SERVER
from fedspike.deploy.folder import SUPERLINK, FleetFolder, NodeFolder
from fedspike.errors import InputError

FOLDER = "FEDSPIKE_FLEET"  # tells the server's app where its folder is
OWN_FILES = (
    "FEDSPIKE_OWN"  # tells a node's app where the files with parts are that the node was given
)
QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.1",  # seconds; without it a second of each round is waited
}
START_WITHIN_S, END_WITHIN_S = 60.0, 15.0


def environment(flower_home: Path, **more: str) -> dict[str, str]:
    """What Flower's programs find around them: each other first, and what keeps them quiet."""
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    home = {"FLWR_HOME": str(flower_home.resolve()), "PATH": programs}
    return os.environ | QUIET | home | more


def superlink(folder: FleetFolder) -> tuple[list[str], dict[str, str]]:
    """The server's command and its environment: TLS, registered nodes only, a memory on the disk.

    Raises InputError where it lacks its certificate.
    """
    settings, server = folder.settings, folder.server.resolve()
    for file in (AUTHORITY, SERVER, KEY):
        if not (server / file).exists():
            raise InputError(
                f"{server / file} is not there",
                expected="the server's certificate and key: without TLS there is no fleet",
                fix="restore it, or make a new folder with fedspike fleet init",
            )
    command = [
        *("flower-superlink", "--host", settings.listens_on, "--port", str(settings.port)),
        *("--ssl-ca-certfile", str(server / AUTHORITY), "--ssl-certfile", str(server / SERVER)),
        *("--ssl-keyfile", str(server / KEY), "--enable-supernode-auth"),
        *("--database", str(server / "flower.db")),
    ]
    home = folder.path / "flower"
    return command, environment(home, **{FOLDER: str(folder.path.resolve())})


def supernode(folder: NodeFolder, data: Path) -> tuple[list[str], dict[str, str]]:
    """A node's command and its environment. Raises InputError where the data are not there."""
    settings, home = folder.settings, folder.path.resolve()
    if not data.exists():
        raise InputError(
            f"{data}: no such file or folder",
            expected="the device's own samples, an .npz file with x_train and y_train",
            fix="name it with --data",
        )
    config = {"node": settings.node, "home": str(home), "data": str(data.resolve())}
    words = " ".join(f'{key}="{value}"' for key, value in config.items())
    command = [
        *("flower-supernode", "--superlink", settings.server),
        *("--root-certificates", str(home / AUTHORITY)),
        *("--auth-supernode-private-key", str(home / NODE_KEY)),
        *("--host", "127.0.0.1", "--port", str(free_port())),
        *("--node-config", f"{words} client={settings.client}"),
    ]
    return command, environment(home / "flower", **{OWN_FILES: str(home)})


def ask(folder: FleetFolder, *words: str) -> dict[str, Any]:
    """What Flower's command line answers. Raises InputError with its words where it says no."""
    command = ["flwr", *words, SUPERLINK, "--format", "json"]
    process = subprocess.run(
        command,
        env=environment(folder.path / "flower"),
        capture_output=True,
        text=True,
        timeout=120,
    )
    try:
        answer: dict[str, Any] = json.loads(process.stdout)
    except ValueError:
        answer = {"error-message": (process.stderr or process.stdout).strip()[-500:]}
    if process.returncode or not answer.get("success", False):
        raise InputError(
            f"flwr {' '.join(words)}: {answer.get('error-message', 'no answer')}",
            expected="a server that runs and agrees",
            fix=f"fedspike fleet server {folder.path}",
        )
    return answer


def wait_until_healthy(folder: FleetFolder, server: subprocess.Popen[bytes]) -> None:
    """Wait for the server that was just started. Raises InputError where it ends, or another one answers."""
    address, authority = f"127.0.0.1:{folder.settings.port}", folder.server / AUTHORITY
    until = time.monotonic() + START_WITHIN_S
    while time.monotonic() < until and server.poll() is None:
        if is_healthy(address, authority):
            return
        time.sleep(0.2)
    raise InputError(
        f"the server on port {folder.settings.port} did not start",
        expected="a port that no other program uses",
        fix=f"see what it said above, or set another port in {folder.path / 'fleet.toml'}",
    )


def wait_for_server(folder: NodeFolder, say: Callable[[str], None]) -> None:
    """Wait until a node's server answers; InputError, as of `is_healthy`, where it is another one."""
    address, told = folder.settings.server, False
    while not is_healthy(address, folder.path / AUTHORITY):
        if not told:
            say(f"waiting for the server at {address}")
        told = True
        time.sleep(1.0)


def is_healthy(address: str, authority: Path) -> bool:
    """Whether a server answers, with a certificate of this authority; False where nobody answers yet.

    Raises InputError where its certificate is another's, or it has none.
    """
    try:
        context = ssl.create_default_context(cafile=str(authority))
        url = f"https://{address}/health"
        with urllib.request.urlopen(url, timeout=5, context=context):
            return True
    except (OSError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(reason, ssl.SSLError):
            raise InputError(
                f"{address} is not this fleet's server: {reason}",
                expected=f"TLS with a certificate that {authority} signed, for this address",
                fix="copy the node's folder from the server again, or name the address to init with --host",
            ) from error
        return False


@contextmanager
def started(
    command: Sequence[str], environment: dict[str, str], log: IO[bytes] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A program that ends when we are done with it; its output goes to `log`, or is shown."""
    program = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        yield program
    finally:
        end(program)


def end(program: subprocess.Popen[bytes]) -> None:
    """Let a program say good-bye, or end it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
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
