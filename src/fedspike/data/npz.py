"""Your own data: one .npz file with the arrays x_train, y_train, x_test and y_test.

>>> np.savez("own.npz", x_train=x, y_train=y, x_test=a, y_test=b)  # doctest: +SKIP

The samples of a single device have no test set beside them: there x_train and y_train will do.
"""

import hashlib
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
from jaxtyping import Float32, Int64
from msgspec import Meta

from fedspike.data.arrays import checked, images, labels
from fedspike.data.dataset import Dataset, ignore
from fedspike.data.source import Source
from fedspike.errors import InputError

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
OWN = ("x_train", "y_train")


class NPZ(Source, tag="npz"):
    """A file of your own with the arrays x_train, y_train, x_test and y_test, as numpy.savez writes it."""

    path: Annotated[str, Meta(min_length=1, description="the file")]

    def load(self, say: Callable[[str], None] = ignore) -> Dataset:
        """The data set in the file."""
        del say
        return load(Path(self.path))


def load(path: Path) -> Dataset:
    """The data set in a .npz file, or an InputError that names the file and the array.

    Images are uint8 from 0 to 255 or floats from 0 to 1, [sample, ...]; labels are whole numbers
    0, 1, 2, ... [sample], and every class has at least one training image.
    """
    raw = _bytes(path)
    sha256 = {path.name: hashlib.sha256(raw).hexdigest()}
    return checked(_arrays(raw, path, ARRAYS), path.stem, source=str(path), sha256=sha256)


def load_own(path: Path) -> tuple[Float32[np.ndarray, "..."], Int64[np.ndarray, "..."]]:
    """One device's images and labels, as `load` reads those of training; InputError as there."""
    arrays = _arrays(_bytes(path), path, OWN)
    x = images(arrays["x_train"], f"{path}: x_train")
    return x, labels(arrays["y_train"], f"{path}: y_train")


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror}",
            expected="a .npz file that can be read",
            fix="check the path and its permissions",
        ) from error


def _arrays(raw: bytes, path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    if not zipfile.is_zipfile(io.BytesIO(raw)):
        raise InputError(
            f"{path}: is not an .npz file, or only part of one",
            expected="a file that numpy.savez or numpy.savez_compressed wrote",
            fix=f"save it with numpy.savez(path, {', '.join(f'{name}=...' for name in names)})",
        )
    try:
        with np.load(io.BytesIO(raw), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in names if name in archive}
    except Exception as error:  # numpy, zipfile and zlib raise a dozen kinds on damaged files
        raise InputError(
            f"{path}: {error}",
            expected="an undamaged .npz file of plain numbers (Python objects are never unpickled)",
            fix="save it again with numpy.savez, from arrays of numbers",
        ) from error
    if absent := [name for name in names if name not in arrays]:
        raise InputError(
            f"{path}: lacks {', '.join(absent)}",
            expected=f"the arrays {', '.join(names)}",
            fix="save the missing arrays under these names too",
        )
    return arrays
