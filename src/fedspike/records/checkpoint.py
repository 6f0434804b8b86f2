"""Checkpoints: the state after a round as safetensors, with a manifest of hashes.

    checkpoint/round-000012/state.safetensors
    checkpoint/round-000012/manifest.json

A checkpoint is written to a folder of another name, which then gets its own in one step, so at any
moment the newest folder named round-* is complete. The one before is kept until then and after.
safetensors alone would load a flipped bit silently; hence the hashes, checked at every reading.
"""

import hashlib
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as bytes_from_tensors
from torch import Tensor

from fedspike.errors import InputError
from fedspike.records.directory import json_bytes, settle, storing, write_through

STATE, MANIFEST = "state.safetensors", "manifest.json"
KEPT = 2


@dataclass(frozen=True)
class Checkpoint:
    """The tensors after a round, and the part of `rounds.jsonl` that tells of the rounds so far."""

    round: int
    tensors: dict[str, Tensor]
    rounds: bytes


def save(
    folder: Path, round: int, tensors: dict[str, Tensor], rounds: bytes, about: dict[str, str]
) -> None:
    """Store the state after `round`; `about` tells what it belongs to and comes back to `newest`.

    Raises InputError where it cannot be written; the checkpoint before stays as it was.
    """
    state = pack(tensors)
    manifest = _sealed(
        {
            "schema": 1,
            "round": round,
            "about": about,
            STATE: _print_of(state),
            "rounds.jsonl": _print_of(rounds),
        }
    )
    target = folder / f"round-{round:06d}"
    partial = folder / f".{target.name}.partial"
    with storing(target):
        folder.mkdir(exist_ok=True)
        _remove(folder, ".round-*.partial")
        try:
            partial.mkdir()
            write_through(partial / STATE, state)
            write_through(partial / MANIFEST, manifest)
            settle(partial)
            partial.rename(target)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        settle(folder)
        for old in _folders(folder)[:-KEPT]:
            shutil.rmtree(old)


def newest(folder: Path, rounds_file: Path, about: dict[str, str]) -> Checkpoint | None:
    """The last complete checkpoint; None if there is none.

    Raises InputError, naming path and fix, where anything of it, or of the rounds before it, is not
    as it was written, or where it belongs to something else than `about`.
    """
    folders = _folders(folder)
    if not folders:
        return None
    target = folders[-1]
    fix = f"delete {folder.parent} to start this run again"
    if len(folders) > 1:
        fix = f"delete {target} to go on from {folders[-2].name}, whose checkpoint is beside it"
    manifest = _manifest(target / MANIFEST, fix)
    if target.name != f"round-{manifest['round']:06d}":
        raise InputError(
            f"{target}: holds round {manifest['round']}", expected="the folder's own round", fix=fix
        )
    for name, ours in about.items():
        if manifest["about"].get(name) != ours:
            raise InputError(
                f"{target}: made with {name} {manifest['about'].get(name)}",
                expected=f"{name} {ours}, or the rounds to come would not match those before",
                fix=f"delete {folder.parent} to start this run again, or restore what changed",
            )
    state = _verified(target / STATE, manifest[STATE], fix, longer=False)
    rounds = _verified(rounds_file, manifest["rounds.jsonl"], fix, longer=True)
    return Checkpoint(manifest["round"], unpack(state, target / STATE, fix), rounds)


def pack(tensors: dict[str, Tensor]) -> bytes:
    """Tensors as the bytes of a safetensors file, the same for the same tensors.

    Each is copied first, since safetensors refuses tensors that share memory.
    """
    copies = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
    packed: bytes = bytes_from_tensors(copies)
    return packed


def unpack(content: bytes, path: Path, fix: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file; `path` is only named in the error."""
    try:
        tensors: dict[str, Tensor] = tensors_from_bytes(content)
    except SafetensorError as error:
        raise InputError(f"{path}: {error}", expected="a safetensors file", fix=fix) from error
    return tensors


def _sealed(manifest: dict[str, Any]) -> bytes:
    """A manifest with its own hash, so that damage to it is found as well."""
    return json_bytes({**manifest, "seal": hashlib.sha256(json_bytes(manifest)).hexdigest()})


def _manifest(path: Path, fix: str) -> dict[str, Any]:
    """The manifest, which must be, to the byte, what we would write for its content."""
    try:
        content = path.read_bytes()
        manifest: dict[str, Any] = json.loads(content)
        intact = _sealed({k: v for k, v in manifest.items() if k != "seal"}) == content
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{path}: cannot be read ({error})", expected="a manifest as fedspike wrote it", fix=fix
        ) from error
    if not intact or manifest["schema"] != 1:
        raise InputError(
            f"{path}: was changed", expected="a manifest as this fedspike writes it", fix=fix
        )
    return manifest


def _verified(path: Path, expected: dict[str, Any], fix: str, *, longer: bool) -> bytes:
    """A file's bytes, checked; of one that may have grown `longer` since, the part from then."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror}", expected="the file beside its manifest", fix=fix
        ) from error
    found = _print_of(content[: expected["bytes"]] if longer else content)
    if found != expected:
        raise InputError(
            f"{path}: {found['bytes']} bytes with SHA-256 {found['sha256']}",
            expected=f"as written, {expected['bytes']} bytes with SHA-256 {expected['sha256']}",
            fix=fix,
        )
    return content[: expected["bytes"]]


def _print_of(content: bytes) -> dict[str, Any]:
    """A file's fingerprint."""
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _folders(folder: Path) -> list[Path]:
    """Complete checkpoints, the newest last."""
    found = folder.glob("round-*")
    complete = [path for path in found if re.fullmatch(r"round-\d{6,}", path.name)]
    return sorted(complete, key=lambda path: int(path.name.removeprefix("round-")))


def _remove(folder: Path, pattern: str) -> None:
    for path in folder.glob(pattern):
        shutil.rmtree(path)
