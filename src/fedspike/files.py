"""Files that are there whole or not at all, whatever happens while they are written."""

import errno
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from fedspike.errors import InputError

try:
    import fcntl
except ImportError as error:
    raise InputError(
        "this is Windows",
        expected="Linux or macOS, which can lock a folder and read it while it changes",
        fix="run FedSpike in WSL (https://learn.microsoft.com/windows/wsl/install)",
    ) from error

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turn the system's refusal to write into an InputError that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            expected = "free space on the disk; what was written before is whole"
            fix = "free some space and give the same command again: it goes on where it stopped"
        else:
            expected = "a folder that can be made and written to"
            fix = "name another folder with --output, or change its permissions"
        raise InputError(
            f"{path}: cannot be written ({error.strerror or error})", expected=expected, fix=fix
        ) from error


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Make the folder and keep other runs out of it; the system lets go when the process ends."""
    with storing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"{folder} is in use by another fedspike",
                expected="one process for a folder at a time",
                fix="wait for the other one, or name another folder with --output",
            ) from error
        yield
    finally:
        os.close(descriptor)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that a crash leaves the old content or the new one, never a part."""
    temporary = path.with_name(f".{path.name}.partial")
    with storing(path):
        try:
            write_through(temporary, content)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        settle(path.parent)


def write_through(path: Path, content: bytes) -> None:
    """Write a file and wait until it is on the disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def settle(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def append(path: Path, line: bytes) -> None:
    """Append a line; if that fails, what was there before stays and no part of the line."""
    with storing(path), path.open("ab", buffering=0) as file:
        before, left = file.tell(), line
        try:
            while left:  # a disk that runs full takes a part first and complains then
                left = left[file.write(left) :]
            os.fsync(file.fileno())
        except BaseException:
            file.truncate(before)
            raise


def content_of(path: Path, most: int) -> bytes:
    """The content of a file that a person named.

    Raises OSError where it has more than `most` bytes, and for pipes and devices, which might never end.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is no file but a folder, a pipe or a device")
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(most + 1)
        if len(content) > most:
            raise OSError(errno.EFBIG, f"it has more than {most} bytes")
        return content
    finally:
        os.close(descriptor)


def home() -> Path:
    """The user's home; for whoever has none, as Debian calls it, one that nobody can make or enter."""
    try:
        return Path.home()
    except RuntimeError:
        return Path("/nonexistent")


def json_bytes(value: object, indent: int | None = 1) -> bytes:
    """A record as JSON, always the same for the same value. Raises ValueError at nan, which JSON lacks."""
    plain = msgspec.to_builtins(value, str_keys=True)
    return json.dumps(plain, indent=indent, allow_nan=False).encode() + b"\n"


def read_json(path: Path, *, fix: str) -> dict[str, Any]:
    """A JSON object that we wrote. Raises InputError, with this `fix`, where it is damaged."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: cannot be read ({error})", expected="the file as fedspike wrote it", fix=fix
        ) from error
    if not isinstance(value, dict):
        raise InputError(
            f"{path}: not an object", expected="the file as fedspike wrote it", fix=fix
        )
    return value
