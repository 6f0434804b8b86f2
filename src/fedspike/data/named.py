"""Samples as they lie in files of people's own: with classes and owners by name, and perhaps no test part."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from fedspike.data.dataset import Dataset
from fedspike.data.owners import Owners
from fedspike.data.splitting import drawn_apart
from fedspike.errors import InputError

TestShare = Annotated[
    float,
    Meta(gt=0, lt=1, description="of each class, drawn to test with where no test part is named"),
]


@dataclass(frozen=True)
class NamedSamples:
    """Samples x [sample, ...], and by name the class of each, and its owner where it has one."""

    x: np.ndarray
    labels: Sequence[str]
    owners: Sequence[str] | None = None

    def at(self, positions: Iterable[int]) -> "NamedSamples":
        """Some of the samples."""
        places = [*positions]
        owners = None if self.owners is None else [self.owners[one] for one in places]
        return NamedSamples(self.x[places], [self.labels[one] for one in places], owners)


def in_order(names: Iterable[str]) -> list[str]:
    """Each name once: numbers by their value, words by their letters.

    >>> in_order(["10", "9", "9"]), in_order(["b", "10", "9"])
    (['9', '10'], ['10', '9', 'b'])
    """
    own = {*names}
    numbers = all(name.isascii() and name.isdigit() for name in own)
    return sorted(own, key=lambda name: (int(name), name) if numbers else (0, name))


def split(whole: NamedSamples, test_share: float) -> tuple[NamedSamples, NamedSamples]:
    """What trains, and a share of each class that is drawn to test with, whatever the seed."""
    classes = {name: number for number, name in enumerate(in_order(whole.labels))}
    labels = np.array([classes[name] for name in whole.labels])
    kept, drawn = drawn_apart(labels, test_share, "test")
    return whole.at(kept), whole.at(drawn)


def demand_parts(train: NamedSamples, test: NamedSamples, source: str) -> None:
    """Raise InputError where a class is tested and not trained, or nothing is tested."""
    names = in_order(train.labels)
    if unknown := {*test.labels} - {*names}:
        raise InputError(
            f"{source}: test samples of class {in_order(unknown)[0]!r}, which no training sample has",
            expected=f"the classes of the training part, {', '.join(names[:10])}",
            fix="add training samples of it, or remove those that test it",
        )
    if not len(test.labels):
        raise InputError(
            f"{source}: no test samples",
            expected="a sample to test with, at least",
            fix="add samples, or raise test_share",
        )


def dataset(
    name: str,
    train: NamedSamples,
    test: NamedSamples,
    source: str,
    scaled: Callable[[np.ndarray], np.ndarray],
    sha256: dict[str, str] | None = None,
    **more: Any,
) -> Dataset:
    """The data set of both parts, whose numbers are `scaled` to those of a data set.

    Classes are numbered in the order of their names; `sha256` is of what the samples were made of, if that is
    not what they are. Raises InputError where one is tested and not trained.
    """
    demand_parts(train, test, source)
    names = in_order(train.labels)
    numbers = {label: number for number, label in enumerate(names)}
    return Dataset(
        name=name,
        x_train=scaled(train.x),
        y_train=np.array([numbers[label] for label in train.labels]),
        x_test=scaled(test.x),
        y_test=np.array([numbers[label] for label in test.labels]),
        classes=len(names),
        class_names=tuple(names),
        owners=None if train.owners is None else Owners.called(train.owners),
        source=source,
        sha256=sha256
        or {
            f"x_{which}": hashlib.sha256(
                f"{part.x.shape!r}".encode() + part.x.tobytes()
            ).hexdigest()
            for which, part in (("train", train), ("test", test))
        },
        **more,
    )
