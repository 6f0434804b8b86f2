"""What clients remember after each round, in files of a run's folder: a round writes what it changed.

    memories/318344.records    records of 318,344 bytes each, one after the other, safetensors
    memories/318344.table      an entry of 64 bytes for each: client, round, SHA-256, and a check of these

A record is never written over while a checkpoint needs it: what a client remembers after a round goes to
where nothing is that the last two checkpoints know of. So a process may be killed at any moment, and the
files are only some records longer than what clients remember. A client's memory after round R is its record
of the last round up to R. What is of later rounds had no checkpoint, and is struck out. The checkpoint has
the exclusive or of the hashes of all that is remembered, so nothing can be lost, changed or exchanged unseen.
"""

import hashlib
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt64

from fedspike import files
from fedspike.algorithms import Tree
from fedspike.errors import InputError
from fedspike.federation.memories import Memories
from fedspike.federation.memory_bytes import memory_bytes, memory_of
from fedspike.records.schema import Fingerprint
from fedspike.records.seal import content_of

RECORDS, TABLE = ".records", ".table"
WORDS = 8  # of 64 bits in an entry: client, round, four of the hash, none, and the check
NOTHING = bytes(8 * WORDS)
Entries = UInt64[np.ndarray, "entry 8"]


@dataclass(frozen=True, slots=True)
class Record:
    """What a client remembered after a round: the number of its record among those of a file."""

    path: Path
    number: int
    client: int
    round: int
    sha256: bytes
    fix: str

    @property
    def length(self) -> int:
        """Bytes."""
        return int(self.path.stem)

    @property
    def entry(self) -> bytes:
        """That of the table."""
        words = np.zeros(WORDS, "<u8")
        words[:2] = self.client, self.round
        words[2:6] = np.frombuffer(self.sha256, "<u8")
        words[-1] = _checks(words[None])[0]
        return words.tobytes()

    def __call__(self) -> Tree:
        """Read it. Raises InputError where it is not as it was written."""
        try:
            content = files.part_of(self.path, self.number * self.length, self.length)
        except OSError as error:
            raise self._lost(str(error.strerror)) from error
        if _sha256(self.client, self.round, content) != self.sha256:
            raise self._lost("it was changed or damaged")
        return memory_of(content, self.path, self.fix)

    def _lost(self, why: str) -> InputError:
        return InputError(
            f"{self.path}: the memory of client {self.client} after round {self.round} is lost ({why})",
            expected="the file as fedspike wrote it",
            fix=self.fix,
        )


class MemoryFiles:
    """The memories of a run's clients, in a folder below `root`.

    Records stay while one of the last `kept` checkpoints needs them. `fix` is what to do about damage.
    """

    def __init__(self, folder: Path, root: Path, kept: int, fix: str) -> None:
        self.folder, self._root, self._kept, self._fix = folder, root, kept, fix
        self._live: dict[int, Record] = {}
        self._rooms: dict[Path, int] = {}  # of each file, for so many records
        self._free: dict[Path, list[int]] = {}
        self._replaced: deque[tuple[int, Record]] = deque()  # in that round
        self._bytes = self._hash = 0  # of what is live

    def restore(self, round: int, expected: Fingerprint | None, *, strike: bool = True) -> Memories:
        """What clients remembered after this round; what is of later ones is struck out.

        Without `strike` nothing is written, and no round may be stored after it.

        Raises InputError where that is not what the round's checkpoint `expected`.
        """
        by_client: dict[int, list[Record]] = {}
        for table in sorted(self.folder.glob(f"*{TABLE}")):
            if not table.stem.isdigit():
                raise InputError(
                    f"{table}: a file that fedspike did not write",
                    expected="tables that are called by the length of their records",
                    fix="move it to another folder",
                )
            for record in self._read(table, round, strike=strike):
                by_client.setdefault(record.client, []).append(record)
        replaced = []
        for records in by_client.values():
            records.sort(key=lambda record: record.round)
            later = records[1:]
            replaced += [(new.round, old) for old, new in zip(records, later, strict=False)]
            self._remember(records[-1])
        self._replaced.extend(sorted(replaced, key=lambda pair: pair[0]))
        if self.fingerprint != expected:
            raise InputError(
                f"{self.folder}: it is not what clients remembered after round {round}",
                expected="the files as fedspike wrote them",
                fix=self._fix,
            )
        return Memories.stored(self._live)

    def store(self, round: int, memories: Memories, clients: Iterable[int]) -> None:
        """Write what these clients remember after a round, before its checkpoint is made.

        Raises InputError where it cannot be written; the checkpoints before have what they need.
        """
        while self._replaced and self._replaced[0][0] <= round - self._kept:
            _, record = self._replaced.popleft()
            self._free[record.path].append(record.number)
        memories.store(clients, lambda trees: self._write(round, trees))

    @property
    def fingerprint(self) -> Fingerprint | None:
        """That of all that is remembered; None where nothing is."""
        sha256 = self._hash.to_bytes(hashlib.sha256().digest_size, "big").hex()
        return Fingerprint(bytes=self._bytes, sha256=sha256) if self._live else None

    def _read(self, table: Path, round: int, *, strike: bool) -> list[Record]:
        """The records of a table up to a round; what is of later rounds is struck out."""
        content, path = content_of(table, self._fix, files.MOST), table.with_suffix(RECORDS)
        room = len(content) // len(NOTHING)
        entries = np.frombuffer(content, "<u8", WORDS * room).reshape(room, WORDS)
        sound = (_checks(entries) == entries[:, -1]) & (entries[:, 1] > 0)
        later = sound & (entries[:, 1] > round)
        if strike and later.any():
            struck = {int(k) * len(NOTHING): NOTHING for k in np.flatnonzero(later)}
            files.write_parts(table, struck, self._root)
        there = sound & ~later
        self._rooms[path], self._free[path] = room, np.flatnonzero(~there).tolist()[::-1]
        return [
            Record(path, number, client, of, entry.tobytes(), self._fix)
            for number, (client, of), entry in zip(
                np.flatnonzero(there).tolist(),
                entries[there, :2].tolist(),
                entries[there, 2:6],
                strict=True,
            )
        ]

    def _write(self, round: int, trees: Mapping[int, Tree]) -> dict[int, Record]:
        """Where these clients' memories are now."""
        records, parts, entries = {}, dict[Path, dict[int, bytes]](), dict[Path, dict[int, bytes]]()
        for client, tree in trees.items():
            content = memory_bytes(tree)
            path = self.folder / f"{len(content)}{RECORDS}"
            sha256 = _sha256(client, round, content)
            record = Record(path, self._place(path), client, round, sha256, self._fix)
            parts.setdefault(path, {})[record.number * len(content)] = content
            entries.setdefault(path, {})[record.number * len(NOTHING)] = record.entry
            records[client] = record
        for path in parts:
            files.write_parts(path, parts[path], self._root)
            files.write_parts(path.with_suffix(TABLE), entries[path], self._root)
        for client, record in records.items():
            if before := self._live.get(client):
                self._replaced.append((round, before))
            self._remember(record)
        return records

    def _place(self, path: Path) -> int:
        """The number of a record that no checkpoint needs, or of a new one."""
        if free := self._free.setdefault(path, []):
            return free.pop()
        self._rooms[path] = self._rooms.get(path, 0) + 1
        return self._rooms[path] - 1

    def _remember(self, record: Record) -> None:
        """It is what its client remembers now."""
        before = self._live.get(record.client)
        for own, sign in ((before, -1), (record, 1)):
            if own is not None:
                self._hash ^= int.from_bytes(own.sha256, "big")
                self._bytes += sign * own.length
        self._live[record.client] = record


def _sha256(client: int, round: int, content: bytes) -> bytes:
    """Of a record, and of whose it is."""
    hash = hashlib.sha256(client.to_bytes(8, "little") + round.to_bytes(8, "little"))
    hash.update(content)
    return hash.digest()


def _checks(entries: Entries) -> UInt64[np.ndarray, " entry"]:
    """Which entries were written whole: the exclusive or of their other words."""
    return np.asarray(np.bitwise_xor.reduce(entries[:, :-1], axis=1))
