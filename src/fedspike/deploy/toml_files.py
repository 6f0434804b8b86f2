"""The small TOML files of a fleet: read as their type, written whole."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

import msgspec
import tomli_w
from msgspec import Struct

from fedspike import reading
from fedspike.experiment.document import Document, Key
from fedspike.experiment.fields import record
from fedspike.files import write_whole

S = TypeVar("S", bound=Struct)


def read(
    file: Path, kind: type[S], *, fix: str, options: Mapping[Key, object] = MappingProxyType({})
) -> S:
    """A file as its type, with some keys set by options of the command line, which are called as the keys.

    Raises InputError where it cannot be read or is of another form; file, line and key are named.
    """
    text = reading.read(file, str(file), expected="a file that fedspike wrote", fix=fix)
    values = reading.parse(text, str(file), fix=f"correct that place, or {fix}")
    document = Document(str(file), text, values)
    for key, value in options.items():
        given = "" if value is True else f" {value}"
        document = document.override(key, value, f"--{key[-1].replace('_', '-')}{given}")
    return record(document, kind)


def write(file: Path, values: Struct | dict[str, object], root: Path) -> None:
    """A record or a document as a file below `root`."""
    write_whole(
        file, tomli_w.dumps(msgspec.to_builtins(values), multiline_strings=True).encode(), root
    )
