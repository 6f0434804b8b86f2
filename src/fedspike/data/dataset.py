"""What every data set becomes: images in [0, 1], or recordings, and their labels, refused here if bad."""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Any

import numpy as np
from jaxtyping import Float32, Int64, Shaped
from msgspec import Meta

from fedspike.data.arrays import as_array, read_as
from fedspike.data.layout import UNSAID, Layout
from fedspike.data.owners import Owners
from fedspike.data.recordings import demand_recordings, shares
from fedspike.errors import InputError, warn_once
from fedspike.part import demand_fit, within

SCALARS = {
    "name": str,
    "classes": Annotated[int, Meta(ge=1, lt=2**31)],
    "source": str,
    "sha256": dict[str, str],
    "signed": bool,
    "understood": str,
    "class_names": tuple[str, ...],
    "time_steps": Annotated[int, Meta(ge=1, lt=2**31)] | None,
    "count_windows": Annotated[int, Meta(ge=1, lt=2**31)],
}


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """The images and labels of one data set. One that exists is usable: bad ones raise InputError.

    A pixel is an intensity from 0 to 1, so that a rate code can read it as a spike probability, or where it
    is `signed` a number from -1 to 1; a label is a class number from 0 to `classes` - 1. Samples are
    [feature], [row, column] or [channel, row, column].

    With `time_steps` samples are recordings, trains of spikes as bits: int64 [input, word], [row, column,
    word] or [channel, row, column, word]; see recordings.py.

    Arrays are made float32 and int64 in the machine's own order of bytes, from all that NumPy takes as
    numbers: lists, tensors of torch on the CPU, floats of any width. Labels are whole numbers already.

    >>> pixels, labels = np.zeros((3, 28, 28), np.float32), np.array([0, 1, 2])
    >>> Dataset("toy", pixels, labels, pixels, labels, classes=2, source="toy", sha256={})
    Traceback (most recent call last):
    fedspike.errors.InputError: toy: y_train holds labels from 0 to 2
      expected: labels from 0 to 1
      fix: number the classes 0, 1, 2, ... in the training and the test labels alike
    """

    # Shapes stand in comments because they are checked below, always and with an InputError.
    name: str
    x_train: Shaped[
        np.ndarray, "..."
    ]  # [train, *shape], float32; of recordings int64 [train, *shape, word]
    y_train: Int64[np.ndarray, "..."]  # [train]
    x_test: Shaped[np.ndarray, "..."]  # [test, *shape], or of recordings [test, *shape, word]
    y_test: Int64[np.ndarray, "..."]  # [test]
    classes: int
    source: str  # where it was found, in words
    sha256: dict[str, str]  # file name -> hash of the content that was read, decompressed
    signed: bool = False  # an ANN and the direct code take these
    understood: str = ""  # what was read without a word though it may mean something else
    class_names: tuple[str, ...] = ()  # of all classes, in their order; of none: they are numbers
    owners: Owners | None = None  # whose training sample each one is, where somebody said so
    time_steps: int | None = None  # of recordings
    count_windows: int = 1  # of time, in which `counted` counts their events

    def __post_init__(self) -> None:
        for name, kind in SCALARS.items():
            fitted = within(f"Dataset: {name}", getattr(self, name), kind)
            object.__setattr__(self, name, fitted)
        for split in ("train", "test"):
            x, y = f"x_{split}", f"y_{split}"
            darkest = -1 if self.signed else 0
            images, what = getattr(self, x), f"{self.source}: {x}"
            if self.time_steps is None:
                images = samples_within(images, what, darkest)
            else:
                demand_recordings(what, images, self.time_steps)
            labels = _converted(getattr(self, y), f"{self.source}: {y}", "iu", np.int64)
            object.__setattr__(self, x, images)
            object.__setattr__(self, y, labels)
            if labels.shape != images.shape[:1]:
                raise InputError(
                    f"{self.source}: y_{split} has shape {labels.shape}, "
                    f"x_{split} has {len(images)} images",
                    expected=f"one label for each image, shape ({len(images)},)",
                    fix="save the two arrays from the same samples, labels without a second axis",
                )
            _demand_classes(f"{self.source}: y_{split}", labels, self.classes)
        self._demand_names()
        if self.count_windows > (self.time_steps or 1):
            raise InputError(
                f"{self.source}: count_windows = {self.count_windows}",
                expected=f"a time step in each: {self.time_steps or 1} at most",
                fix="set count_windows = 1",
                keys=("count_windows",),
            )
        if self.x_train.shape[1:] != self.x_test.shape[1:]:
            raise InputError(
                f"{self.source}: images of shape {self.x_train.shape[1:]} in x_train, "
                f"{self.x_test.shape[1:]} in x_test",
                expected="one shape for all images",
                fix="prepare the training and the test images the same way",
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a sample: its numbers' or, of a recording, its inputs'."""
        own = self.x_train.shape[1:]
        return own if self.time_steps is None else own[:-1]

    @cached_property
    def counted(self) -> "Dataset":
        """The same data set without time: of recordings, how many of a window's steps have a spike, 0 to 1.

        It is what a network that takes no recordings learns from.
        """
        if (steps := self.time_steps) is None:
            return self
        x_train, x_test = (
            shares(x, steps, self.count_windows) for x in (self.x_train, self.x_test)
        )
        return replace(self, x_train=x_train, x_test=x_test, time_steps=None, count_windows=1)

    def _demand_names(self) -> None:
        """Raise InputError where not every class has a name of its own, or not every sample an owner."""
        if self.class_names and len({*self.class_names}) != self.classes:
            raise InputError(
                f"{self.source}: class_names = {self.class_names} for {self.classes} classes",
                expected="a name of its own for each class, or none",
                fix="name all classes, in the order of their numbers",
            )
        if self.owners is not None and self.owners.of.shape != self.y_train.shape:
            raise InputError(
                f"{self.source}: owners of {len(self.owners.of)} samples",
                expected=f"an owner for each of {len(self.y_train)} training samples",
                fix="Owners.called(names), with a name for each training sample",
            )

    @classmethod
    def from_arrays(
        cls,
        x_train: Any,
        y_train: Any,
        x_test: Any,
        y_test: Any,
        *,
        name: str = "arrays",
        layout: Layout = UNSAID,
    ) -> "Dataset":
        """A data set from arrays, or an InputError that names the array.

        `layout` says what the numbers of x are, as the keys of `[data]` do; see `Layout` for what needs no
        word; where that may mean something else, too, it is logged. Labels are whole numbers 0, 1, 2, ...
        [sample], and every class has at least one training image.

        >>> layout = Layout(axes="sample height width", range=(0, 31))
        >>> images, labels = np.arange(32, dtype=np.uint8).reshape(2, 4, 4), np.array([0, 1])
        >>> Dataset.from_arrays(images, labels, images, labels, name="toy", layout=layout)
        Dataset(toy: 2 training and 2 test samples of 4 x 4, 2 classes)
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
        return warned(cls(name=name, sha256=sha256, **read_as(layout, arrays, name)))

    def __repr__(self) -> str:
        sizes = f"{len(self.y_train)} training and {len(self.y_test)} test samples"
        shape = " x ".join(map(str, self.shape))
        steps = f" in {self.time_steps} time steps" if self.time_steps else ""
        return f"Dataset({self.name}: {sizes} of {shape}{steps}, {self.classes} classes)"


def warned(data: Dataset) -> Dataset:
    """The data set, of which whoever reads it from Python is told what was read without a word."""
    if data.understood:
        warn_once(f"{data.source}: {data.understood}")
    return data


def samples_within(values: Any, what: str, darkest: int) -> Float32[np.ndarray, "..."]:
    """Numbers from `darkest` to 1 as samples [sample, *shape]; InputError for all else."""
    samples = _converted(values, what, "biuf", np.float32)
    _demand_intensities(what, samples, darkest)
    return samples


def _converted(values: Any, what: str, kinds: str, dtype: type) -> np.ndarray:
    """The values as an array of this type, the same one where it is such an array already."""
    array = as_array(values, what)
    if array.dtype.kind not in kinds:
        raise InputError(
            f"{what} holds {array.dtype}",
            expected="whole numbers, a class for each image" if dtype is np.int64 else "numbers",
            fix=f"give an array of {np.dtype(dtype)}",
        )
    with np.errstate(over="ignore"):  # too large for float32 becomes infinite, and is refused
        return np.ascontiguousarray(array, dtype)


def ignore(message: str) -> None:
    """Say nothing: the `say` of callers who do not want to hear how a data set is found."""


SCALED = (
    "divide by 255 what are bytes, or say from where to where numbers go: "
    "Dataset.from_arrays(..., layout=Layout(range=(0, 16)))"
)


def _demand_intensities(what: str, images: np.ndarray, darkest: int) -> None:
    if images.ndim > 4:
        raise InputError(
            f"{what} has shape {images.shape}",
            expected="samples [feature], [row, column] or [channel, row, column]",
            fix="x.reshape(len(x), -1), if a sample's numbers have no places",
        )
    if images.ndim < 2 or images.size == 0:
        raise InputError(
            f"{what} is empty or has no axis beside the samples: shape {images.shape}",
            expected="at least one image, shape [sample, height, width] or [sample, feature]",
            fix="check how the array was saved",
        )
    lowest, highest = images.min(), images.max()
    if not (lowest >= darkest and highest <= 1):  # also true for NaN, which min and max hand on
        broken = int(np.count_nonzero(~np.isfinite(images)))
        content = (
            f"{broken} pixels that are NaN or infinite" if broken else f"{lowest} to {highest}"
        )
        raise InputError(
            f"{what} holds {content}",
            expected=f"numbers from {darkest} to 1",
            fix="replace what is NaN" if broken else SCALED,
        )


def _demand_classes(what: str, labels: np.ndarray, classes: int) -> None:
    if labels.min() < 0 or labels.max() >= classes:
        raise InputError(
            f"{what} holds labels from {labels.min()} to {labels.max()}",
            expected=f"labels from 0 to {classes - 1}",
            fix="number the classes 0, 1, 2, ... in the training and the test labels alike",
        )
