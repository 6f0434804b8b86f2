"""The small TOML files of a fleet: read as their type, written whole."""

from pathlib import Path
from typing import TypeVar

import msgspec
import tomli_w
from msgspec import Struct

from fedspike import reading
from fedspike.errors import InputError
from fedspike.files import write_whole

S = TypeVar("S", bound=Struct)


def read(file: Path, kind: type[S], *, fix: str) -> S:
    """A file as its type. Raises InputError where it cannot be read, or is of another form."""
    text = reading.read(file, str(file), expected="a file that fedspike wrote", fix=fix)
    try:
        return msgspec.convert(reading.parse(text, str(file), fix=fix), kind)
    except msgspec.ValidationError as error:
        if isinstance(cause := error.__cause__, InputError):
            raise InputError(
                f"{file}: {cause.passed}", expected=cause.expected, fix=cause.fix
            ) from error
        raise InputError(
            f"{file}: {error}", expected="the keys that fedspike wrote", fix=fix
        ) from error


def write(file: Path, values: Struct | dict[str, object], root: Path) -> None:
    """A record or a document as a file below `root`."""
    write_whole(
        file, tomli_w.dumps(msgspec.to_builtins(values), multiline_strings=True).encode(), root
    )
