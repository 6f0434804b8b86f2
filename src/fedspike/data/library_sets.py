"""Sets that a library knows, which fetches them where somebody wants that, and only then."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedspike.data import download
from fedspike.errors import InputError


@dataclass(frozen=True)
class LibrarySet:
    """A set by its name, the folder where it is, and the library's own word for that folder."""

    library: str
    name: str
    folder: Path
    root: str

    def fetch(
        self,
        lacking: str,
        addresses: Sequence[str],
        wanted: bool,
        announce: Callable[[], None],
        fetch: Callable[[Path], object],
    ) -> None:
        """Have the library fetch it beside the folder; its files are moved in when all are whole.

        `announce` says before from where. Raises InputError where that is not `wanted`, or it is not to be
        had.
        """
        places = ", ".join(addresses)
        if not wanted:
            raise InputError(
                f"{self.folder} has no {lacking}",
                expected=f"{self.name} as {self.library} lays it out below its {self.root}",
                fix=f"set data.download = true, which fetches it from {places}, or correct data.folder",
                keys=("folder", "download"),
            )
        try:
            announce()
            download.moved_in(self.folder, fetch)
        except (OSError, RuntimeError) as error:  # as these libraries say that a hash is another
            raise InputError(
                f"{self.name} is not to be had: {' '.join(str(error).split())}",
                expected=f"an answer from {places}; does this machine reach it?",
                fix=f"fetch it on a machine that does, with {self.library}, and name its {self.root} as "
                "data.folder",
                keys=("download",),
            ) from error
