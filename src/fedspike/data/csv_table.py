"""A table of numbers in a file, with a column for the class and perhaps one for the owner."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
from jaxtyping import Float64
from msgspec import Meta

from fedspike.data import named
from fedspike.data.dataset import Dataset, ignore
from fedspike.data.layout import Bounds, Layout
from fedspike.data.named import TestShare
from fedspike.data.source import Source
from fedspike.errors import InputError
from fedspike.files import content_of
from fedspike.reading import decoded, nearest

MOST_BYTES = 2**32
Column = Annotated[str, Meta(min_length=1)]


class CSVTable(Source, tag="csv-table"):
    """A table in a file: a line for each sample below one with the columns' names, a number in each column.

    `label` is the column with the classes, by number or name; `owner` that which says whose sample it is, for
    the partition `natural`; columns of `left_out` are not read. Numbers go from 0 to 1: each column from its
    least to its greatest in the training samples, or all from a to b with `range` = [a, b]. What lies outside
    in the test samples is cut off at 0 and 1.

    Test samples are those of the file `test`, or drawn: `test_share` of each class.
    """

    path: Annotated[str, Meta(min_length=1, description="the file")]
    label: Annotated[Column, Meta(description="the column with the classes")]
    owner: Annotated[Column, Meta(description="the column with the owners")] | None = None
    left_out: Annotated[tuple[Column, ...], Meta(description="columns that are not read")] = ()
    range: Bounds | None = None
    test: Annotated[str, Meta(min_length=1, description="a file with the test samples")] | None = (
        None
    )
    test_share: TestShare = 0.2

    def check(self) -> None:
        """Raise InputError for a range that is none."""
        Layout(range=self.range)

    def load(self, say: Callable[[str], None] = ignore) -> Dataset:
        """The data set; InputError, with line and column, for what is missing or no number."""
        say(f"{self.kind}: reading {self.path}")
        first = self._table(self.path)
        if self.test is None:
            train, test = named.split(first.part, self.test_share)
        else:
            say(f"{self.kind}: reading {self.test}")
            train, test = first.part, self._table(self.test, first.features).part
        low, high = self.range or (train.x.min(axis=0), train.x.max(axis=0))
        extent = np.where(np.equal(high, low), 1.0, np.subtract(high, low))
        self._demand_range(train.x)
        return named.dataset(
            Path(self.path).stem,
            train,
            test,
            self.path,
            lambda x: np.clip((x - low) / extent, 0, 1).astype(np.float32),
        )

    def _demand_range(self, x: Float64[np.ndarray, "sample feature"]) -> None:
        if self.range and not (self.range[0] <= x.min() and x.max() <= self.range[1]):
            raise InputError(
                f"{self.path}: numbers from {x.min():g} to {x.max():g}, with range = {list(self.range)}",
                expected="training samples within the range",
                fix=f"set range = [{x.min():g}, {x.max():g}], or leave it out",
                keys=("range",),
            )

    def _table(self, path: str, features: tuple[str, ...] | None = None) -> "_Table":
        """What is in a file, whose columns are these `features` where another file has said so."""
        head, lines = _lines(path)
        owner = [("owner", self.owner)] if self.owner else []
        left_out = [("left_out", column) for column in self.left_out]
        asked = [("label", self.label), *owner, *left_out]
        for key, name in asked:
            if name not in head:
                raise InputError(
                    f"{key} = {name!r}: {path} has no such column",
                    expected=f"one of {', '.join(head[:20])}",
                    fix=nearest(name, head, otherwise="name one of these"),
                    keys=(key,),
                )
        read = {name for _, name in asked}
        own = tuple(name for name in head if name not in read)
        if own != (features or own) or not own:
            raise InputError(
                f"{path}: columns {', '.join(own[:20]) or 'of no numbers'}",
                expected=f"those of {self.path}, {', '.join((features or ('one at least',))[:20])}",
                fix="give both files the same columns in the same order",
            )
        where = {name: place for place, name in enumerate(head)}
        x = _numbers(path, lines, [(name, where[name]) for name in own])
        labels = [line[where[self.label]] for _, line in lines]
        owners = [line[where[self.owner]] for _, line in lines] if self.owner else None
        for name, words in ((self.label, labels), (self.owner or "", owners or [])):
            if "" in words:
                raise InputError(
                    f"{path}, line {lines[words.index('')][0]}: nothing in column {name}",
                    expected="a name or a number in each line",
                    fix="fill it in, or remove the line",
                )
        return _Table(named.NamedSamples(x, labels, owners), own)


class _Table(NamedTuple):
    part: named.NamedSamples
    features: tuple[str, ...]


def _lines(path: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The columns' names, and the cells of each line under its number."""
    try:
        text = decoded(content_of(Path(path), MOST_BYTES)).removeprefix("\ufeff")
        reader = csv.reader(text.splitlines(keepends=True), strict=True)
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"{path}: {getattr(error, 'strerror', None) or error}",
            expected="a file of comma-separated values, in UTF-8",
            fix="check its path, and how it was saved",
        ) from error
    if len(rows) < 2 or len({*rows[0][1]}) < len(rows[0][1]) or "" in rows[0][1]:
        raise InputError(
            f"{path}: {'no samples' if len(rows) < 2 else 'two columns of one name, or one without'}",
            expected="a line with a name for each column, and a line for each sample",
            fix="write the columns' names into the first line, as in width,height,class",
        )
    (_, head), *lines = rows
    for number, line in lines:
        if len(line) != len(head):
            raise InputError(
                f"{path}, line {number}: {len(line)} cells",
                expected=f"{len(head)}, one for each column of the first line",
                fix="correct the line; cells with a comma in them stand in quotes",
            )
    return head, lines


def _numbers(
    path: str, lines: list[tuple[int, list[str]]], columns: list[tuple[str, int]]
) -> Float64[np.ndarray, "sample feature"]:
    places = [place for _, place in columns]
    try:
        x = np.array([[line[place] for place in places] for _, line in lines]).astype(np.float64)
    except ValueError:
        x = np.array([[_number(line[place]) for place in places] for _, line in lines])
    if not np.isfinite(x).all():
        row, column = np.argwhere(~np.isfinite(x))[0]
        name, place = columns[column]
        raise InputError(
            f"{path}, line {lines[row][0]}: {lines[row][1][place]!r} in column {name}",
            expected="a number in each line",
            fix=f'correct it, or leave the column out: data.left_out = ["{name}"]',
            keys=("left_out",),
        )
    return x


def _number(cell: str) -> float:
    """What a cell says; NaN where it is no number."""
    try:
        return float(cell)
    except ValueError:
        return np.nan
