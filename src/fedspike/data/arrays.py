"""Data sets from arrays in memory: a user's own, and those of an .npz file."""

import hashlib
from typing import Any

import numpy as np
from jaxtyping import Int64

from fedspike.data.dataset import Dataset, as_array
from fedspike.data.layout import UNSAID, Layout
from fedspike.errors import InputError, warn_once
from fedspike.part import demand_fit, within


def from_arrays(
    x_train: Any,
    y_train: Any,
    x_test: Any,
    y_test: Any,
    *,
    name: str = "arrays",
    layout: Layout = UNSAID,
) -> Dataset:
    """A data set from arrays, or an InputError that names the array.

    `layout` says what the numbers of x are, as the keys of `[data]` do; see `Layout` for what needs no
    word; where that may mean something else, too, it is logged. Labels are whole numbers 0, 1, 2, ...
    [sample], and every class has at least one training image.

    >>> layout = Layout(axes="sample height width", range=(0, 31))
    >>> images, labels = np.arange(32, dtype=np.uint8).reshape(2, 4, 4), np.array([0, 1])
    >>> from_arrays(images, labels, images, labels, layout=layout).classes
    2
    """
    arrays = {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}
    name = within("from_arrays: name", name, str)
    demand_fit(
        "from_arrays: layout",
        layout,
        isinstance(layout, Layout),
        expected="what the numbers of x mean",
        fix='write Layout(axes="sample height width")',
    )
    arrays = {key: as_array(values, f"{name}: {key}") for key, values in arrays.items()}
    meaning = repr(layout) if layout != UNSAID else ""
    hashes = {
        array: hashlib.sha256(
            f"{values.shape!r}{meaning if array[0] == 'x' else ''}".encode()
            + np.ascontiguousarray(values).tobytes()
        )
        for array, values in arrays.items()
    }
    sha256 = {array: digest.hexdigest() for array, digest in hashes.items()}
    return warned(checked(arrays, layout, name, source=name, sha256=sha256))


def checked(
    arrays: dict[str, np.ndarray],
    layout: Layout,
    name: str,
    *,
    source: str,
    sha256: dict[str, str],
) -> Dataset:
    """The data set of four arrays by name; `source` is what errors call it."""
    for split in ("train", "test"):
        if arrays[f"x_{split}"].dtype.kind in "SUOV":  # said before anything is asked about it
            layout.images(arrays[f"x_{split}"], f"{source}: x_{split}")
    y_train = labels(arrays["y_train"], f"{source}: y_train")
    y_test = labels(arrays["y_test"], f"{source}: y_test")
    x_train, x_test = arrays["x_train"], arrays["x_test"]
    classes = int(y_train.max(initial=0)) + 1
    present = np.unique(y_train)
    if y_train.size and (present[0] < 0 or len(present) != classes):
        absent = next(number for number, label in enumerate(present) if number != label)
        raise InputError(
            f"{source}: y_train holds labels from {present[0]} to {present[-1]}, "
            f"and no image is of class {absent}",
            expected="class numbers 0, 1, 2, ... without a gap",
            fix=f"{BEFORE}{RENUMBER}",
        )
    if x_train.dtype != x_test.dtype:
        raise InputError(
            f"{source}: x_train holds {x_train.dtype}, x_test {x_test.dtype}",
            expected="training and test samples prepared in the same way",
            fix=f"{BEFORE}x_test = x_test.astype(x_train.dtype)  # if both are on one scale",
        )
    understood = layout.understood(x_train)
    # Both parts are read alike: bytes of a test set need not reach 255 where those of training do.
    layout = layout.settled(x_train, f"{source}: x_train")
    return Dataset(
        name=name,
        x_train=layout.images(x_train, f"{source}: x_train"),
        y_train=y_train,
        x_test=layout.images(x_test, f"{source}: x_test"),
        y_test=y_test,
        classes=classes,
        source=source,
        sha256=sha256,
        signed=layout.signed,
        understood=understood,
    )


def warned(data: Dataset) -> Dataset:
    """The data set, of which whoever reads it from Python is told what was read without a word."""
    if data.understood:
        warn_once(f"{data.source}: {data.understood}")
    return data


BEFORE = "before np.savez: "
RENUMBER = (
    "y_train, y_test = np.split(np.unique(np.concatenate([y_train, y_test]), "
    "return_inverse=True)[1], [len(y_train)])"
)


def labels(
    array: np.ndarray, what: str, *, renumber: str = RENUMBER
) -> Int64[np.ndarray, " sample"]:
    """Class numbers; InputError, with the line that mends them, for anything else."""
    name = what.split()[-1]
    if array.dtype == object:
        fix = f"{name} = np.array({name}.tolist())"
    elif array.ndim == 2 and array.shape[1] > 1 and array.dtype.kind in "biuf":
        fix = f"{name} = {name}.argmax(axis=1)"
    elif array.ndim > 1:
        fix = f"{name} = {name}.ravel()"
    elif array.dtype.kind in "iu":
        return array.astype(np.int64)
    elif array.dtype.kind in "SU":
        fix = renumber
    elif array.dtype.kind in "bf" and np.isfinite(array).all() and (array % 1 == 0).all():
        fix = f"{name} = {name}.astype(np.int64)"
    else:
        fix = f"{name} = np.digitize({name}, [0.5])  # 0 below 0.5, 1 above"
    raise InputError(
        f"{what} holds {array.dtype} of shape {array.shape}",
        expected="whole numbers, one class number for each image, shape (samples,)",
        fix=BEFORE + fix,
    )
