"""Fashion-MNIST: 70,000 grey images of clothes, 28 x 28 pixels, in ten classes.

It is looked for on this machine first and fetched only where it is not there.

Source: H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking
machine learning algorithms", arXiv:1708.07747, 2017; MIT licence, Zalando SE.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
from jaxtyping import UInt8
from msgspec import Meta

from fedspike.data import download, idx
from fedspike.data.dataset import Dataset, ignore
from fedspike.data.layout import intensities
from fedspike.data.source import Pictures
from fedspike.errors import InputError
from fedspike.files import home

NAME = "fashion-mnist"
SAMPLE = "fashion-mnist-sample"

X_TRAIN, Y_TRAIN = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
X_TEST, Y_TEST = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"

# Of the decompressed files: Debian compressed them anew. With the original gzip header put back,
# Debian's files have the four MD5 sums that Zalando publishes, so these are Zalando's contents.
SHA256 = {
    X_TRAIN: "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    Y_TRAIN: "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    X_TEST: "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    Y_TEST: "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
# The first 200 training and 50 test images of each class, in their original order
# (tools/make_sample.py).
SAMPLE_SHA256 = {
    X_TRAIN: "a724cd72799a6b1c3a81c4263865a75a73bb6473673b3394e34adf222930f19e",
    Y_TRAIN: "4738fd437c0f8d6498ae7f6f5c86f1cc3c878d4116ff169fc5635bd6847899cc",
    X_TEST: "8fdf02ada67d92f4db5ba3c2f6c5b1cc6186ba6e0efd4914661e4389e103b81e",
    Y_TEST: "9c71808b3a0ebfc091442c0009a7aa35be2d9622bf6aaf6891ce9a0088e96c07",
}
MIRRORS = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
)
# As its authors call them, in the order of their numbers.
CLASS_NAMES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
DEBIAN_PACKAGE = "dataset-fashion-mnist"
SHARED = Path("datasets") / "fashion-mnist"  # where that package puts it, inside a share folder


class FashionMNIST(Pictures, tag=NAME):
    """Fashion-MNIST: 60,000 training and 10,000 test images of clothes, 28 x 28 pixels, ten classes.

    It is taken from `data_dir` and nowhere else, or from the first place that has it whole.
    """

    data_dir: Annotated[str | None, Meta(description="the folder with its four files")] = None

    def load(self, say: Callable[[str], None] = ignore) -> Dataset:
        """The data set; see `load` for the places that are tried."""
        return load(data_dir=Path(self.data_dir) if self.data_dir else None, say=say)


class FashionMNISTSample(Pictures, tag=SAMPLE):
    """The sample of Fashion-MNIST in this package: 2,000 training and 500 test images, all classes alike.

    It needs no network.
    """

    def load(self, say: Callable[[str], None] = ignore) -> Dataset:
        """The first 200 training and 50 test images of each class."""
        del say
        folder = Path(__file__).with_name("fashion_mnist_sample")
        return replace(
            _read(folder, SAMPLE_SHA256), name=SAMPLE, source="the sample in this package"
        )


def load(
    *,
    data_dir: Path | None = None,
    say: Callable[[str], None] = ignore,
    cache: Path | None = None,
    system_folders: Sequence[Path] | None = None,
    mirrors: Sequence[str] = MIRRORS,
    debian_package: str = DEBIAN_PACKAGE,
    sha256: Mapping[str, str] = SHA256,
) -> Dataset:
    """Fashion-MNIST from `data_dir` and nowhere else, or from the first place that has it whole.

    The places are, in this order: the cache, system folders, official mirrors, Debian's package.
    Every file must have its `sha256` wherever it comes from, and only files that have it enter the
    cache. Raises InputError, which tells what was wrong with each place.
    """
    if data_dir is not None:
        say(f"Fashion-MNIST: reading {data_dir}, as asked")
        return _read(data_dir, sha256)
    cache = cache_folder() / NAME if cache is None else cache
    system_folders = system_data_folders() if system_folders is None else system_folders
    steps: list[tuple[str, Callable[[], Dataset]]] = [
        (f"looking in the cache, {cache}", partial(_read, cache, sha256)),
        *((f"looking in {folder}", partial(_read, folder, sha256)) for folder in system_folders),
        *(
            (f"downloading from {url}", partial(_fetch, _from_mirror, url, cache, sha256, say))
            for url in mirrors
        ),
        (
            f"fetching the Debian package {debian_package}",
            partial(_fetch, _from_debian, debian_package, cache, sha256, say),
        ),
    ]
    failures = []
    for step, dataset in steps:
        say(f"Fashion-MNIST: {step}")
        try:
            data_set = dataset()
        except (InputError, OSError) as error:
            reason = error.passed if isinstance(error, InputError) else str(error)
            say(f"  no: {reason}")
            failures.append(f"\n    {step}: {reason}")
        else:
            say("  found, every SHA-256 as expected")
            return data_set
    raise InputError(
        f"Fashion-MNIST is nowhere to be had:{''.join(failures)}",
        expected=f"the files {', '.join(f'{name}.gz' for name in sha256)}, unchanged",
        fix=f"fetch them from {MIRRORS[1]} and name their folder as data_dir (--data-dir), "
        f"or use the small {SAMPLE}, which comes with the package",
    )


def cache_folder() -> Path:
    """Where fetched files are kept: $FEDSPIKE_CACHE, else the user's cache as XDG defines it."""
    if chosen := os.environ.get("FEDSPIKE_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or home() / ".cache") / "fedspike"


def system_data_folders() -> list[Path]:
    """Where a package of this system would have put Fashion-MNIST: in any of its share folders."""
    listed = os.environ.get("XDG_DATA_DIRS", "").split(os.pathsep)
    shares = [*filter(None, listed), "/usr/local/share", "/usr/share"]
    return [Path(share) / SHARED for share in dict.fromkeys(share.rstrip("/") for share in shares)]


def _fetch(
    from_place: Callable[[str, Path, Callable[[str], None]], Path],
    place: str,
    cache: Path,
    sha256: Mapping[str, str],
    say: Callable[[str], None],
) -> Dataset:
    """Fetch beside the cache, verify, and only then move the files in, each in one step."""
    cache.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetching-", dir=cache.parent) as temporary:
        folder = from_place(place, Path(temporary).absolute(), say)
        dataset = _read(folder, sha256)
        cache.mkdir(exist_ok=True)
        for name in sha256:
            path = _file(folder, name)
            path.replace(cache / path.name)
    return replace(dataset, source=f"{place}, now in {cache}")


def _from_mirror(url: str, folder: Path, say: Callable[[str], None]) -> Path:
    for name in SHA256:
        say(f"  {url}{name}.gz")
        download.from_web(f"{url}{name}.gz", folder, say)
    return folder


def _from_debian(package: str, folder: Path, say: Callable[[str], None]) -> Path:
    download.from_debian(package, folder, say)
    return folder / "usr" / "share" / SHARED


def _read(folder: Path, sha256: Mapping[str, str]) -> Dataset:
    return Dataset(
        name=NAME,
        x_train=intensities(_array(folder, X_TRAIN, 3, sha256)),
        y_train=_array(folder, Y_TRAIN, 1, sha256).astype(np.int64),
        x_test=intensities(_array(folder, X_TEST, 3, sha256)),
        y_test=_array(folder, Y_TEST, 1, sha256).astype(np.int64),
        classes=len(CLASS_NAMES),
        class_names=CLASS_NAMES,
        source=str(folder),
        sha256=dict(sha256),  # _array has seen to it that these are the files' own
    )


def _array(
    folder: Path, name: str, dimensions: int, sha256: Mapping[str, str]
) -> UInt8[np.ndarray, "..."]:
    path = _file(folder, name)
    content = idx.content(path)
    array = idx.array(content, dimensions, path)
    if (digest := hashlib.sha256(content).hexdigest()) != sha256[name]:
        raise InputError(
            f"{path}: its content has SHA-256 {digest}",
            expected=f"{sha256[name]}, Zalando's file decompressed",
            fix="delete the file and fetch it again",
        )
    return array


def _file(folder: Path, name: str) -> Path:
    for path in (folder / f"{name}.gz", folder / name):
        if path.exists():
            return path
    raise InputError(
        f"{folder} has no {name}.gz",
        expected=f"the files {', '.join(f'{name}.gz' for name in SHA256)}, gzipped or not",
        fix="name the folder that holds these files",
    )
