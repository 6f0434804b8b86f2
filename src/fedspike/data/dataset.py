"""What every data set becomes: images in [0, 1] and their labels, refused here if they are bad."""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from jaxtyping import Float32, Int64, UInt8
from msgspec import Meta

from fedspike.errors import InputError
from fedspike.part import within

SCALARS = {
    "name": str,
    "classes": Annotated[int, Meta(ge=1, lt=2**31)],
    "source": str,
    "sha256": dict[str, str],
    "signed": bool,
    "understood": str,
}


@dataclass(frozen=True, eq=False)
class Dataset:
    """The images and labels of one data set. One that exists is usable: bad ones raise InputError.

    A pixel is an intensity from 0 to 1, so that a rate code can read it as a spike probability, or where it
    is `signed` a number from -1 to 1; a label is a class number from 0 to `classes` - 1. Samples are
    [feature], [row, column] or [channel, row, column].

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
    x_train: Float32[np.ndarray, "..."]  # [train, *shape]
    y_train: Int64[np.ndarray, "..."]  # [train]
    x_test: Float32[np.ndarray, "..."]  # [test, *shape]
    y_test: Int64[np.ndarray, "..."]  # [test]
    classes: int
    source: str  # where it was found, in words
    sha256: dict[str, str]  # file name -> hash of the content that was read, decompressed
    signed: bool = False  # an ANN and the direct code take these
    understood: str = ""  # what was read without a word though it may mean something else

    def __post_init__(self) -> None:
        for name, kind in SCALARS.items():
            fitted = within(f"Dataset: {name}", getattr(self, name), kind)
            object.__setattr__(self, name, fitted)
        for split in ("train", "test"):
            x, y = f"x_{split}", f"y_{split}"
            images = _converted(getattr(self, x), f"{self.source}: {x}", "biuf", np.float32)
            labels = _converted(getattr(self, y), f"{self.source}: {y}", "iu", np.int64)
            object.__setattr__(self, x, images)
            object.__setattr__(self, y, labels)
            _demand_intensities(f"{self.source}: x_{split}", images, -1 if self.signed else 0)
            if labels.shape != images.shape[:1]:
                raise InputError(
                    f"{self.source}: y_{split} has shape {labels.shape}, "
                    f"x_{split} has {len(images)} images",
                    expected=f"one label for each image, shape ({len(images)},)",
                    fix="save the two arrays from the same samples, labels without a second axis",
                )
            _demand_classes(f"{self.source}: y_{split}", labels, self.classes)
        if self.x_train.shape[1:] != self.x_test.shape[1:]:
            raise InputError(
                f"{self.source}: images of shape {self.x_train.shape[1:]} in x_train, "
                f"{self.x_test.shape[1:]} in x_test",
                expected="one shape for all images",
                fix="prepare the training and the test images the same way",
            )


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


def as_array(values: Any, what: str) -> np.ndarray:
    """What NumPy takes as an array; InputError for all else."""
    try:
        return np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:  # ragged, on a GPU, with a gradient
        raise InputError(
            f"{what} is no array: {error}",
            expected="an array of numbers of one shape",
            fix="give a NumPy array; of a tensor, tensor.detach().cpu().numpy()",
        ) from error


def intensities(pixels: UInt8[np.ndarray, "*shape"]) -> Float32[np.ndarray, "*shape"]:
    """Bytes from 0 to 255 as intensities from 0 to 1: pixel / 255.

    >>> intensities(np.array([0, 51, 255], np.uint8)).tolist()
    [0.0, 0.20000000298023224, 1.0]
    """
    scaled = pixels.astype(np.float32)
    scaled /= 255
    return scaled


def ignore(message: str) -> None:
    """Say nothing: the `say` of callers who do not want to hear how a data set is found."""


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
            fix="replace what is NaN"
            if broken
            else "say from where to where they go: from_arrays(..., layout=Layout(range=(0, 255)))",
        )


def _demand_classes(what: str, labels: np.ndarray, classes: int) -> None:
    if labels.min() < 0 or labels.max() >= classes:
        raise InputError(
            f"{what} holds labels from {labels.min()} to {labels.max()}",
            expected=f"labels from 0 to {classes - 1}",
            fix="number the classes 0, 1, 2, ... in the training and the test labels alike",
        )
