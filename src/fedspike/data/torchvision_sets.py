"""The usual sets of pictures, as torchvision has them: MNIST, KMNIST, EMNIST, CIFAR-10 and -100, SVHN.

torchvision says where they are to be had and which hash each file has; IDX files are read by idx.py.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Int64, UInt8
from msgspec import Meta

from fedspike import extras
from fedspike.data import download, idx
from fedspike.data.dataset import Dataset, ignore
from fedspike.data.fashion_mnist import cache_folder
from fedspike.data.layout import intensities
from fedspike.data.library_sets import LibrarySet
from fedspike.data.source import Pictures
from fedspike.errors import InputError

SPLITS = Literal["byclass", "bymerge", "balanced", "letters", "digits", "mnist"]


class TorchvisionSet(Pictures, tag="torchvision"):
    """A set of torchvision's: MNIST and KMNIST, EMNIST with a `split`, CIFAR10, CIFAR100 or SVHN.

    It is read from `folder`, where torchvision has put it with root = folder, or from the cache; only with
    `download` = true it is fetched into it, from the addresses that torchvision has. Files of CIFAR and SVHN,
    and the archives of MNIST and KMNIST where they lie beside, have the MD5 that torchvision says, or are
    refused; of bare IDX files nobody says one. Those of CIFAR are pickles, which torchvision reads, and only
    after that. EMNIST's pictures lie on their side, as in its files.
    """

    set: Annotated[
        Literal["MNIST", "KMNIST", "EMNIST", "CIFAR10", "CIFAR100", "SVHN"],
        Meta(description="as torchvision calls it"),
    ]
    split: Annotated[SPLITS, Meta(description="of EMNIST")] | None = None
    folder: Annotated[str, Meta(min_length=1, description="torchvision's root")] | None = None
    download: Annotated[bool, Meta(description="what is not in the folder")] = False

    def check(self) -> None:
        """Raise InputError for EMNIST without a split, or another set with one."""
        if (self.split is not None) != (self.set == "EMNIST"):
            raise InputError(
                f"set = {self.set!r} with split = {self.split!r}",
                expected="a split of EMNIST, and of no other set",
                fix='write split = "balanced"' if self.split is None else "leave split out",
                keys=("split", "set"),
            )

    def load(self, say: Callable[[str], None] = ignore) -> Dataset:
        """The data set; InputError, with the file, for what is not there, changed or broken."""
        missing = f"set = {self.set!r}, and torchvision is not installed"
        extras.demand([self.kind], self.kind, missing, expected="torchvision, which knows it")
        folder = Path(self.folder or cache_folder() / self.kind)
        own = _kind(self.set)
        place = _of_emnist(own, self.split) if self.split else PLACES[self.set](own)
        if any(_first(folder, ways) is None for ways in place.files):
            self._fetch(folder, place, say)
        say(f"{self.kind}: reading {self.set} in {folder}")
        files = [file for ways in place.files if (file := _first(folder, ways)) is not None]
        for file in files:
            _demand_unchanged(folder / file.path, file.md5)
        train, test, names = _sound(place, own, folder, [folder / file.path for file in files])
        return Dataset(
            name="-".join(filter(None, (self.set.lower(), self.split))),
            x_train=intensities(train[0]),
            y_train=train[1],
            x_test=intensities(test[0]),
            y_test=test[1],
            classes=len(names),
            class_names=names,
            source=str(folder),
            sha256={
                f"{what}_{part}": hashlib.sha256(array.tobytes()).hexdigest()
                for part, arrays in (("train", train), ("test", test))
                for what, array in zip("xy", arrays, strict=True)
            },
        )

    def _fetch(self, folder: Path, place: "_Place", say: Callable[[str], None]) -> None:
        lacking = next(ways[0].path for ways in place.files if _first(folder, ways) is None)
        origin = ", ".join(place.addresses)
        LibrarySet("torchvision", self.set, folder, "root").fetch(
            lacking,
            place.addresses,
            self.download,
            lambda: say(
                f"{self.kind}: {self.set} is not in {folder}; torchvision fetches it into it from {origin}"
            ),
            place.fetch,
        )


class _File(NamedTuple):
    path: str  # below the root
    md5: str | None  # None where nobody says one


class _Place(NamedTuple):
    """A set below torchvision's root: its files, each in the first way that is there, and their origin."""

    files: tuple[tuple[_File, ...], ...]
    addresses: tuple[str, ...]
    fetch: Callable[[Path], object]  # into a root
    read: Callable[[Path, list[Path]], "_Parts"]  # from a root, or the files themselves


Part = tuple[UInt8[np.ndarray, "sample *shape"], Int64[np.ndarray, " sample"]]


class _Parts(NamedTuple):
    train: Part
    test: Part
    names: tuple[str, ...]  # of the classes


def _kind(name: str) -> Any:
    """The class of torchvision's; InputError where it does not go with torch."""
    try:
        import torchvision.datasets
    except (ImportError, RuntimeError, OSError) as error:  # built for another torch
        raise InputError(
            f"torchvision cannot be loaded: {error}",
            expected="one that was made for the torch that is here, with CUDA or without",
            fix="install torchvision from the index that torch came from, in the version of the same day",
        ) from error
    return getattr(torchvision.datasets, name)


def _of_mnist(own: Any) -> _Place:
    """MNIST and KMNIST: four IDX files, beside the archives that they were unpacked from."""
    raw = f"{own.__name__}/raw"
    return _Place(
        tuple(
            (_File(f"{raw}/{name}", md5), _File(f"{raw}/{name.removesuffix('.gz')}", None))
            for name, md5 in own.resources
        ),
        tuple(own.mirrors),
        lambda root: own(root, download=True),
        lambda _, paths: _Parts(*_idx(paths), tuple(own.classes)),
    )


def _of_emnist(own: Any, split: str) -> _Place:
    """EMNIST: four IDX files of each split; its letters are numbered from 1."""
    names = own.classes_split_dict[split]
    first = int(names[0] == "N/A")

    def read(_: Path, paths: list[Path]) -> _Parts:
        (x_train, y_train), (x_test, y_test) = _idx(paths)
        return _Parts((x_train, y_train - first), (x_test, y_test - first), tuple(names[first:]))

    return _Place(
        tuple(
            (_File(f"{own.__name__}/raw/emnist-{split}-{part}-{what}-ubyte", None),)
            for part in ("train", "test")
            for what in ("images-idx3", "labels-idx1")
        ),
        (own.url,),
        lambda root: own(root, split=split, download=True),
        read,
    )


def _of_cifar(own: Any) -> _Place:
    """CIFAR: pickled batches of both parts, and the names of the classes."""
    meta = (own.meta["filename"], own.meta["md5"])

    def read(root: Path, _: list[Path]) -> _Parts:
        train, test = own(root), own(root, train=False)
        first, last = (
            (np.moveaxis(one.data, 3, 1), np.array(one.targets)) for one in (train, test)
        )
        return _Parts(first, last, tuple(train.classes))

    return _Place(
        tuple(
            (_File(f"{own.base_folder}/{name}", md5),)
            for name, md5 in (*own.train_list, *own.test_list, meta)
        ),
        (own.url,),
        lambda root: own(root, download=True),
        read,
    )


def _of_svhn(own: Any) -> _Place:
    """SVHN: a MATLAB file for each part."""
    wanted = {part: own.split_list[part] for part in ("train", "test")}

    def read(root: Path, _: list[Path]) -> _Parts:
        train, test = ((one.data, one.labels) for one in (own(root, split=part) for part in wanted))
        return _Parts(train, test, tuple(map(str, range(10))))

    return _Place(
        tuple((_File(name, md5),) for _, name, md5 in wanted.values()),
        tuple(url for url, *_ in wanted.values()),
        lambda root: [own(root, split=part, download=True) for part in wanted],
        read,
    )


PLACES = {
    "MNIST": _of_mnist,
    "KMNIST": _of_mnist,
    "CIFAR10": _of_cifar,
    "CIFAR100": _of_cifar,
    "SVHN": _of_svhn,
}


def _first(folder: Path, ways: tuple[_File, ...]) -> _File | None:
    """The file in the first way in which it is there."""
    return next((file for file in ways if (folder / file.path).is_file()), None)


def _sound(place: _Place, own: Any, folder: Path, paths: list[Path]) -> _Parts:
    """Both parts, as their files have them; InputError for broken ones."""
    try:
        return place.read(folder, paths)
    except InputError:
        raise
    except Exception as error:  # pickle, SciPy and torchvision raise a dozen kinds on damaged files
        raise InputError(
            f"{folder}: {own.__name__} cannot be read: {error}",
            expected="the files of the set, unchanged",
            fix="delete them, and fetch them again with data.download = true",
        ) from error


def _idx(paths: list[Path]) -> tuple[Part, Part]:
    """Both parts, from files of pictures and of labels."""
    x_train, y_train, x_test, y_test = (
        idx.array(idx.content(path), 1 + 2 * (number % 2 == 0), path)
        for number, path in enumerate(paths)
    )
    return (x_train, y_train.astype(np.int64)), (x_test, y_test.astype(np.int64))


def _demand_unchanged(path: Path, md5: str | None) -> None:
    if md5 is not None and (digest := download.md5_of(path)) != md5:
        raise InputError(
            f"{path}: has MD5 {digest}",
            expected=f"{md5}, as torchvision says",
            fix="delete the file, and fetch it again with data.download = true",
        )
