"""Checkpoints: the state after a round as safetensors, with a manifest of hashes.

    checkpoint/round-000012/state.safetensors
    checkpoint/round-000012/manifest.json

A checkpoint is written to a folder of another name, which then gets its own in one step, so at any
moment the newest folder named round-* is complete. The one before is kept until then and after.
safetensors alone would load a flipped bit silently; hence the hashes, checked at every reading.
"""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from fedspike.errors import InputError
from fedspike.federation.tensor_bytes import pack, unpack
from fedspike.files import append, json_bytes, remove, shorten, write_folder
from fedspike.records.reader import checkpoints, decode, demand_version
from fedspike.records.schema import Fingerprint, Manifest, RoundRecord
from fedspike.records.seal import (
    content_of,
    demand_sealed,
    demand_written,
    fingerprint,
    sealed,
    verified,
)
from fedspike.records.stored_rounds import unread

STATE, MANIFEST = "state.safetensors", "manifest.json"
KEPT = 2


@dataclass(frozen=True)
class Checkpoint:
    """The tensors after a round, and of what size are the records so far and all that is remembered.

    `fix` is the usual one of a fault that only whoever uses them can see.
    """

    round: int
    tensors: dict[str, Tensor]
    rounds: Fingerprint
    memories: Fingerprint | None
    path: Path
    records: Path
    fix: str


class Journal:
    """`rounds.jsonl` of a run that is going on. It grows by a line a round and is hashed once as it grows.

    Its `records` are read again when they are asked for.
    """

    def __init__(self, path: Path, written: Fingerprint, root: Path, fix: str = "") -> None:
        """Go on after what was `written`; the line of a round that has no checkpoint is cut off.

        Raises InputError, with this `fix`, where the file begins with something else.
        """
        self.path, self._root = path, root
        shorten(path, written.bytes, root)
        self._bytes, self._sha256 = written.bytes, demand_written(path, written, fix)
        self.records = unread(path)

    def append(self, record: RoundRecord) -> None:
        """Store the record of one more round."""
        line = json_bytes(record, indent=None)
        append(self.path, line, self._root)
        self._bytes += len(line)
        self._sha256.update(line)
        self.records.grow(record, line)

    @property
    def fingerprint(self) -> Fingerprint:
        """That of the whole file."""
        return Fingerprint(bytes=self._bytes, sha256=self._sha256.hexdigest())


def save(
    folder: Path,
    round: int,
    tensors: dict[str, Tensor],
    rounds: Fingerprint,
    about: dict[str, str],
    root: Path,
    memories: Fingerprint | None = None,
) -> None:
    """Store the state after `round`, whose records so far are `rounds`, in a folder below `root`.

    `about` is what must be the same when the run goes on: `newest` compares it. What clients remember is
    stored already, with the fingerprint of `memories`: see `memory_files.py`.

    Raises InputError where it cannot be written; the checkpoint before stays as it was.
    """
    state = pack(tensors)
    manifest = Manifest(
        round=round, about=about, state=fingerprint(state), rounds=rounds, memories=memories
    )
    for left in folder.glob(".round-*.partial"):
        remove(left, root)
    write_folder(folder / f"round-{round:06d}", {STATE: state, MANIFEST: sealed(manifest)[1]}, root)
    for _, old in checkpoints(folder)[:-KEPT]:
        remove(old, root)


def newest(folder: Path, rounds_file: Path, about: dict[str, str]) -> Checkpoint | None:
    """The last complete checkpoint; None if there is none.

    Raises InputError, naming path and fix, where anything of it, or of the rounds before it, is not
    as it was written, or where it belongs to something else than `about`.
    """
    folders = [path for _, path in checkpoints(folder)]
    if not folders:
        return None
    target = folders[-1]
    fix = f"delete {folder.parent} to start this run again"
    if len(folders) > 1:
        fix = f"delete {target} to go on from {folders[-2].name}, whose checkpoint is beside it"
    manifest = _manifest(target / MANIFEST, fix)
    if target.name != f"round-{manifest.round:06d}":
        raise InputError(
            f"{target}: holds round {manifest.round}", expected="the folder's own round", fix=fix
        )
    for name, ours in about.items():
        if manifest.about.get(name) != ours:
            raise InputError(
                f"{target}: made with {name} {manifest.about.get(name)}",
                expected=f"{name} {ours}, or the rounds to come would not match those before",
                fix=f"delete {folder.parent} to start this run again, or restore what changed",
            )
    state = verified(target / STATE, manifest.state, fix)
    demand_written(rounds_file, manifest.rounds, fix, longer=True)
    path = target / STATE
    tensors = unpack(state, path, fix)
    return Checkpoint(
        manifest.round, tensors, manifest.rounds, manifest.memories, path, rounds_file, fix
    )


def _manifest(path: Path, fix: str) -> Manifest:
    """The manifest, which must be, to the byte, what was written."""
    content = content_of(path, fix)
    demand_version(content, path, damaged=fix, other=fix)
    demand_sealed(content, path, fix)
    return decode(content, Manifest, path, fix)
