"""Events as columns of numbers, of which each has its name in the file: NumPy's files, tables and HDF5."""

import io
import math
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from fedspike.data import archive
from fedspike.data.events.cochlea import demand_h5py
from fedspike.files import content_of
from fedspike.reading import decoded

MOST_BYTES, MOST_EVENTS = 2**31, 2**26  # of a recording
Columns = dict[str, np.ndarray]
Names = tuple[str, ...]


def npy_array(path: Path, names: Names) -> Columns:
    """A structured array with fields of these names. Raises OSError and ValueError."""
    raw = io.BytesIO(content_of(path, MOST_BYTES))
    version = npy.read_magic(raw)
    header = {(1, 0): npy.read_array_header_1_0}.get(version, npy.read_array_header_2_0)
    shape, _, dtype = header(raw)
    held, promised = len(raw.getbuffer()) - raw.tell(), math.prod(shape) * dtype.itemsize
    if missing := [name for name in names if name not in (dtype.names or ())]:
        raise ValueError(f"it holds {dtype} of shape {shape}, and no field {missing[0]}")
    if held != promised and not dtype.hasobject:
        raise ValueError(f"it has {held} bytes, and its header says {promised}")
    raw.seek(0)
    array = npy.read_array(raw, allow_pickle=False)
    return {name: array[name] for name in names}


def npz_arrays(path: Path, names: Names) -> Columns:
    """Arrays of these names. Raises InputError."""
    _, arrays, _ = archive.read(path, names)
    return arrays


def csv_columns(path: Path, names: Names) -> Columns:
    """Columns of these names, which stand in the first line. Raises OSError and ValueError."""
    text = decoded(content_of(path, MOST_BYTES)).removeprefix("\ufeff")
    head, _, lines = text.partition("\n")
    own = [name.strip() for name in head.split(",")]
    if missing := [name for name in names if name not in own]:
        raise ValueError(f"it has no column {missing[0]} but {', '.join(own[:10])}")
    if not lines.strip():
        return {name: np.empty(0) for name in names}
    places = [own.index(name) for name in names]
    table = np.loadtxt(
        io.StringIO(lines),
        delimiter=",",
        usecols=places,
        ndmin=2,
        comments=None,
        max_rows=MOST_EVENTS + 1,
    )
    return dict(zip(names, table.T, strict=True))


def hdf5(path: Path, names: Names) -> Columns:
    """The data sets events/t and so on. Raises OSError, KeyError, ValueError, and InputError without h5py."""
    demand_h5py()
    import h5py

    with h5py.File(path, "r") as file:
        columns = {}
        for name in names:
            whole = f"events/{name}"
            if whole not in file:
                raise KeyError(f"it has no {whole}")
            data = file[whole]
            if data.file != file or data.is_virtual or data.external:
                raise ValueError(f"{whole} lies in another file")
            if data.size > MOST_EVENTS:
                raise ValueError(f"{whole} has {data.size} events, more than {MOST_EVENTS}")
            columns[name] = np.asarray(data)
    return columns
