"""The clients that live on a node, and their samples, from a file or a folder; refused if they are bad."""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fedspike.data import Dataset, load_own, remarks
from fedspike.data.dataset import ignore
from fedspike.data.partition import Listed
from fedspike.errors import InputError
from fedspike.federation.client_numbers import spelled
from fedspike.federation.devices import Given

FILE = re.compile(r"client-(0|[1-9]\d{0,8})\.npz")


@dataclass(frozen=True)
class Hosted:
    """The clients that live on a node, with their samples."""

    data: Dataset
    shards: dict[int, np.ndarray]  # client -> its positions in `data`
    alone: bool = False  # in a file without the client's number, which the server knows

    @property
    def partition(self) -> Given:
        """Each client's own positions. Clients elsewhere have a place in it, and are never asked for."""
        sizes = np.ones(max(self.shards) + 1, np.int64)
        sizes[list(self.shards)] = [len(shard) for shard in self.shards.values()]
        positions, ends = np.zeros(sizes.sum(), np.int64), np.cumsum(sizes)
        for client, shard in self.shards.items():
            positions[ends[client] - len(shard) : ends[client]] = shard
        return Given(Listed(positions, sizes), own=tuple(self.shards))

    def belonging_to(self, clients: Sequence[int]) -> "Hosted":
        """The same, where they are alone with their client's number. InputError for several clients then."""
        if not self.alone:
            return self
        if len(clients) != 1:
            raise InputError(
                f"one file, {self.data.source}, for {len(clients)} clients",
                expected="a folder with a file for each client: client-0.npz, client-1.npz, ...",
                fix="name the folder with --data",
            )
        (shard,) = self.shards.values()
        return replace(self, shards={clients[0]: shard})

    def demand_here(self, clients: Sequence[int], *named: Collection[int]) -> None:
        """Raise InputError for a task for clients that do not live here, or are not those `named` in it."""
        once = len({*clients}) == len(clients) and {*clients} <= self.shards.keys()
        if once and all({*own} == {*clients} for own in named):
            return
        raise InputError(
            f"a task for the clients {spelled(clients)}",
            expected=f"each once, and of those that live here, {spelled(self.shards)}",
            fix="put back the file of a client that is gone, or start the training again in a new folder",
        )


def read(path: Path, classes: int) -> Hosted:
    """The samples in a file, which are those of one client, or in a folder with a file for each client.

    Raises InputError where a file is not sound, or it is not clear whose it is.
    """
    parts: list[Dataset] = []
    shards: dict[int, np.ndarray] = {}
    first = 0
    for owner, file in _files(path).items():
        part = load_own(file, classes)
        if parts and _kind(part) != _kind(parts[0]):
            raise InputError(
                f"{file}: images of {_kind(part)}, where those of {parts[0].source} are of {_kind(parts[0])}",
                expected="one shape and one kind of numbers for all clients",
                fix="prepare all of them the same way",
            )
        parts.append(part)
        shards[owner] = np.arange(first, first + len(part.y_train))
        first += len(part.y_train)
    data = parts[0]
    if len(parts) > 1:
        x, y = (
            np.concatenate([getattr(p, name) for p in parts]) for name in ("x_train", "y_train")
        )
        understood = max(part.understood for part in parts)
        data = replace(data, x_train=x, y_train=y, source=str(path), understood=understood)
    return Hosted(data, shards, alone=not path.is_dir())


def stamp(path: Path) -> object:
    """What changes when a file there changes, comes or goes; it is not looked into."""

    def of(file: Path) -> tuple[str, int, int, int]:
        status = file.stat()
        return str(file), status.st_ino, status.st_size, status.st_mtime_ns

    try:
        return [of(path), *map(of, sorted(path.iterdir()) if path.is_dir() else ())]
    except OSError:
        return None  # which one, and why, is said when it is read


def _kind(data: Dataset) -> str:
    return f"shape {data.x_train.shape[1:]}{', signed' if data.signed else ''}"


def demand(
    path: Path,
    classes: int,
    shape: tuple[int, ...],
    say: Callable[[str], None] = ignore,
) -> Hosted:
    """As `read`, and `say` hears what is worth knowing of the samples.

    Raises InputError, too, where the images are not of the shape of the server's.
    """
    hosted = read(path, classes)
    if (own := hosted.data.x_train.shape[1:]) != shape:
        raise InputError(
            f"{path}: images of shape {own}",
            expected=f"those of the server's test set, {shape}",
            fix="prepare the images on all devices as those of the server",
        )
    for remark in remarks(hosted.data, tests=False):
        say(f"worth knowing: {remark}")
    return hosted


def _files(path: Path) -> dict[int, Path]:
    """Client -> its file."""
    try:
        if not path.is_dir():
            return {0: path}
        files = sorted(file for file in path.iterdir() if file.suffix.lower() == ".npz")
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror}",
            expected="a file or a folder that can be read",
            fix="check the path and its permissions",
        ) from error
    named = {file: FILE.fullmatch(file.name) for file in files}
    if not files or not all(named.values()):
        strange = [file.name for file, name in named.items() if not name]
        raise InputError(
            f"{path}: {', '.join(strange[:3])} in it" if strange else f"{path}: no .npz file in it",
            expected="a file for each client: client-0.npz, client-1.npz, ..., and no other .npz",
            fix="rename or remove what is none of them, or name the device's own file with --data",
        )
    return {int(name[1]): file for file, name in named.items() if name}
