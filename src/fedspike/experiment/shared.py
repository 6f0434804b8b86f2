"""What is told first to a process that trains runs or trials of an experiment, whichever they are."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from msgspec import Struct

from fedspike.data import Dataset
from fedspike.errors import InputError
from fedspike.experiment.describing import data_sha256
from fedspike.experiment.document import Document
from fedspike.experiment.kinds import Kinds


class Shared(Struct, frozen=True):
    """The experiment's file, the data's hash, where to compute; `use` are files with the user's own parts.

    `what` are the jobs, all together, for an error.
    """

    what: ClassVar[str]

    file: str
    text: str
    values: dict[str, Any]
    use: Sequence[str]
    data_sha256: str
    device: str
    threads: int

    def begin(self) -> tuple[Document, Kinds]:
        """Take the threads; the experiment's file, and the kinds that there are."""
        import torch

        torch.set_num_threads(self.threads)
        kinds = Kinds.used(map(Path, self.use))
        return Document(self.file, self.text, self.values), kinds

    def demand_same(self, data: Dataset) -> None:
        """Raise InputError where the data are others than in the process that said this."""
        if data_sha256(data) != self.data_sha256:
            raise InputError(
                f"{data.source} changed since the {self.what} began",
                expected="the same data in all processes",
                fix="give the command again",
            )
