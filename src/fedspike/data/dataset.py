"""What every data set becomes: images in [0, 1] and their labels, refused here if they are bad."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64, UInt8

from fedspike.errors import InputError


@dataclass(frozen=True, eq=False)
class Dataset:
    """The images and labels of one data set. One that exists is usable: bad ones raise InputError.

    A pixel is an intensity from 0 to 1, so that a rate code can read it as a spike probability;
    a label is a class number from 0 to `classes` - 1.

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

    def __post_init__(self) -> None:
        for split, images, labels in (
            ("train", self.x_train, self.y_train),
            ("test", self.x_test, self.y_test),
        ):
            _demand_intensities(f"{self.source}: x_{split}", images)
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


def _demand_intensities(what: str, images: np.ndarray) -> None:
    if images.ndim < 2 or images.size == 0:
        raise InputError(
            f"{what} is empty or has no axis beside the samples: shape {images.shape}",
            expected="at least one image, shape [sample, height, width] or [sample, feature]",
            fix="check how the array was saved",
        )
    lowest, highest = images.min(), images.max()
    if not (lowest >= 0 and highest <= 1):  # also true for NaN, which min and max hand on
        broken = int(np.count_nonzero(~np.isfinite(images)))
        content = (
            f"{broken} pixels that are NaN or infinite" if broken else f"{lowest} to {highest}"
        )
        raise InputError(
            f"{what} holds {content}",
            expected="intensities from 0 to 1",
            fix="scale the pixels to [0, 1], or save them as uint8, 0 to 255",
        )


def _demand_classes(what: str, labels: np.ndarray, classes: int) -> None:
    if labels.min() < 0 or labels.max() >= classes:
        raise InputError(
            f"{what} holds labels from {labels.min()} to {labels.max()}",
            expected=f"labels from 0 to {classes - 1}",
            fix="number the classes 0, 1, 2, ... in the training and the test labels alike",
        )
