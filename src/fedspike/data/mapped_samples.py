"""Samples kept in the cache as float32 and mapped into memory, so that there may be more than memory holds.

Each set has a folder there, called after the hash of what was read and of how. Its arrays are .npy files that
are moved in whole, with their hashes beside them: a damaged one is made again.
"""

import hashlib
import mmap
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8
from numpy.lib.format import open_memmap

from fedspike.data import download

ROOM = 2**26  # bytes that a disk keeps free
BLOCK = 2**24  # bytes that are hashed at a time
NO_RESERVE = (
    0x4000 if sys.platform == "linux" else 0
)  # else a map larger than memory may be refused
Shape = tuple[int, ...]
Arrays = Float32[np.ndarray, "..."]


class Kept(NamedTuple):
    """The samples of both parts, and the hash of what each was made of."""

    x_train: Arrays  # [sample, *shape]
    x_test: Arrays  # [sample, *shape]
    hashes: tuple[str, str]


def kept(
    place: Path,
    shapes: Callable[[], tuple[Shape, Shape]],
    fill: Callable[[Arrays, Arrays], tuple[str, str]],
    say: Callable[[str], None],
) -> Kept:
    """The samples that `fill` writes into arrays of these `shapes`, from the folder where they were kept.

    `fill` gives the hash of what each was made of. Where the disk does not take them they are in memory, and
    `say` hears why. Raises what `shapes` and `fill` raise; nothing half-written is kept.
    """
    if (there := _sound(place)) is not None:
        say(f"  mapped from {place}, where they were kept")
        return there
    both = shapes()
    try:
        _demand_room(place, both)
        download.moved_in(place, lambda folder: _written(folder, both, fill))
    except OSError as error:
        say(f"  not kept in {place} ({error.strerror or error}), but read into memory")
        x_train, x_test = (np.empty(shape, np.float32) for shape in both)
        return Kept(x_train, x_test, fill(x_train, x_test))
    say(f"  kept in {place}, {sum(map(_bytes, both)) / 1e6:.0f} MB")
    return Kept(_mapped(place / "x_train.npy"), _mapped(place / "x_test.npy"), _hashes(place))


def _written(
    folder: Path, shapes: tuple[Shape, Shape], fill: Callable[[Arrays, Arrays], tuple[str, str]]
) -> None:
    paths = [folder / "x_train.npy", folder / "x_test.npy"]
    x_train, x_test = (
        open_memmap(path, "w+", np.float32, shape)
        for path, shape in zip(paths, shapes, strict=True)
    )
    made_of = fill(x_train, x_test)
    for x in (x_train, x_test):
        x.flush()
    rows = [*map(_digest, paths), *map(bytes.fromhex, made_of)]
    rows.append(hashlib.sha256(b"".join(rows)).digest())
    sums = open_memmap(folder / "sha256.npy", "w+", np.uint8, (len(rows), 32))
    sums[:] = [list(row) for row in rows]
    sums.flush()


def _sound(place: Path) -> Kept | None:
    """What is kept in a folder; None where it is not there, or not as it was written."""
    try:
        sums, hashes = _sums(place), _hashes(place)
        paths = [place / "x_train.npy", place / "x_test.npy"]
        if [*map(_digest, paths)] != [row.tobytes() for row in sums[:2]]:
            return None
        return Kept(_mapped(paths[0]), _mapped(paths[1]), hashes)
    except (OSError, ValueError, EOFError):
        return None


def _sums(place: Path) -> UInt8[np.ndarray, "array 32"]:
    sums: np.ndarray = np.load(place / "sha256.npy", allow_pickle=False)
    if sums.shape != (5, 32) or hashlib.sha256(sums[:4].tobytes()).digest() != sums[4].tobytes():
        raise ValueError("these are not the hashes that were written")
    return sums


def _hashes(place: Path) -> tuple[str, str]:
    train, test = (row.tobytes().hex() for row in _sums(place)[2:4])
    return train, test


def _mapped(path: Path) -> Arrays:
    """The array in a file; what is written into it stays in memory, and the file is never changed."""
    header = np.load(path, mmap_mode="r", allow_pickle=False)
    with path.open("rb") as file:
        private = mmap.MAP_PRIVATE | NO_RESERVE
        both = mmap.PROT_READ | mmap.PROT_WRITE
        whole = mmap.mmap(file.fileno(), 0, flags=private, prot=both)
    array = np.frombuffer(whole, np.float32, offset=header.offset)
    return array.reshape(header.shape)


def _digest(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.digest()


def _bytes(shape: Shape) -> int:
    return 4 * int(np.prod(shape, dtype=np.int64))


def _demand_room(place: Path, shapes: tuple[Shape, Shape]) -> None:
    """Raise OSError where the disk is too full: to write into a map of a full disk ends the process."""
    there = next(one for one in place.parents if one.exists())
    if (size := sum(map(_bytes, shapes)) + ROOM) > shutil.disk_usage(there).free:
        raise OSError(f"{size / 1e6:.0f} MB are not free there")
