"""Reading an .npz file that somebody else made: its headers first, and no more of it than they can mean."""

import io
import math
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib import format as npy

from fedspike.data.mending import kind_of, mending
from fedspike.errors import InputError
from fedspike.files import content_of
from fedspike.machine import bytes_here

LARGEST_FILE = 2**36
SAID = ("axes", "range", "signed")  # what a file may say of its own arrays
DENSEST = 200  # bytes out of one: beyond, a file of some size holds next to nothing but zeros
HARMLESS_BYTES = 2**26


class Member(NamedTuple):
    """An array in a file, by its header."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    inside: zipfile.ZipInfo


def read(path: Path, names: tuple[str, ...]) -> tuple[bytes, dict[str, np.ndarray], dict[str, Any]]:
    """The content of a file, its arrays of these names, and what it says of them: `axes`, `range`, `signed`.

    Raises InputError, and unpacks nothing, for a file whose headers are wrong, do not fit their arrays, or
    promise more than is plausible or than memory holds; Python objects are never unpickled.
    """
    raw = _bytes(path)
    if not zipfile.is_zipfile(io.BytesIO(raw)):
        kind, fix = kind_of(raw, path, names)
        raise InputError(
            f"{path}: is not an .npz file, or only part of one; it looks like {kind}",
            expected="a file that numpy.savez or numpy.savez_compressed wrote",
            fix=fix,
        )
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            members = [_member(archive, one) for one in archive.infolist()]
            held = {member.name: member for member in members}
            _demand_names(held, path, names)
            wanted = {name: held[name] for name in (*names, *SAID) if name in held}
            _demand_bounds(list(wanted.values()), path, len(raw))
            arrays = {name: _array(archive, one) for name, one in wanted.items()}
    except InputError:
        raise
    except Exception as error:  # numpy, zipfile and zlib raise a dozen kinds on damaged files
        raise InputError(
            f"{path}: {error}",
            expected="an undamaged .npz file of plain numbers (Python objects are never unpickled)",
            fix="save it again with numpy.savez, from arrays of numbers",
        ) from error
    statements = {name: _plain(arrays.pop(name)) for name in SAID if name in arrays}
    return raw, arrays, statements


def _bytes(path: Path) -> bytes:
    try:
        return content_of(path, LARGEST_FILE)
    except (OSError, MemoryError, ValueError) as error:  # ValueError: a path with a null character
        raise InputError(
            f"{path}: {getattr(error, 'strerror', None) or error}",
            expected="an .npz file that can be read",
            fix="check the path and its permissions",
        ) from error


def _member(archive: zipfile.ZipFile, inside: zipfile.ZipInfo) -> Member:
    name = inside.filename.removesuffix(".npy")
    if inside.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name} is compressed as numpy never does")
    with archive.open(inside) as file:
        version = npy.read_magic(file)
        header = {(1, 0): npy.read_array_header_1_0}.get(version, npy.read_array_header_2_0)
        shape, _, dtype = header(file)
        promised = math.prod(shape) * dtype.itemsize
        if not dtype.hasobject and file.tell() + promised != inside.file_size:
            raise ValueError(
                f"{name} has {inside.file_size - file.tell()} bytes, its header says {promised}"
            )
    return Member(name, shape, dtype, inside)


def _demand_names(held: dict[str, Member], path: Path, names: tuple[str, ...]) -> None:
    holds = ", ".join(f"{one.name} {one.dtype} {one.shape}" for one in held.values()) or "nothing"
    absent = [name for name in names if name not in held]
    objects = [name for name in names if not absent and held[name].dtype.hasobject]
    if absent or objects:
        shapes = {name: one.shape for name, one in held.items()}
        fault = f"lacks {', '.join(absent)}" if absent else f"has Python objects in {objects[0]}"
        raise InputError(
            f"{path}: {fault}; it holds {holds}",
            expected=f"the arrays {', '.join(names)}, of plain numbers (objects are never unpickled)",
            fix=mending(path, shapes, names, objects),
        )


def _demand_bounds(members: list[Member], path: Path, file_bytes: int) -> None:
    unpacked = sum(member.inside.file_size for member in members)
    numbers = sum(math.prod(member.shape) for member in members)
    memory = bytes_here()
    if unpacked + 8 * numbers > memory:
        raise InputError(
            f"{path}: unpacks to {unpacked / 1e9:.1f} GB, {numbers} numbers",
            expected=f"at most the {memory / 1e9:.0f} GB that this machine has, 8 bytes a number",
            fix="take fewer samples, or smaller ones",
        )
    if unpacked > max(HARMLESS_BYTES, DENSEST * file_bytes):
        raise InputError(
            f"{path}: {file_bytes / 1e6:.1f} MB that unpack to {unpacked / 1e6:.0f} MB, nothing but zeros",
            expected=f"at most {DENSEST} bytes out of each, as of samples that differ",
            fix="if it is meant, save it with numpy.savez, not compressed",
        )


def _array(archive: zipfile.ZipFile, member: Member) -> np.ndarray:
    with archive.open(member.inside) as file:
        array: np.ndarray = npy.read_array(file, allow_pickle=False)
    return array


def _plain(array: np.ndarray) -> Any:
    values = array.tolist()
    return tuple(values) if isinstance(values, list) else values
