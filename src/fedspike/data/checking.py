"""What a data set holds, in numbers, for whoever wants to see it before training."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fedspike.data.dataset import Dataset, ignore
from fedspike.data.loading import source
from fedspike.data.source import Source

DARK = 0.25  # what uses less than two bits less of its range than it could is worth a look


@dataclass(frozen=True)
class Split:
    """The training or the test part."""

    samples: int
    samples_per_class: tuple[int, ...]
    lowest_pixel: float
    mean_pixel: float  # of a rate code: the mean spikes per pixel and time step
    highest_pixel: float


@dataclass(frozen=True)
class Facts:
    """A sound data set in numbers; `dataclasses.asdict` makes it ready for JSON."""

    name: str
    source: str
    sha256: dict[str, str]
    classes: int
    image_shape: tuple[int, ...]
    train: Split
    test: Split
    remarks: tuple[str, ...]  # not wrong, but worth knowing
    class_names: tuple[str, ...] = ()  # in the order of their numbers
    owners: int | None = None  # of training samples, where somebody said whose they are


def check(
    name_or_path: str | Path | Source,
    *,
    data_dir: Path | None = None,
    say: Callable[[str], None] = ignore,
) -> Facts:
    """Load a data set, which refuses an unsound one with InputError, and describe it.

    >>> check("fashion-mnist-sample").test.samples_per_class
    (50, 50, 50, 50, 50, 50, 50, 50, 50, 50)
    """
    dataset = source(name_or_path, data_dir).load(say)
    train, test = _splits(dataset)
    return Facts(
        name=dataset.name,
        source=dataset.source,
        sha256=dataset.sha256,
        classes=dataset.classes,
        image_shape=dataset.x_train.shape[1:],
        train=train,
        test=test,
        remarks=remarks(dataset),
        class_names=dataset.class_names,
        owners=None if dataset.owners is None else len(dataset.owners.names),
    )


def remarks(dataset: Dataset, *, tests: bool = True) -> tuple[str, ...]:
    """What is not wrong with a data set but worth knowing, wherever it is read; a device has no `tests`."""
    train, test = _splits(dataset)
    understood = [dataset.understood] if dataset.understood else []
    return (*understood, *_remarks("train", train), *(_remarks("test", test) if tests else ()))


def _splits(dataset: Dataset) -> tuple[Split, Split]:
    train = _split(dataset.x_train, dataset.y_train, dataset.classes)
    return train, _split(dataset.x_test, dataset.y_test, dataset.classes)


def _split(images: np.ndarray, labels: np.ndarray, classes: int) -> Split:
    return Split(
        samples=len(images),
        samples_per_class=tuple(np.bincount(labels, minlength=classes).tolist()),
        lowest_pixel=float(images.min()),
        mean_pixel=float(images.mean(dtype=np.float64)),
        highest_pixel=float(images.max()),
    )


def _remarks(name: str, split: Split) -> list[str]:
    notes = []
    fewest, most = min(split.samples_per_class), max(split.samples_per_class)
    if fewest < most:
        rarest = split.samples_per_class.index(fewest)
        commonest = split.samples_per_class.index(most)
        notes.append(
            f"{name}: classes are not equally frequent, from {fewest} images (class {rarest}) "
            f"to {most} (class {commonest})"
        )
    if max(split.highest_pixel, -split.lowest_pixel) < DARK:
        notes.append(
            f"{name}: no value reaches more than {split.highest_pixel:.2g} of the greatest there can be; "
            "is the range right, or was it divided twice?"
        )
    return notes
