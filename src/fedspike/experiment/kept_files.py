"""A run's folder keeps the user's own files whose parts the run used, in `own/`."""

from collections.abc import Iterable
from pathlib import Path

from fedspike.errors import InputError
from fedspike.files import content_of, write_whole
from fedspike.own_files import OwnFile

FOLDER = "own"


def keep(files: Iterable[OwnFile], home: Path, root: Path) -> None:
    """Store the files in a folder below `root`. Raises InputError where they cannot be written."""
    for file in files:
        write_whole(home / FOLDER / file.name, file.content, root)


def kept(home: Path) -> list[Path]:
    """The files that a folder keeps."""
    return sorted((home / FOLDER).glob("*.py"))


def demand_same(files: Iterable[OwnFile], home: Path) -> None:
    """Raise InputError where a run began with other files than these."""
    for file in files:
        path = home / FOLDER / file.name
        if path.exists() and content_of(path) != file.content:
            before = OwnFile(file.name, content_of(path))
            raise InputError(
                f"{file.name} has changed since {home} began: SHA-256 {before.sha256} then,"
                f" {file.sha256} now",
                expected="the same file to the end of a run",
                fix=f"go on with the file that the run kept, --use {path}, or name another folder with"
                " --output",
            )
