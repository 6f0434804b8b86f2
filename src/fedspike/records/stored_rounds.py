"""The records of a run's rounds in their file, read when they are asked for: 100,000 would fill a memory."""

from array import array
from bisect import bisect_right
from collections.abc import Iterator, MutableSequence, Sequence
from pathlib import Path
from typing import Any

import msgspec

from fedspike import files
from fedspike.errors import InputError
from fedspike.records.schema import RoundRecord

AT_ONCE = 2**22  # bytes of records that are read together
MOST_OF_A_LINE = 2**26  # bytes: a round of 200,000 clients has as many
KEPT = 2**25  # bytes of a file whose records stay in memory once they were read


class StoredRounds(Sequence[RoundRecord]):
    """The records of the first rounds in a file, as many as there are `ends` of lines.

    Those of a small file stay in memory, those of a large one are read anew each time. Raises InputError,
    naming the file, where a record is not as it was written.
    """

    def __init__(self, path: Path, ends: MutableSequence[int] | None = None) -> None:
        self.path, self._ends = path, array("Q") if ends is None else ends
        self._read: list[RoundRecord] = []  # the first ones, as many as were read of a small file

    @classmethod
    def of(cls, path: Path, most: int = files.MOST) -> "StoredRounds":
        """All in a file, or in so many bytes of it, each of which is read once to see that it can be."""
        stored, rest = cls(path), b""
        while piece := _part(path, at := stored.size + len(rest), min(AT_ONCE, most - at)):
            whole, end, rest = (rest + piece).rpartition(b"\n")
            stored._add(whole + end)
            if len(rest) > MOST_OF_A_LINE:
                raise _damaged(path, f"a line of more than {MOST_OF_A_LINE} bytes")
        stored._add(rest)
        return stored

    def _add(self, lines: bytes) -> None:
        """The next lines of the file."""
        before = self.size
        records, ends = decode_rounds(lines, self.path, len(self) + 1), _ends(lines)
        if len(records) < len(ends):
            raise _damaged(self.path, "lines without a record")
        if len(self._read) == len(self):
            self._read += records
        self._ends.extend(before + end for end in ends)
        if self.size > KEPT:
            self._read.clear()

    def grow(self, record: RoundRecord, line: bytes) -> None:
        """A line was appended to the file."""
        if len(self._read) == len(self):
            self._read.append(record)
        self._ends.append(self.size + len(line))
        if self.size > KEPT:
            self._read.clear()

    @property
    def size(self) -> int:
        """Bytes of their lines."""
        return self._ends[-1] if self._ends else 0

    def __len__(self) -> int:
        return len(self._ends)

    def __iter__(self) -> Iterator[RoundRecord]:
        yield from self._read
        for first, last in self._pieces(len(self._read)):
            records = self._some(first, last)
            if self.size <= KEPT and len(self._read) == first:
                self._read += records
            yield from records

    def __getitem__(self, place: int | slice) -> Any:
        """A record, or the first ones."""
        number = range(len(self))[place]
        if isinstance(number, range):
            if number.start or number.step != 1:
                return [self[i] for i in number]
            first = StoredRounds(self.path, self._ends[: len(number)])
            first._read = self._read[: len(number)]
            return first
        return self._read[number] if number < len(self._read) else self._some(number, number + 1)[0]

    def _pieces(self, first: int) -> Iterator[tuple[int, int]]:
        """From which to before which record is read together, from this one on."""
        while first < len(self):
            begin = self._ends[first - 1] if first else 0
            last = max(first + 1, bisect_right(self._ends, begin + AT_ONCE))
            yield first, last
            first = last

    def _some(self, first: int, last: int) -> list[RoundRecord]:
        begin = self._ends[first - 1] if first else 0
        content = _part(self.path, begin, self._ends[last - 1] - begin)
        records = decode_rounds(content, self.path, first + 1)
        if len(records) < last - first:
            raise _damaged(self.path, "it has fewer rounds than it had")
        return records


class GrowingRounds:
    """The records of a file that another process appends to: each of its bytes is read once.

    `unread` says whether there was more in it than the last call has read.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.unread = path, False
        self._forget(0)

    def _forget(self, file: int) -> None:
        self._file, self._size, self._count = file, 0, 0

    def more(self) -> tuple[bool, list[RoundRecord]]:
        """The next records, about as many as are read together, and whether they are the first ones.

        They are so again where the file was replaced, or cut off and written on, as when a run goes on. No
        record means that there is none yet. Raises InputError where one is not as it was written.
        """
        try:
            file = self.path.stat()
        except OSError:
            file = None
        self.unread = False
        if file is None or file.st_ino != self._file or file.st_size < self._size:
            self._forget(0 if file is None else file.st_ino)
        if file is None or file.st_size == self._size:
            return not self._count, []
        try:
            return self._next()
        except InputError:
            if not self._count:
                raise
        self._forget(file.st_ino)  # it may have been cut off and grown again between two looks
        return self._next()

    def _next(self) -> tuple[bool, list[RoundRecord]]:
        size, first = AT_ONCE, not self._count
        piece = _part(self.path, self._size, size)
        while len(piece) == size <= MOST_OF_A_LINE and b"\n" not in piece:
            size *= 2
            piece = _part(self.path, self._size, size)
        whole = piece[: piece.rfind(b"\n") + 1]
        records = decode_rounds(whole, self.path, self._count + 1)
        self.unread = len(piece) == size
        self._size += len(whole)
        self._count += len(records)
        return first, records


def _part(path: Path, begin: int, size: int) -> bytes:
    try:
        return files.part_of(path, begin, size)
    except OSError as error:
        raise _damaged(path, str(error.strerror)) from error


def unread(path: Path) -> StoredRounds:
    """All in a file, of which somebody knows that they can be read, and that its last line is whole."""
    ends, size = array("Q"), 0
    while piece := _part(path, size, AT_ONCE):
        ends.extend(size + end for end in _ends(piece) if piece[end - 1 : end] == b"\n")
        size += len(piece)
    return StoredRounds(path, ends)


def _ends(content: bytes) -> MutableSequence[int]:
    """Where its lines end."""
    ends, end = array("Q"), content.find(b"\n") + 1
    while end:
        ends.append(end)
        end = content.find(b"\n", end) + 1
    if content and not content.endswith(b"\n"):
        ends.append(len(content))
    return ends


def decode_rounds(lines: bytes, path: Path, first: int = 1) -> list[RoundRecord]:
    """The records in the lines of a file, from this round on; `path` is only named in the error."""
    try:
        records = msgspec.json.Decoder(RoundRecord).decode_lines(lines)
        if [record.round for record in records] != list(range(first, first + len(records))):
            raise ValueError("the rounds are not 1, 2, 3, ... in their order")
        return records
    except (ValueError, RecursionError) as error:  # msgspec's and Unicode's errors are ValueErrors
        raise _damaged(path, str(error)) from error


def again(home: Path) -> str:
    """What to do about a run in a folder that cannot be used."""
    return f"delete {home} and start the experiment's command again"


def _damaged(path: Path, why: str) -> InputError:
    return InputError(
        f"{path}: cannot be read ({why})",
        expected="a JSON object for each round, as fedspike wrote them",
        fix=f"restore it, or {again(path.parent)}",
    )
