"""The files below a folder, whether they lie there or in archives there."""

import io
import zipfile
from pathlib import Path
from types import TracebackType

from fedspike.errors import InputError
from fedspike.files import content_of

LARGEST_FILE, LARGEST_ARCHIVE = 2**22, 2**29
FIX = "fetch it again"


class Files:
    """Files by their path below a folder, with /; what lies in .zip archives there is found, too.

    `only` names the archives in which alone is looked. To be closed, or used with `with`.
    """

    def __init__(self, folder: Path, only: tuple[str, ...] | None = None) -> None:
        self.folder, self.name = folder, str(folder)
        self._loose = only is None
        if not folder.is_dir():
            raise InputError(
                f"{folder}: there is no such folder",
                expected="a folder with the files of the data set",
                fix="correct its path",
            )
        paths = sorted(folder.glob("*.zip")) if only is None else [folder / one for one in only]
        self._archives = [_opened(path) for path in paths]
        self._packed = {name: one for one in self._archives for name in one.namelist()}
        self._folders = {
            name[:end] for name in self._packed for end in range(len(name)) if name[end] == "/"
        }

    def __enter__(self) -> "Files":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for archive in self._archives:
            archive.close()

    def __contains__(self, path: str) -> bool:
        return (self._loose and (self.folder / path).is_file()) or path in self._packed

    def has_folder(self, path: str) -> bool:
        """Whether there is such a folder."""
        return (self._loose and (self.folder / path).is_dir()) or path in self._folders

    def content(self, path: str) -> bytes:
        """The bytes of a file; InputError where they cannot be had."""
        try:
            if self._loose and (path not in self._packed or (self.folder / path).is_file()):
                return content_of(self.folder / path, LARGEST_FILE)
            archive = self._packed[path]
            with archive.open(path) as file:
                content = file.read(LARGEST_FILE + 1)
            if len(content) > LARGEST_FILE:
                raise OSError(f"it has more than {LARGEST_FILE} bytes")
            return content
        except (KeyError, OSError, ValueError, zipfile.BadZipFile, RuntimeError) as error:
            reason = "it is not there" if isinstance(error, KeyError) else error
            raise InputError(
                f"{self.name}/{path}: {getattr(error, 'strerror', None) or reason}",
                expected="a file that can be read",
                fix=FIX,
            ) from error


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(io.BytesIO(content_of(path, LARGEST_ARCHIVE)))
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path}: {getattr(error, 'strerror', None) or error}",
            expected="an undamaged .zip archive",
            fix=FIX,
        ) from error
