"""Data sets from arrays in memory: a user's own, and those of an .npz file."""

import hashlib

import numpy as np
from jaxtyping import Float32, Int64

from fedspike.data.dataset import Dataset, intensities
from fedspike.errors import InputError


def from_arrays(
    x_train: np.ndarray,
    y_train: np.ndarray,
    x_test: np.ndarray,
    y_test: np.ndarray,
    *,
    name: str = "arrays",
) -> Dataset:
    """A data set from arrays, or an InputError that names the array.

    Images are uint8 from 0 to 255 or floats from 0 to 1, [sample, ...]; labels are whole numbers
    0, 1, 2, ... [sample], and every class has at least one training image.

    >>> images, labels = np.zeros((2, 4, 4), np.uint8), np.array([0, 1])
    >>> from_arrays(images, labels, images, labels).classes
    2
    """
    arrays = {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}
    hashes = {
        array: hashlib.sha256(repr(values.shape).encode() + np.ascontiguousarray(values).tobytes())
        for array, values in arrays.items()
    }
    sha256 = {array: digest.hexdigest() for array, digest in hashes.items()}
    return checked(arrays, name, source=name, sha256=sha256)


def checked(
    arrays: dict[str, np.ndarray], name: str, *, source: str, sha256: dict[str, str]
) -> Dataset:
    """The data set of four arrays by name; `source` is what errors call it."""
    y_train = labels(arrays["y_train"], f"{source}: y_train")
    dataset = Dataset(
        name=name,
        x_train=images(arrays["x_train"], f"{source}: x_train"),
        y_train=y_train,
        x_test=images(arrays["x_test"], f"{source}: x_test"),
        y_test=labels(arrays["y_test"], f"{source}: y_test"),
        classes=int(y_train.max(initial=0)) + 1,
        source=source,
        sha256=sha256,
    )
    present = np.unique(y_train)
    if len(present) != dataset.classes:
        absent = next(number for number, label in enumerate(present) if number != label)
        raise InputError(
            f"{source}: y_train goes up to {dataset.classes - 1}, but no image is of class {absent}",
            expected="class numbers 0, 1, 2, ... without a gap",
            fix="number the classes that are there: labels = np.unique(labels, "
            "return_inverse=True)[1], over y_train and y_test together",
        )
    return dataset


def images(array: np.ndarray, what: str) -> Float32[np.ndarray, "..."]:
    """Pixels as intensities from 0 to 1; InputError for anything but bytes and floats."""
    if array.dtype == np.uint8:
        return intensities(array)
    if array.dtype.kind != "f":
        raise InputError(
            f"{what} holds {array.dtype}",
            expected="uint8 from 0 to 255, or floats from 0 to 1",
            fix=f"save {what.split()[-1]}.astype(numpy.uint8) if its pixels go from 0 to 255",
        )
    with np.errstate(over="ignore"):  # too large for float32 becomes infinite, and is refused
        return array.astype(np.float32)


def labels(array: np.ndarray, what: str) -> Int64[np.ndarray, "..."]:
    """Class numbers; InputError for anything but whole numbers."""
    if array.dtype.kind not in "iu":
        raise InputError(
            f"{what} holds {array.dtype}",
            expected="whole numbers, one class number for each image",
            fix=f"save {what.split()[-1]}.astype(numpy.int64)",
        )
    return array.astype(np.int64)
