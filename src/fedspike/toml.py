"""A TOML file that somebody wrote: its values, or one error that says what is wrong with it."""

import tomllib
from pathlib import Path
from typing import Any

from fedspike.errors import InputError

LONGEST = 20_000  # characters; what people write is shorter
DEEPEST = 8  # tables and lists inside each other


def read(file: Path, name: str, *, expected: str, fix: str) -> str:
    """The text of a file; `name` is what errors call it. Raises InputError where it cannot be read."""
    try:
        return file.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{name}: cannot be read ({error})", expected=expected, fix=fix) from error


def parse(text: str, name: str, *, fix: str) -> dict[str, Any]:
    """The values of a TOML text. Raises InputError where it is not TOML."""
    try:
        if len(text) > LONGEST:
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
    found, level = 0, [values]
    while level:
        found += 1
        tables = [table for table in level if isinstance(table, (dict, list))]
        level = [
            v for table in tables for v in (table if isinstance(table, list) else table.values())
        ]
    return found
