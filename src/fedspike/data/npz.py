"""Your own data: one .npz file with the arrays x_train, y_train, x_test and y_test.

>>> np.savez("own.npz", x_train=x, y_train=y, x_test=a, y_test=b)  # doctest: +SKIP

The samples of a single device have no test set beside them: there x_train and y_train will do. `axes`,
`range` and `signed` can lie in the file, too, as arrays of these names.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from fedspike.data.archive import read
from fedspike.data.arrays import checked, labels
from fedspike.data.dataset import Dataset, ignore
from fedspike.data.layout import UNSAID, Axes, Bounds, Layout, Signed
from fedspike.data.source import Source

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


def load(path: Path, layout: Layout = UNSAID) -> Dataset:
    """The data set in a .npz file, or an InputError that names the file and the array.

    Labels are whole numbers 0, 1, 2, ... [sample], and every class has at least one training image.
    """
    raw, arrays, statements = read(path, ARRAYS)
    layout = layout.also(statements, str(path))
    sha256 = {path.name: hashlib.sha256(raw).hexdigest()}
    return checked(arrays, layout, path.stem, source=str(path), sha256=sha256)


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
