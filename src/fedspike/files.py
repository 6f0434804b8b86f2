"""Files that are there whole or not at all, whatever happens while they are written."""

import errno
import json
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from io import FileIO
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
NOT_OURS = (errno.ELOOP, errno.ENOTDIR)  # a link, or a file, where ours should be
ROOM = 2**24  # bytes: with less left, a disk counts as full
MOST = 2**40  # bytes that a file of ours may have
MOST_SMALL = 2**20  # bytes: keys, certificates and what a system says of itself have less
MOST_JSON = 2**30  # bytes of JSON, whose values take many times as much memory
NO_LOCK_OF_FOLDERS = (
    errno.EBADF,
    errno.EISDIR,
    errno.EINVAL,
)  # as NFS says, which locks files alone
SHARED_DISKS = ("nfs", "cifs", "smb", "fuse", "9p", "virtiofs", "lustre", "gpfs", "beegfs", "ceph")
FIRST_NAMESPACE = 0xEFFFFFFC  # of process ids: Linux' own number of the one that sees all processes
LOCK = ".lock"  # the file that stands for its folder there
FOLDER = os.O_RDONLY | os.O_DIRECTORY
FREE_SPACE = "free space on the disk; what was written before is whole"
ANOTHER = "wait for the other one, or name another folder with --output"
SOME_SPACE = "free some space; if the command ended, give it again: it goes on where it stopped"


def is_full(path: Path) -> bool:
    """Whether the disk on which a folder lies is full, or as good as that."""
    free = os.statvfs(path)
    return free.f_bavail * free.f_frsize < ROOM


def demand_room(path: Path) -> None:
    """Raise InputError where the disk on which a folder lies is full."""
    if is_full(path):
        raise InputError(f"the disk of {path} is full", expected=FREE_SPACE, fix=SOME_SPACE)


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turn the system's refusal to write into an InputError that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            expected, fix = FREE_SPACE, SOME_SPACE
        elif error.errno in NOT_OURS:
            expected = "folders and files, and below the output folder no link to somewhere else"
            fix = "remove the link or file that is in the way, or name another folder with --output"
        else:
            expected = "a folder that can be made and written to"
            fix = "name another folder with --output, or change its permissions"
        raise InputError(
            f"{path}: cannot be written ({error.strerror or error})", expected=expected, fix=fix
        ) from error


@contextmanager
def claimed(
    folder: Path,
    root: Path | None = None,
    *,
    wait: bool = False,
    shared: bool = False,
    fix: str = ANOTHER,
) -> Iterator[None]:
    """Make the folder, below `root`, and keep others out; the system lets go when the process ends.

    Those that want it `shared` keep out only those that do not. Raises InputError with the `fix` where
    another process has it; with `wait`, waits for that one.
    """
    how = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    with opened(folder, root or folder) as descriptor, ExitStack() as stack:
        try:
            try:
                fcntl.flock(descriptor, how)
            except OSError as error:
                if error.errno not in NO_LOCK_OF_FOLDERS:
                    raise
                flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
                file = os.open(LOCK, flags, 0o666, dir_fd=descriptor)
                stack.callback(os.close, file)
                fcntl.flock(file, how)
        except BlockingIOError as error:
            raise InputError(
                f"{folder} is in use by another fedspike",
                expected="one process for a folder at a time",
                fix=fix,
            ) from error
        except OSError as error:
            raise InputError(
                f"{folder}: cannot be locked ({error.strerror or error})",
                expected="a disk, of this machine or shared by several, on which locks work",
                fix="name a folder on another disk with --output",
            ) from error
        yield


def held(folder: Path) -> bool | None:
    """Whether somebody has claimed a folder, asked without claiming it; None where that cannot be known.

    Linux tells of the locks on this machine's disks. It tells nothing of what other machines do on a disk
    that is shared, nor of processes outside the container that this one is in.
    """
    try:
        descriptor = os.open(folder, FOLDER)
    except OSError:
        return None
    try:
        about = dict(
            line.split(":", 1) for line in _system_says(f"self/fdinfo/{descriptor}").splitlines()
        )
        number, inode = about["mnt_id"].strip(), os.fstat(descriptor).st_ino
        mounts = [line.split() for line in _system_says("self/mountinfo").splitlines()]
        major_minor, kind = next(
            (one[2], one[one.index("-") + 1]) for one in mounts if one[0] == number
        )
        locks = [line.split() for line in _system_says("locks").splitlines()]
        everybody = str(Path("/proc/self/ns/pid").readlink()) == f"pid:[{FIRST_NAMESPACE}]"
    except (OSError, KeyError, StopIteration):
        return None  # another system, or a mount that was just removed
    finally:
        os.close(descriptor)
    major, minor = map(int, major_minor.split(":"))
    name = f"{major:02x}:{minor:02x}:{inode}"
    if any(one[1] == "FLOCK" and one[5] == name for one in locks):
        return True
    return False if everybody and not kind.startswith(SHARED_DISKS) else None


def _system_says(name: str) -> str:
    """A file of Linux about itself and its processes."""
    return content_of(Path("/proc") / name, MOST_JSON).decode(errors="replace")


@contextmanager
def opened(folder: Path, root: Path, mode: int = 0o777) -> Iterator[int]:
    """A descriptor of a folder, which is made where it is not there.

    The `root`, which a person named, may be a link or lie behind one. Below it nothing may: somebody else's
    run directory must not lead out of itself. Raises InputError where something does.
    """
    with storing(folder):
        root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(root, FOLDER)
        try:
            for name in folder.relative_to(root).parts:
                with suppress(FileExistsError):
                    os.mkdir(name, mode, dir_fd=descriptor)
                inner = os.open(name, FOLDER | os.O_NOFOLLOW, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = inner
        except BaseException:
            os.close(descriptor)
            raise
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def make_folder(folder: Path, root: Path, mode: int = 0o777) -> None:
    """Make a folder below `root`, unless it is there. Raises InputError where something else is."""
    with opened(folder, root, mode):
        return


def write_whole(path: Path, content: bytes, root: Path, mode: int = 0o666) -> None:
    """Write a file below `root` so that a crash leaves the old content or the new one, never a part.

    A link in its place is replaced, not followed.
    """
    temporary = f".{path.name}.partial"
    with opened(path.parent, root) as folder, storing(path):
        try:
            _write_through(temporary, content, folder, mode)
            os.rename(temporary, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=folder)
            raise
        os.fsync(folder)


def demand_free(path: Path) -> None:
    """Raise InputError where something is at a path already."""
    if path.exists() or path.is_symlink():
        raise _taken(path)


def write_new(path: Path, content: bytes) -> None:
    """Write a file that a person named where nothing is yet. Raises InputError where something is."""
    with opened(path.parent, path.parent) as folder, storing(path):
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        try:
            descriptor = os.open(path.name, flags, 0o666, dir_fd=folder)
        except FileExistsError as error:
            raise _taken(path) from error
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            os.unlink(path.name, dir_fd=folder)
            raise


def _taken(path: Path) -> InputError:
    return InputError(
        f"{path} is there already",
        expected="a new file: none is written over",
        fix="name another one, or move it",
    )


def write_folder(path: Path, contents: Mapping[str, bytes], root: Path) -> None:
    """Write a folder of files below `root` so that it is there with all of them, or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    with opened(path.parent, root) as parent, storing(path):
        try:
            _remove(partial.name, parent)
            with opened(partial, root) as folder:
                for name, content in contents.items():
                    _write_through(name, content, folder)
                os.fsync(folder)
            os.rename(partial.name, path.name, src_dir_fd=parent, dst_dir_fd=parent)
        except BaseException:
            with suppress(OSError):
                _remove(partial.name, parent)
            raise
        os.fsync(parent)


def remove(path: Path, root: Path) -> None:
    """Remove a file, a folder with all that is in it, or a link, of which the target stays."""
    with opened(path.parent, root) as folder, storing(path):
        _remove(path.name, folder)


def appending(path: Path, root: Path) -> FileIO:
    """A file below `root`, to append to."""
    with opened(path.parent, root) as folder, storing(path):
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
        return FileIO(os.open(path.name, flags, 0o666, dir_fd=folder), "ab")


def append(path: Path, line: bytes, root: Path) -> None:
    """Append a line; if that fails, what was there before stays and no part of the line."""
    with appending(path, root) as file, storing(path):
        before, left = os.fstat(file.fileno()).st_size, line
        try:
            while left:  # a disk that runs full takes a part first and complains then
                left = left[file.write(left) :]
            os.fsync(file.fileno())
        except BaseException:
            file.truncate(before)
            raise


def shorten(path: Path, size: int, root: Path) -> None:
    """Cut off what a file below `root` has beyond so many bytes; it is made where it is not there."""
    with appending(path, root) as file, storing(path):
        if os.fstat(file.fileno()).st_size > size:
            file.truncate(size)
        os.fsync(file.fileno())


def write_parts(path: Path, parts: Mapping[int, bytes], root: Path) -> None:
    """Write parts of a file below `root`, each at its place, and wait until they are on the disk.

    What is elsewhere in it stays as it is, also if that fails.
    """
    with opened(path.parent, root) as folder, storing(path):
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
        with FileIO(os.open(path.name, flags, 0o666, dir_fd=folder), "wb") as file:
            for begin, content in parts.items():
                left = memoryview(content)
                file.seek(begin)
                while left:  # a disk that runs full takes a part first and complains then
                    left = left[file.write(left) :]
            os.fsync(file.fileno())
        os.fsync(folder)


def _write_through(name: str, content: bytes, folder: int, mode: int = 0o666) -> None:
    """Write a new file and wait until it is on the disk; what has its name is removed, never followed."""
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(name, flags, mode, dir_fd=folder), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _remove(name: str, folder: int) -> None:
    with suppress(FileNotFoundError):
        if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            shutil.rmtree(name, dir_fd=folder)
        else:
            os.unlink(name, dir_fd=folder)


def content_of(path: Path, most: int = MOST) -> bytes:
    """The content of a file that a person named.

    Raises OSError where it has more than `most` bytes, and for pipes and devices, which might never end.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is no file but a folder, a pipe or a device")
        if status.st_size <= most:
            with open(descriptor, "rb", closefd=False) as file:
                # Python reserves as much as it is told to read; files of the system say that they are empty.
                content = file.read(min(most, max(status.st_size, 2**20)) + 1)
            if len(content) <= most:
                return content
        raise OSError(errno.EFBIG, f"it has more than {most} bytes")
    finally:
        os.close(descriptor)


def part_of(path: Path, begin: int, size: int) -> bytes:
    """So many bytes of a file, or as many as there are. Raises OSError, for pipes and devices too."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is no file but a folder, a pipe or a device")
        with open(descriptor, "rb", closefd=False) as file:
            file.seek(begin)
            return file.read(size)
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


def read_json(path: Path, kind: Any, *, fix: str) -> Any:
    """A JSON object that we wrote, as its type. Raises InputError, with this `fix`, where it is damaged."""
    try:
        value = json.loads(content_of(path, MOST_JSON))
        if not isinstance(value, dict):
            raise ValueError("it is not an object")
        return msgspec.convert(value, kind, str_keys=True)
    except (OSError, ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise InputError(
            f"{path}: cannot be read ({error})", expected="the file as fedspike wrote it", fix=fix
        ) from error
