"""The trials of a search as they are stored: a line each, appended when all seeds of a trial are trained.

    trials.jsonl    first what must not change before the search goes on, then the trials

Each line has its own hash. A line that a kill cut off is dropped, and its trial is trained again.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from fedspike.errors import InputError
from fedspike.files import append, json_bytes, write_whole
from fedspike.records.seal import content_of

FILE = "trials.jsonl"
Fraction = Annotated[float, Meta(ge=0, le=1)]


class Trial(Struct, frozen=True, forbid_unknown_fields=True):
    """Settings that were tried, with the accuracy of each seed; or why there is none.

    Trial 0 of a search has no settings: it has those of the experiment's file.
    """

    search: str
    number: Annotated[int, Meta(ge=0)]
    settings: dict[str, Any]
    accuracies: list[Fraction]
    seconds: Annotated[float, Meta(ge=0)]
    failed: str = ""

    @property
    def accuracy(self) -> float | None:
        """The mean over the seeds; None of a trial that failed."""
        return None if self.failed else sum(self.accuracies) / len(self.accuracies)


class Journal:
    """The file of trials in a folder; it is made, or read and gone on with."""

    def __init__(self, folder: Path, about: Mapping[str, str]) -> None:
        """Raises InputError where the folder holds a search of something else, or a line was changed."""
        self._path, self._root = folder / FILE, folder
        head = _line(dict(about))
        self.trials: list[Trial] = []
        if self._path.is_file():
            lines = content_of(self._path, self._fix).splitlines(keepends=True)
            whole = [line for line in lines if line.endswith(b"\n")]
            self._demand_same(whole, about)
            self.trials = [self._trial(line, place) for place, line in enumerate(whole[1:], 2)]
            write_whole(self._path, b"".join(whole) or head, folder)
        else:
            write_whole(self._path, head, folder)

    def append(self, trial: Trial) -> None:
        """Store one more trial."""
        append(self._path, _line(msgspec.to_builtins(trial)), self._root)
        self.trials.append(trial)

    @property
    def _fix(self) -> str:
        return f"name another folder with --output, or delete {self._path} to search anew"

    def _demand_same(self, lines: list[bytes], about: Mapping[str, str]) -> None:
        there = self._value(lines[0], 1) if lines else dict(about)
        for name, ours in about.items():
            if there.get(name) != ours:
                raise InputError(
                    f"{self._path}: a search with {name} {there.get(name)}",
                    expected=f"{name} {ours}, or the trials to come would not match those before",
                    fix=self._fix,
                )

    def _trial(self, line: bytes, place: int) -> Trial:
        try:
            return msgspec.convert(self._value(line, place), Trial)
        except msgspec.ValidationError as error:
            raise self._damaged(place) from error

    def _value(self, line: bytes, place: int) -> dict[str, Any]:
        try:
            digest, _, text = line.decode().rstrip("\n").partition(" ")
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise self._damaged(place) from error
        if hashlib.sha256(text.encode()).hexdigest() != digest or not isinstance(value, dict):
            raise self._damaged(place)
        return value

    def _damaged(self, place: int) -> InputError:
        return InputError(
            f"{self._path}, line {place}: was changed",
            expected="the file as fedspike wrote it",
            fix=self._fix,
        )


def _line(value: dict[str, Any]) -> bytes:
    """A value as a line: the hash of its JSON, and that JSON."""
    text = json_bytes(value, indent=None)
    return hashlib.sha256(text.rstrip(b"\n")).hexdigest().encode() + b" " + text
