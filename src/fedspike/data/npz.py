"""Your own data: one .npz file with the arrays x_train, y_train, x_test and y_test.

>>> np.savez("own.npz", x_train=x, y_train=y, x_test=a, y_test=b)  # doctest: +SKIP

The samples of a single device have no test set beside them: there x_train and y_train will do. `axes`,
`range` and `signed` can lie in the file, too, as arrays of these names.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from fedspike.data.archive import read
from fedspike.data.arrays import as_array, labels, read_as
from fedspike.data.dataset import Dataset, ignore
from fedspike.data.layout import UNSAID, Axes, Bounds, Layout, Signed, axes_of
from fedspike.data.source import Samples, Source, as_in_a_dataset
from fedspike.errors import InputError

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
OWN = ("x_train", "y_train")
OF_THE_FLEET = (
    "y_train = np.searchsorted(CLASSES, y_train)  # CLASSES: all names of the fleet, sorted, "
    "the same on every device"
)


class NPZ(Source, tag="npz"):
    """A file of your own with the arrays x_train, y_train, x_test and y_test, as numpy.savez writes it.

    Nothing about x is guessed. Without `axes` it is read where it is [sample, feature], or grey images of
    bytes [sample, height, width] whose brightest is 255; without `range` where it holds bytes whose brightest
    is 255, truth values, or floats from 0 to 1. All else is asked for. A value v of `range` = [a, b] becomes
    (v - a) / (b - a), or, with `signed` = true, v / max(|a|, |b|), which an ANN and the direct code take.
    The three may lie in the file, too: np.savez(..., axes="sample feature", range=[0, 16]).
    """

    path: Annotated[str, Meta(min_length=1, description="the file")]
    axes: Axes | None = None
    range: Bounds | None = None
    signed: Signed = False

    def check(self) -> None:
        """Raise InputError for axes and ranges that are none."""
        _ = self._layout

    @property
    def _layout(self) -> Layout:
        return Layout(self.axes, self.range, self.signed)

    def load(self, say: Callable[[str], None] = ignore) -> Dataset:
        """The data set in the file."""
        del say
        return load(Path(self.path), self._layout)

    def as_loaded(self, values: Any, what: str = "images") -> Samples:
        """Floats as in `Dataset.x_test`, or other numbers as they stand in the file.

        What is said neither here nor, as bytes from 0 to 255, by a file that is there, is not guessed.
        """
        array = as_array(values, what)
        if array.dtype.kind not in "biu":
            negative = array.dtype.kind == "f" and array.size and array.min() < 0
            signed = self.signed or (negative and self._as_the_file_says(array, what).signed)
            return as_in_a_dataset(array, what, signed=bool(signed))
        layout = self._layout
        if layout.axes is None or layout.range is None:
            layout = self._as_the_file_says(array, what)
        return layout.images(array, what)

    def _as_the_file_says(self, array: np.ndarray, what: str) -> Layout:
        try:
            _, _, statements = read(Path(self.path), ())
        except InputError as error:
            raise InputError(
                f"{what} holds {array.dtype}, and {self.path}, which says what that means, cannot be read",
                expected="floats, as in x_test of its data set",
                fix=f'{what}.astype("float32") / 255, if these are bytes and 255 is white',
            ) from error
        layout = self._layout.also(statements, self.path)
        axes = axes_of(array.shape[1:]) if array.ndim in (2, 3) else None
        bounds = (
            (0, 255) if array.dtype == np.uint8 else None
        )  # what the file may mean without a word
        return Layout(layout.axes or axes, layout.range or bounds, layout.signed)


def load(path: Path, layout: Layout = UNSAID) -> Dataset:
    """The data set in a .npz file, or an InputError that names the file and the array.

    Labels are whole numbers 0, 1, 2, ... [sample], and every class has at least one training image.
    """
    raw, arrays, statements = read(path, ARRAYS)
    layout = layout.also(statements, str(path))
    sha256 = {path.name: hashlib.sha256(raw).hexdigest()}
    return Dataset(name=path.stem, sha256=sha256, **read_as(layout, arrays, str(path)))


def load_own(path: Path, classes: int) -> Dataset:
    """One device's samples, as `load` reads those of training; the first is the test set, too."""
    _, arrays, statements = read(path, OWN)
    layout = UNSAID.also(statements, str(path))
    y = labels(arrays["y_train"], f"{path}: y_train", renumber=OF_THE_FLEET)
    x = layout.images(arrays["x_train"], f"{path}: x_train")
    return Dataset(
        name="own",
        x_train=x,
        y_train=y,
        x_test=x[:1],
        y_test=y[:1],
        classes=classes,
        source=str(path),
        sha256={},
        signed=layout.signed,
        understood=layout.understood(arrays["x_train"]),
    )
