"""The usual sets of recordings, as tonic has them: N-MNIST, gestures, CIFAR10-DVS, spoken digits, signs."""

import importlib
import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta

from fedspike import extras
from fedspike.data import download
from fedspike.data.events.event_source import Events, EventSource, Recorded, Recording
from fedspike.data.library_sets import LibrarySet
from fedspike.errors import InputError

OWNERS = {"SHD": "speaker", "SSC": "speaker", "DVSGesture": "users"}  # by tonic's attribute


class TonicSet(EventSource, tag="tonic", kw_only=True):
    """A set of tonic's: NMNIST, DVSGesture, CIFAR10DVS, ASLDVS, SHD or SSC.

    It is read from `folder`, where tonic has put it with save_to = folder; only with `download` = true it is
    fetched into it, from the addresses and by the MD5 that tonic has. Where a set has no test part of its
    own, that is drawn: `test_share` of each class. Speakers of SHD and SSC and persons of DVSGesture are
    owners, for the partition `natural`. Time begins with a recording's first event, but of SHD and SSC with
    the recording. CIFAR10DVS takes the package aedat, too.
    """

    set: Annotated[
        Literal["NMNIST", "DVSGesture", "CIFAR10DVS", "ASLDVS", "SHD", "SSC"],
        Meta(description="as tonic calls it"),
    ]
    folder: Annotated[str, Meta(min_length=1, description="tonic's save_to")]
    download: Annotated[bool, Meta(description="what is not in the folder")] = False

    def recorded(self, say: Callable[[str], None]) -> Recorded:
        """Those in tonic's files; InputError where they are not there and not to be had."""
        missing = f"set = {self.set!r}, and tonic is not installed"
        extras.demand([self.kind], self.kind, missing, expected="tonic, which knows it")
        own = getattr(importlib.import_module("tonic.datasets"), self.set)
        choices, folder = _choices(own), Path(self.folder)
        addresses = [one for choice in choices for one in _missing(own, folder, choice)]
        if addresses:
            self._fetch(own, addresses, say)
        parts = [_recordings(_opened(own, folder, choice), self.set) for choice in choices]
        columns, rows, polarities = own.sensor_size
        sensor = (columns,) if rows == 1 else (polarities, rows, columns)
        test = parts[1] if len(parts) > 1 else None
        return Recorded(self.set.lower(), self.folder, sensor, parts[0], test)

    def _fetch(self, own: Any, addresses: list[str], say: Callable[[str], None]) -> None:
        def announce() -> None:
            for address in addresses:
                size = download.size_of(address)
                extent = "of a size that is not said" if size is None else f"{size / 1e6:.0f} MB"
                say(f"{self.kind}: tonic fetches {address}, {extent}, into {self.folder}")

        LibrarySet("tonic", self.set, Path(self.folder), "save_to").fetch(
            self.set,
            addresses,
            self.download,
            announce,
            lambda root: [own(str(root), **one) for one in _choices(own)],
        )


class _Absent(Exception):
    """Raised in place of fetching."""


def _choices(own: Any) -> list[dict[str, Any]]:
    """What tonic calls the training and the test part of a set; or the whole where it has no parts."""
    options = inspect.signature(own).parameters
    if "split" in options:
        return [{"split": "train"}, {"split": "test"}]
    return [{"train": True}, {"train": False}] if "train" in options else [{}]


def _opened(own: Any, folder: Path, choice: dict[str, Any]) -> Any:
    """A part of a set, of which nothing is fetched: then _Absent is raised, with the address."""

    def fetch(part: Any) -> None:
        raise _Absent(part.url)

    unfetched = type(
        own.__name__, (own,), {"download": fetch}
    )  # by its name tonic calls its folder
    try:
        return unfetched(str(folder), **choice)
    except _Absent:
        raise
    except Exception as error:  # tonic and h5py raise a dozen kinds on damaged files
        raise _broken(f"{folder}: {own.__name__}", error) from error


def _missing(own: Any, folder: Path, choice: dict[str, Any]) -> list[str]:
    """The address of a part that is not there."""
    try:
        _opened(own, folder, choice)
    except _Absent as absent:
        return [str(absent)]
    return []


def _recordings(part: Any, name: str) -> list[Recording]:
    classes = np.asarray([*part.classes]).astype(str).tolist()  # which are text, bytes, or keys
    owners = getattr(part, OWNERS[name]) if name in OWNERS else None
    recordings = []
    for number, label in enumerate(_labels(part, name)):
        where = f"{name}, recording {number}"
        if not 0 <= label < len(classes):
            raise InputError(
                f"{where}: label {label}, and {len(classes)} names of classes",
                expected="a name for each label",
                fix="delete the files, and fetch them again with data.download = true",
            )
        owner = None if owners is None else str(owners[number])
        recordings.append(
            Recording(where, classes[label], owner, partial(_read, part, number, where))
        )
    return recordings


def _labels(part: Any, name: str) -> list[int]:
    """The class of each, without the events where tonic has it."""
    targets = part.targets or [
        _item(part, n, f"{name}, recording {n}")[1] for n in range(len(part))
    ]
    return [int(one) for one in targets]


def _item(part: Any, number: int, where: str) -> Any:
    try:
        return part[number]
    except Exception as error:  # as above
        raise _broken(where, error) from error


def _read(part: Any, number: int, where: str) -> Events:
    events, _ = _item(part, number, where)
    t = events["t"].ravel().astype(np.float64) / 1000
    if "y" not in events.dtype.names:
        return Events(t, events["x"].ravel().astype(np.int64)[:, None])
    at = np.stack([events[axis].ravel().astype(np.int64) for axis in "pyx"], axis=1)
    return Events(t - t.min() if len(t) else t, at)


def _broken(where: str, error: Exception) -> InputError:
    return InputError(
        f"{where} cannot be read: {error}",
        expected="the files of the set, unchanged, as tonic reads them",
        fix="delete them, and fetch them again with data.download = true",
    )
