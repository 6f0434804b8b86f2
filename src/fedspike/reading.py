"""What a person wrote, in TOML or comma-separated: its values, or one error that says what is wrong."""

import codecs
import csv
import difflib
import hashlib
import math
import re
import tomllib
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from fedspike.errors import InputError
from fedspike.files import content_of

LONGEST = 20_000  # characters; what people write is shorter
LONGEST_STORED = 2 * 10**7  # of a run's settings, in which the matrix or the trace of a file is
MARKS = {  # the longer ones first, for they begin like others
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
MOST_BYTES_OF_LINES = 10**7  # of comma-separated values, which programs write, too
LONGEST_NUMBER = 9  # digits of a whole number in such lines
DIGITS = 8  # of a digest
DEEPEST = 8  # tables and lists inside each other
WORDS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text in quotes",
    type(None): "nothing",
}
SMALLEST, LARGEST = 1e-15, 1e9  # their squares and products are numbers in single precision, too
BEYOND_SAYING = 2**31 - 1  # bounds from here on only keep out what no machine could do


def read(file: Path, name: str, *, expected: str, fix: str, longest: int = LONGEST) -> str:
    """The text of a file; `name` is what errors call it. Raises InputError where it cannot be read."""
    try:
        content = content_of(
            file, 4 * longest + 4
        )  # the longest encoding, behind a byte-order mark
    except OSError as error:
        reason = error.strerror or error
        raise InputError(
            f"{name}: cannot be read ({reason})", expected=expected, fix=fix
        ) from error
    try:
        return decoded(content)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{name}, line {line}: is not {error.encoding.upper()}",
            expected="a text in UTF-8, or in UTF-16 with a byte-order mark",
            fix="save it as UTF-8 in an editor",
        ) from error


def decoded(content: bytes) -> str:
    """A text in UTF-8 or, where a byte-order mark says so, UTF-16 or 32, as Windows' shells write it.

    Line ends become newlines. Raises UnicodeDecodeError.

    >>> decoded("rounds = 5\\r\\nseed = 1".encode("utf-16"))
    'rounds = 5\\nseed = 1'
    """
    marked = (encoding for mark, encoding in MARKS.items() if content.startswith(mark))
    text = content.decode(next(marked, "utf-8-sig"))
    return text.replace("\r\n", "\n").replace("\r", "\n")


def lines_of(file: str) -> list[tuple[int, list[str]]]:
    """Number and cells of each line of comma-separated values that is not empty.

    Raises InputError where the file cannot be read.
    """
    try:
        text = decoded(content_of(Path(file), MOST_BYTES_OF_LINES))
        rows = list(enumerate(csv.reader(text.splitlines()), 1))
    except (OSError, UnicodeError, csv.Error) as error:
        raise InputError(
            f"{file}: {getattr(error, 'strerror', None) or error}",
            expected="a file of comma-separated text",
            fix="check the path",
            keys=("path",),
        ) from error
    return [(number, [cell.strip() for cell in row]) for number, row in rows if row]


def whole_numbers(file: str, columns: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """The columns below a line with their names. InputError names the first line that does not fit them."""
    lines = lines_of(file) or [(1, ["nothing"])]
    for place, (number, cells) in enumerate(lines):
        whole = all(cell.isdecimal() and len(cell) <= LONGEST_NUMBER for cell in cells)
        fits = whole and len(cells) == len(columns) if place else cells == [*columns]
        if not fits:
            raise InputError(
                f"{file}, line {number}: {','.join(cells)[:60]}",
                expected=f"the columns {', '.join(columns)}",
                fix=f"write a line {','.join(columns)}, and below it {len(columns)} whole numbers a line, "
                f"each below 10^{LONGEST_NUMBER}",
                keys=("path",),
            )
    rows = [cells for _, cells in lines[1:]]
    if not rows:
        raise InputError(
            f"{file}: nothing below its first line",
            expected=f"lines of {','.join(columns)}",
            fix="write a line for each, or leave path out",
            keys=("path",),
        )
    return {name: tuple(int(row[place]) for row in rows) for place, name in enumerate(columns)}


def fill(part: Any, fields: Sequence[str], read: Callable[[str], Mapping[str, object]]) -> None:
    """Fill these fields of a new part from the file at its `path`, if it has one; the path is forgotten.

    Raises InputError where a field is given beside the path.
    """
    if not part.path:
        return
    if any(getattr(part, name) for name in fields):
        raise InputError(
            f"{type(part).__name__}: path = {part.path!r}, and {' or '.join(fields)} beside it",
            expected=f"a file or {', '.join(fields)}",
            fix="leave path out",
            keys=("path",),
        )
    for name, value in {**read(part.path), "path": ""}.items():
        msgspec.structs.force_setattr(part, name, value)


def parse(text: str, name: str, *, fix: str, longest: int = LONGEST) -> dict[str, Any]:
    """The values of a TOML text. Raises InputError where it is not TOML."""
    try:
        if len(text) > longest:
            raise ValueError(f"{len(text)} characters are too many")
        values = tomllib.loads(text)
        if depth(values) > DEEPEST:
            raise ValueError("nested too deeply")
        return values
    # RecursionError: brackets nested a thousand deep; ValueError: also an int of 5,000 digits
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise InputError(
            f"{name}: {reason}",
            expected="a TOML file (https://toml.io)",
            fix=fix,
        ) from error


def depth(values: object) -> int:
    """How many tables and lists are inside each other."""
    levels, level = 0, [values]
    while level:
        levels += 1
        tables = [table for table in level if isinstance(table, (dict, list))]
        level = [
            v for table in tables for v in (table if isinstance(table, list) else table.values())
        ]
    return levels


def numbers(value: object, key: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    """Where nan, inf and integers beyond 64 bits stand in tables and lists, and what they are.

    >>> list(numbers({"range": [0.0, math.inf]}))
    [(('range', '[1]'), inf)]
    """
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from numbers(inner, (*key, name))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from numbers(inner, (*key, f"[{place}]"))
    elif isinstance(value, float) and not math.isfinite(value):
        yield key, value
    elif isinstance(value, int) and abs(value) >= 2**63:
        yield key, "a number of more than 64 bits"


def nearest(name: str, names: Iterable[str], otherwise: str | None = None) -> str:
    """Advice for an unknown name: the most similar known ones; `otherwise`, or else all of them.

    >>> nearest("clases", ["classes", "kind"])
    'did you mean classes?'
    """
    names = sorted(names)
    close = difflib.get_close_matches(name.lower(), names, n=2, cutoff=0.65)
    if close:
        return f"did you mean {' or '.join(close)}?"
    if otherwise is not None:
        return otherwise
    return f"use one of: {', '.join(names)}" if names else "remove it"


def key_of(error: msgspec.ValidationError) -> str:
    """The key of a file that msgspec's error is about; "" where it names none.

    >>> key_of(msgspec.ValidationError("Expected `float`, got `str` - at `$.battery_wh.value`"))
    'battery_wh'
    """
    # The key comes last: "... unknown field `colour`", "... - at `$.node_nm`"
    named = re.findall(r"`(?:\$\.)?(\w+)[^`]*`", str(error))
    return named[-1] if named else ""


def written(value: object) -> str:
    """A value nearly as TOML would have it, cut where it is long."""
    text = f'"{value}"' if isinstance(value, str) else str(value)
    text = text.lower() if isinstance(value, bool) else text
    return text if len(text) <= 60 else f"{text[:57]}..."


def digested(text: str, most: int) -> str:
    """Text as it is; of more than `most` characters the beginning and a digest, so that two stay two.

    >>> digested("0_1_2", 40), digested("0.5_" * 100, 24)
    ('0_1_2', '0.5_0.5_0.5_0.5_8e7bf0ae')
    """
    if len(text) <= most:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:DIGITS]
    return f"{text[: most - DIGITS - 1]}_{digest}"


def beyond_computing(value: object) -> bool:
    """Whether it is so large, or so close to 0, that sums with it may be no numbers."""
    if not isinstance(value, int | float) or value == 0:
        return False
    return not SMALLEST <= abs(value) <= LARGEST


def limits_in_words(kind: Any, instead: object = None) -> str:
    """What a key of this type may hold, `instead` of something else, with the bound that it is beyond.

    >>> limits_in_words(typing.Annotated[int, msgspec.Meta(ge=1)] | typing.Literal["all"])
    'a whole number >= 1 or "all"'
    >>> limits_in_words(typing.Annotated[int, msgspec.Meta(ge=1, lt=2**31)], 3_000_000_000)
    'a whole number >= 1 and < 2147483648'
    >>> limits_in_words(typing.Annotated[float, msgspec.Meta(gt=0)], 3_000_000_000)
    'a number > 0, of a size from 1e-15 to 1e+09'
    """
    words = _in_words(kind, instead)
    if beyond_computing(instead) and "a number" in words:
        words += f", of a size from {SMALLEST:g} to {LARGEST:g}"
    return words


def _in_words(kind: Any, instead: object) -> str:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _bounded(_in_words(arguments[0], instead), arguments[1], instead)
    if origin is typing.Literal:
        return " or ".join(written(choice) for choice in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_in_words(choice, instead) for choice in arguments)
    if origin is tuple and arguments[0] is Any:
        return "a list"
    if origin is tuple:
        many = "" if ... in arguments else f"of {len(arguments)} values, "
        return f"a list {many}of which each is {_in_words(arguments[0], instead)}"
    if issubclass(kind, msgspec.Struct) and kind.__struct_config__.tag is None:
        return f"a table of {', '.join(kind.__struct_fields__)}"
    return WORDS.get(kind) or f"a {kind.__name__}"


def _bounded(words: str, limits: msgspec.Meta, instead: object) -> str:
    if limits.pattern:
        return "letters, digits, '.', '_' and '-', at most 100, the first a letter or digit"
    values = instead if isinstance(instead, list | tuple) else [instead]
    if limits.min_length:
        words += ", not empty"
    if limits.max_length and len(values) > limits.max_length:
        words += f", at most {limits.max_length}"
    largest = max([0, *(value for value in values if isinstance(value, int | float))])
    bounds = ((">", limits.gt), (">=", limits.ge), ("<", limits.lt), ("<=", limits.le))
    signs = [
        f"{sign} {b if b >= BEYOND_SAYING else f'{b:g}'}"
        for sign, b in bounds
        if b is not None and (b < BEYOND_SAYING or largest >= b)
    ]
    return " ".join([words, " and ".join(signs)]).strip()
