"""Getting files onto this machine: over HTTP, or out of a Debian package without installing it.

Both write into a folder that the caller gives and later throws away, and raise OSError when they
fail; whether the files are the right ones is for the caller to check.
"""

import hashlib
import http.client
import os
import shutil
import socket
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

STEP_BYTES = 5_000_000  # how often progress is said
LARGEST_BYTES, LARGEST_ARCHIVE = 100_000_000, 400_000_000
APT_SECONDS = 600
SILENCE_SECONDS = 30


def from_web(
    url: str,
    folder: Path,
    say: Callable[[str], None],
    wait_seconds: float = 5.0,
    most_bytes: int = LARGEST_BYTES,
) -> None:
    """Fetch `url` into `folder`; `wait_seconds` is the longest silence of the server.

    Raises OSError if it cannot be reached, does not have the file, or stops early.
    """
    name = url.rpartition("/")[2]
    try:
        with (
            urllib.request.urlopen(url, timeout=wait_seconds) as answer,
            (folder / name).open("wb") as file,
        ):
            total = answer.length  # None where the server does not say
            of_total = f" of {total / 1e6:.0f}" if total else ""
            received, last = 0, 0
            while block := answer.read(1 << 16):
                file.write(block)
                received += len(block)
                if received > most_bytes:
                    raise OSError(f"{url} is larger than {most_bytes / 1e6:.0f} MB")
                if received - last >= STEP_BYTES:
                    last = received
                    say(f"  {name}: {received / 1e6:.0f}{of_total} MB")
    except urllib.error.HTTPError as error:
        with error:  # it holds the connection open
            raise OSError(f"{url} answered {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise OSError(f"{url}: {error.reason}") from error
    except TimeoutError as error:
        raise OSError(f"{url} said nothing for {wait_seconds} s") from error
    except http.client.HTTPException as error:
        raise OSError(f"{url} did not answer in HTTP: {error!r}") from error
    if total is not None and received != total:
        raise OSError(f"{url} stopped after {received} of {total} bytes")


def cached(url: str, cache: Path, md5: str, say: Callable[[str], None]) -> None:
    """Fetch a file into the cache unless it is there unchanged; it is moved in whole.

    Raises OSError if it cannot be had, or has another content.
    """
    name = url.rpartition("/")[2]
    if (cache / name).exists() and md5_of(cache / name) == md5:
        return
    say(f"  {url}")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetching-", dir=cache) as temporary:
        from_web(url, Path(temporary), say, most_bytes=LARGEST_ARCHIVE)
        if (digest := md5_of(Path(temporary) / name)) != md5:
            raise OSError(f"{url} has MD5 {digest}, not {md5}")
        (Path(temporary) / name).replace(cache / name)


def moved_in(folder: Path, fetch: Callable[[Path], object]) -> None:
    """Have files fetched beside a folder and, when all are there, moved in, each whole.

    Raises what `fetch` raises, and OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    silence = socket.getdefaulttimeout()
    try:
        with tempfile.TemporaryDirectory(prefix=".fetching-", dir=folder) as temporary:
            root = Path(temporary)
            socket.setdefaulttimeout(SILENCE_SECONDS)  # whoever fetches may have none
            fetch(root)
            for path in sorted(one for one in root.rglob("*") if one.is_file()):
                place = folder / path.relative_to(root)
                place.parent.mkdir(parents=True, exist_ok=True)
                path.replace(place)
    finally:
        socket.setdefaulttimeout(silence)
        with suppress(OSError):  # it is not empty
            folder.rmdir()


def size_of(url: str, wait_seconds: float = 5.0) -> int | None:
    """How many bytes a server has to send, where it says so; nothing is fetched. Raises OSError."""
    request = urllib.request.Request(url, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=wait_seconds) as answer:
            size = answer.headers.get("Content-Length")
    except urllib.error.HTTPError as error:
        with error:  # it holds the connection open
            raise OSError(f"{url} answered {error.code} {error.reason}") from error
    except (urllib.error.URLError, http.client.HTTPException) as error:
        raise OSError(f"{url}: {getattr(error, 'reason', error)}") from error
    return int(size) if size and size.isdigit() else None


def md5_of(path: Path) -> str:
    """The MD5 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def from_debian(package: str, folder: Path, say: Callable[[str], None]) -> None:
    """Unpack a Debian package into `folder`, with neither root nor a change to the system.

    Where the machine's package lists do not serve, fresh ones go into `folder` too, which is an
    absolute path because these programs run in it.
    Raises OSError if this is no Debian-like system or the package cannot be had.
    """
    for command in ("apt-get", "dpkg-deb"):
        if shutil.which(command) is None:
            raise OSError(f"no {command} on this machine")
    try:
        _run("apt-get", "download", package, folder=folder)
    except OSError as error:
        say(f"  {error}; again with fresh package lists (apt-get update) in a temporary folder")
        (folder / "lists" / "partial").mkdir(parents=True)
        own_lists = ("-o", f"Dir::State::Lists={folder}/lists", "-o", f"Dir::Cache={folder}")
        _run("apt-get", *own_lists, "update", folder=folder)
        _run("apt-get", *own_lists, "download", package, folder=folder)
    for archive in folder.glob("*.deb"):
        _run("dpkg-deb", "-x", str(archive), str(folder), folder=folder)


def _run(*command: str, folder: Path) -> None:
    shown = " ".join(command)
    try:
        process = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=APT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise OSError(f"{shown} took longer than {APT_SECONDS} s") from error
    if process.returncode != 0:
        complaint = process.stderr.strip().splitlines() or ["no message"]
        raise OSError(f"{shown} failed: {complaint[-1]}")
