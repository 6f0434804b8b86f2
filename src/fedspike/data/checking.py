"""What a data set holds, in numbers, for whoever wants to see it before training."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fedspike.data.dataset import Dataset, ignore
from fedspike.data.loading import source
from fedspike.data.owners import five_numbers
from fedspike.data.recordings import shares
from fedspike.data.source import Source

DARK = 0.25  # what uses less than two bits less of its range than it could is worth a look


@dataclass(frozen=True)
class Split:
    """The training or the test part."""

    samples: int
    samples_per_class: tuple[int, ...]
    lowest_pixel: float
    mean_pixel: float  # of a rate code, and of recordings: the mean spikes per input and time step
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
    samples_per_owner: tuple[int, ...] = ()  # least, quartiles, most; empty where nobody said so
    time_steps: int | None = None  # of recordings, whose inputs stand in the place of pixels


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
        image_shape=dataset.shape,
        train=train,
        test=test,
        remarks=remarks(dataset),
        class_names=dataset.class_names,
        owners=None if dataset.owners is None else len(dataset.owners.names),
        samples_per_owner=()
        if dataset.owners is None
        else five_numbers(np.bincount(dataset.owners.of)),
        time_steps=dataset.time_steps,
    )


def remarks(dataset: Dataset, *, tests: bool = True) -> tuple[str, ...]:
    """What is not wrong with a data set but worth knowing, wherever it is read; a device has no `tests`."""
    train, test = _splits(dataset)
    understood = [dataset.understood] if dataset.understood else []
    parts = {"train": train, "test": test} if tests else {"train": train}
    notes = [note for name, part in parts.items() for note in _remarks(name, part)]
    if dataset.time_steps is None:
        notes += [note for name, part in parts.items() for note in _dark(name, part)]
    return (*understood, *notes)


def _splits(dataset: Dataset) -> tuple[Split, Split]:
    return _split(dataset, "train"), _split(dataset, "test")


def _split(dataset: Dataset, part: str) -> Split:
    images, labels = (getattr(dataset, f"{array}_{part}") for array in "xy")
    if dataset.time_steps is not None:
        images = shares(images, dataset.time_steps, 1)
    return Split(
        samples=len(images),
        samples_per_class=tuple(np.bincount(labels, minlength=dataset.classes).tolist()),
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
            f"{name}: classes are not equally frequent, from {fewest} samples (class {rarest}) "
            f"to {most} (class {commonest})"
        )
    return notes


def _dark(name: str, split: Split) -> list[str]:
    if max(split.highest_pixel, -split.lowest_pixel) >= DARK:
        return []
    return [
        f"{name}: no value reaches more than {split.highest_pixel:.2g} of the greatest there can be; "
        "is the range right, or was it divided twice?"
    ]
