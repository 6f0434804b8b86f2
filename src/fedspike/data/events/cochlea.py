"""Recordings of an artificial cochlea in HDF5, in the layout of the Heidelberg data sets."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from fedspike import extras
from fedspike.data.events.event_source import Events, EventSource, Recorded, Recording
from fedspike.errors import InputError

WANTED = ("spikes/times", "spikes/units", "labels")
SPEAKER, KEYS = "extra/speaker", "extra/keys"
File = Annotated[str, Meta(min_length=1)]


class Cochlea(EventSource, tag="cochlea", kw_only=True):
    """Spikes of an artificial cochlea in HDF5, laid out as the Heidelberg data sets SHD and SSC are.

    A file has spikes/times, in seconds, spikes/units, channels from 0 to `channels` - 1, and labels; where it
    has extra/speaker, that is the owner, for the partition `natural`, and extra/keys are the classes' names.
    Test recordings are those of the file `test`, or drawn: `test_share` of each class. To read HDF5 takes
    h5py.

    Source: Cramer, Stradmann, Schemmel, Zenke, "The Heidelberg spiking data sets for the systematic
    evaluation of spiking neural networks", IEEE Transactions on Neural Networks and Learning Systems 33,
    2022.
    """

    path: Annotated[File, Meta(description="the file with the training recordings")]
    test: Annotated[File, Meta(description="a file with the test recordings")] | None = None
    channels: Annotated[int, Meta(ge=1, le=2**20, description="of the cochlea")] = 700
    merge: Annotated[int, Meta(ge=1, le=4096, description="neighbours that become one input")] = 5

    def recorded(self, say: Callable[[str], None]) -> Recorded:
        """Those in the files; InputError for one that is not laid out like this."""
        say(f"{self.kind}: reading {self.path}")
        train = _recordings(self.path)
        test = None if self.test is None else _recordings(self.test)
        return Recorded(Path(self.path).stem, self.path, (self.channels,), train, test)


def demand_h5py() -> None:
    """Raise InputError where h5py is not installed."""
    missing = "recordings in HDF5, and h5py is not installed"
    extras.demand(["h5py"], "events", missing, expected="h5py, which reads them")


def _recordings(path: str) -> list[Recording]:
    demand_h5py()
    with _errors(path):
        file = _opened(path)
        labels = np.asarray(file["labels"]).ravel()
        sizes = {name: len(file[name]) for name in WANTED}
        keys = [*file[KEYS].asstr()] if KEYS in file else []
        speakers = np.asarray(file[SPEAKER]).ravel() if SPEAKER in file else None
    if speakers is not None:
        sizes[SPEAKER] = len(speakers)
    if len({*sizes.values()}) > 1:
        raise InputError(
            f"{path}: " + ", ".join(f"{size} in {name}" for name, size in sizes.items()),
            expected="an entry for each recording in all of them",
            fix="write it again",
        )
    if keys and not (labels.min(initial=0) >= 0 and labels.max(initial=0) < len(keys)):
        raise InputError(
            f"{path}: labels from {labels.min()} to {labels.max()}, and {len(keys)} names in {KEYS}",
            expected="a name for each label",
            fix="write the missing names",
        )
    return [
        Recording(
            f"{path}, recording {number}",
            keys[label] if keys else str(label),
            None if speakers is None else str(speakers[number]),
            partial(_read, file, path, number),
        )
        for number, label in enumerate(labels.tolist())
    ]


def _opened(path: str) -> Any:
    """The file, which is closed with the last recording that is read from it."""
    import h5py

    file = h5py.File(path, "r")
    if missing := [name for name in WANTED if name not in file]:
        raise KeyError(f"it has no {missing[0]}")
    return file


@contextmanager
def _errors(path: str) -> Iterator[None]:
    """What h5py raises as an InputError."""
    try:
        yield
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        words = str(error.args[0] if error.args else error).splitlines()[0]
        raise InputError(
            f"{path}: {getattr(error, 'strerror', None) or words}",
            expected=f"a whole file in HDF5 with {', '.join(WANTED)}, as SHD has them",
            fix="check its path, and fetch or write it again",
        ) from error


def _read(file: Any, path: str, number: int) -> Events:
    with _errors(path):
        t = np.asarray(file["spikes/times"][number], np.float64) * 1000
        channels = np.asarray(file["spikes/units"][number]).astype(np.int64)
    if t.shape != channels.shape or t.ndim != 1:
        raise InputError(
            f"{path}, recording {number}: {t.shape} times and {channels.shape} units",
            expected="a time and a channel for each event",
            fix="write it again",
        )
    return Events(t, channels[:, None])
