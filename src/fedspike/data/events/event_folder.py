"""A folder of recordings of an event camera, whose folders say the class of each, and perhaps whose it is."""

import csv
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from msgspec import Meta

from fedspike.data import folders
from fedspike.data.events.addresses import aedat, five_bytes
from fedspike.data.events.event_columns import (
    MOST_EVENTS,
    Columns,
    Names,
    csv_columns,
    hdf5,
    npy_array,
    npz_arrays,
)
from fedspike.data.events.event_source import Events, EventSource, Recorded, Recording
from fedspike.data.folders import Filed, Levels
from fedspike.errors import InputError

READERS: dict[str, Callable[[Path, Names], Columns]] = {
    ".npy": npy_array,
    ".npz": npz_arrays,
    ".csv": csv_columns,
    ".h5": hdf5,
    ".hdf5": hdf5,
    ".bin": five_bytes,
    ".aedat": aedat,
}
IN_US = (".bin", ".aedat")  # whatever time_unit says
IN_MS = {"s": 1e3, "ms": 1.0, "us": 1e-3, "ns": 1e-6}
FAR = 2**31  # beyond any sensor
Side = Annotated[int, Meta(ge=1, le=2**15)]
First = Annotated[int, Meta(ge=0, le=2**15)]


class EventFolder(EventSource, tag="event-folder", kw_only=True):
    """A folder of recordings of event cameras, a file each; `levels` says what folders are called after.

    "class" is a folder for each class, "split class" the same in two folders train and test, "owner class" in
    a folder for each owner, for the partition `natural`; "any" is a level that says nothing. Without a level
    "split" test recordings are drawn: `test_share` of each class.

    Files are .npy, a structured array with t, x, y and p; .npz and .csv, arrays and columns of these names;
    .h5 and .hdf5, with events/t and so on; .bin, as N-MNIST and N-Caltech101 have them; and .aedat of version
    2.0 by a DVS128 and of version 3.1. x is the column, y the row, p the polarity, 0 or -1 and 1, and t
    the time, in `time_unit` where a format has none of its own. Time begins with a recording's first event.
    To read HDF5 takes h5py.
    """

    path: Annotated[str, Meta(min_length=1, description="the folder")]
    levels: Levels = "class"
    sensor: Annotated[tuple[Side, Side], Meta(description="rows and columns of the camera")]
    polarity: Annotated[
        Literal["apart", "together"], Meta(description="an input for either of a pixel, or one")
    ] = "apart"
    crop: (
        Annotated[
            tuple[First, First, Side, Side],
            Meta(description="its first row and column, rows and columns; the rest is left out"),
        ]
        | None
    ) = None
    time_unit: Annotated[
        Literal["s", "ms", "us", "ns"], Meta(description="of t where the format has none")
    ] = "us"

    from_zero: ClassVar[bool] = False

    def check(self) -> None:
        """Raise InputError for levels that say no class, or something twice, and a crop beyond the sensor."""
        super().check()
        folders.demand_levels(self.levels)
        row, column, rows, columns = self.crop or (0, 0, 1, 1)
        if row + rows > self.sensor[0] or column + columns > self.sensor[1]:
            raise InputError(
                f"crop = {list(self.crop or ())} of a sensor of {self.sensor[0]} x {self.sensor[1]}",
                expected="first row, first column, rows and columns within the sensor",
                fix=f"set crop = [0, 0, {self.sensor[0]}, {self.sensor[1]}], or leave it out",
                keys=("crop",),
            )

    def recorded(self, say: Callable[[str], None]) -> Recorded:
        """The files in the folder; InputError where there are none, or one lies elsewhere than levels say."""
        files = folders.filed(
            self.path,
            self.levels,
            [*READERS],
            "recordings",
            lambda line: say(f"{self.kind}: {line}"),
        )
        all_of_them = [self._recording(file) for file in files]
        train, test = all_of_them, None
        if "split" in self.levels.split():
            train, test = (
                [all_of_them[place] for place in folders.of_part(files, part, self.path)]
                for part in ("train", "test")
            )
        name = folders.name_of(self.path, self.kind)
        polarities = 2 if self.polarity == "apart" else 1
        return Recorded(name, self.path, (polarities, *self.sensor), train, test, self.crop)

    def _recording(self, file: Filed) -> Recording:
        read = partial(self._read, file.path)
        return Recording(str(file.path), file.levels["class"], file.levels.get("owner"), read)

    def _read(self, path: Path) -> Events:
        names = ("t", "x", "y", "p") if self.polarity == "apart" else ("t", "x", "y")
        ending = path.suffix.lower()
        try:
            if not path.stat().st_size:
                raise ValueError("it is empty")
            columns = READERS[ending](path, names)
            _demand_columns(columns)
        except InputError:
            raise
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, csv.Error) as error:
            words = str(error.args[0] if error.args else error).splitlines()[0]
            raise InputError(
                f"{path}: {getattr(error, 'strerror', None) or words}",
                expected=f"a whole recording with {', '.join(names)} of each event",
                fix="convert or record it again, or remove it",
            ) from error
        unit = "us" if ending in IN_US else self.time_unit
        rows, columns_ = (columns[name].astype(np.int64) for name in ("y", "x"))
        of_polarity = columns["p"] > 0 if self.polarity == "apart" else np.zeros(len(rows))
        at = np.stack([of_polarity.astype(np.int64), rows, columns_], axis=1)
        return Events(columns["t"].astype(np.float64) * IN_MS[unit], at)


def _demand_columns(columns: Columns) -> None:
    """Raise ValueError where these are no numbers, as many of each, whole where they are no times."""
    if len({column.shape for column in columns.values()}) > 1 or columns["t"].ndim != 1:
        shapes = ", ".join(f"{name} {column.shape}" for name, column in columns.items())
        raise ValueError(f"it has columns {shapes}, not as many numbers of each")
    if len(columns["t"]) > MOST_EVENTS:
        raise ValueError(f"it has more than {MOST_EVENTS} events")
    for name, column in columns.items():
        if column.dtype.kind not in "biuf":
            raise ValueError(f"{name} holds {column.dtype}, no numbers")
        if name == "t":
            continue
        whole = (column == np.floor(column)) & (np.abs(column) < FAR)
        odd = ~np.isin(column, (-1, 0, 1)) if name == "p" else ~whole
        if odd.any():
            n = int(odd.argmax())
            raise ValueError(f"event {n} has {name} = {column[n]}")
