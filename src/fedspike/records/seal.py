"""Seals: what is finished carries its own hash and those of the files beside it, checked wherever it is read.

They tell of damage and of edits. They are no signature: whoever changes a file can seal it again.
"""

import hashlib
from pathlib import Path
from typing import Any, TypeVar

from msgspec.structs import replace

from fedspike import files
from fedspike.errors import InputError
from fedspike.files import json_bytes
from fedspike.records.schema import ExperimentSummary, Fingerprint, Manifest, RunSummary

Sealed = TypeVar("Sealed", Manifest, RunSummary, ExperimentSummary)
MARK = b'"seal": "'
HEX_DIGITS = 64
AT_ONCE = 2**22  # bytes that are read together


def sealed(record: Sealed) -> tuple[Sealed, bytes]:
    """The record with its seal, the hash of its JSON without one; and that JSON."""
    content = with_seal(json_bytes(replace(record, seal="")))
    _, seal, _ = _parts(content)
    return replace(record, seal=seal.decode()), content


def with_seal(text: bytes) -> bytes:
    """A JSON text, whose last field is an empty `seal`, with its seal in it."""
    before, mark, after = text.rpartition(MARK)
    return before + mark + hashlib.sha256(text).hexdigest().encode() + after


def demand_sealed(text: bytes, path: Path, fix: str) -> str:
    """The seal. Raises InputError where a JSON text is not, to the byte, what was sealed."""
    before, seal, after = _parts(text)
    if hashlib.sha256(before + after).hexdigest().encode() != seal:
        raise InputError(f"{path}: was changed", expected="the file as fedspike wrote it", fix=fix)
    return seal.decode()


def _parts(text: bytes) -> tuple[bytes, bytes, bytes]:
    """What is before the seal, the seal, and what is behind it."""
    before, mark, rest = text.rpartition(MARK)
    return before + mark, rest[:HEX_DIGITS], rest[HEX_DIGITS:]


def fingerprint(content: bytes) -> Fingerprint:
    """The fingerprint of a file with this content."""
    return Fingerprint(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def content_of(path: Path, fix: str, most: int = files.MOST_JSON) -> bytes:
    """A file's bytes, of JSON unless `most` says more. Raises InputError, with this `fix`, if unreadable."""
    try:
        return files.content_of(path, most)
    except OSError as error:
        raise _unreadable(path, error, fix) from error


def verified(path: Path, expected: Fingerprint, fix: str) -> bytes:
    """A file's bytes. Raises InputError, with this `fix`, where they are not the expected ones."""
    content = content_of(path, fix, files.MOST)
    _demand(path, fingerprint(content), expected, fix)
    return content


def demand_written(path: Path, expected: Fingerprint, fix: str, *, longer: bool = False) -> Any:
    """The running hash of a file of any size that is as it was written, and may have grown `longer` since.

    It is read piece by piece. Raises InputError, with this `fix`, where it is another one.
    """
    hash, size, most = hashlib.sha256(), 0, expected.bytes if longer else files.MOST
    try:
        while piece := files.part_of(path, size, min(AT_ONCE, most - size)):
            hash.update(piece)
            size += len(piece)
    except OSError as error:
        raise _unreadable(path, error, fix) from error
    _demand(path, Fingerprint(bytes=size, sha256=hash.hexdigest()), expected, fix)
    return hash


def _demand(path: Path, actual: Fingerprint, expected: Fingerprint, fix: str) -> None:
    if actual != expected:
        raise InputError(
            f"{path}: {actual.bytes} bytes with SHA-256 {actual.sha256}",
            expected=f"as written, {expected.bytes} bytes with SHA-256 {expected.sha256}",
            fix=fix,
        )


def _unreadable(path: Path, error: OSError, fix: str) -> InputError:
    return InputError(
        f"{path}: cannot be read ({error.strerror})",
        expected="the file as fedspike wrote it",
        fix=fix,
    )
