"""GTSRB, the German Traffic Sign Recognition Benchmark: photographs of signs in 43 classes.

Its own folders, torchvision's, and the archives of both, packed or not, are read. It is fetched only where
nobody named a folder.

Source: J. Stallkamp, M. Schlipsing, J. Salmen, C. Igel, "Man vs. computer: benchmarking machine learning
algorithms for traffic sign recognition", Neural Networks 32, 2012.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
from jaxtyping import UInt8
from msgspec import Meta

from fedspike.data import download, ppm
from fedspike.data.dataset import Dataset, ignore
from fedspike.data.fashion_mnist import cache_folder
from fedspike.data.layout import intensities
from fedspike.data.packed_files import Files
from fedspike.data.resizing import resized
from fedspike.data.signs.faces import CLASSES
from fedspike.data.source import Pictures
from fedspike.errors import InputError

PIXELS = 32
# Where the parts are below a folder: as the benchmark packs them, and as torchvision's archive has them.
TRAINING = ("Final_Training/Images", "Training")
TEST = "Final_Test/Images"
TEST_CSV = "GT-final_test.csv"
ABOVE = ("", "GTSRB/", "gtsrb/", "gtsrb/GTSRB/")
COLUMNS = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"
NAME = re.compile(r"[A-Za-z0-9_-]+\.ppm")
MIRROR = "https://sid.erda.dk/public/archives/daaeac0d7ce1152aea9b61d9f1e19370/"
# As torchvision.datasets.GTSRB has them; nobody publishes a better hash of these files.
MD5 = {
    "GTSRB-Training_fixed.zip": "513f3c79a4c5141765e10e952eaa2478",
    "GTSRB_Final_Test_Images.zip": "c7e4e6327067d32654124b0fe9e82185",
    "GTSRB_Final_Test_GT.zip": "fe31e9c9270bbcd7b84b7f21a9d9d9e5",
}
FETCH = "unpack the benchmark's archives again, or leave data.folder out to fetch them"


class Sign(NamedTuple):
    """A line of a CSV file: a picture, its size, the sign's place in it, and its class."""

    file: str
    size: tuple[int, int]  # columns, rows
    place: tuple[int, int, int, int]  # left, top, right, bottom; the last two are in it
    label: int


class GTSRB(Pictures, tag="gtsrb"):
    """GTSRB, photographs of 43 German traffic signs: each cut to its sign, 32 x 32 pixels in colour.

    It is read from `folder` and nowhere else, or from the cache, into which it is fetched (280 MB, checked
    by the hashes that torchvision has). A folder has Final_Training/Images/000NN/GT-000NN.csv and
    Final_Test/Images with GT-final_test.csv, as the benchmark packs them, or what torchvision.datasets.GTSRB
    downloaded, or the archives, packed. Pictures are cut to the columns Roi and resized by area averaging.
    The drawn signs, Signs, have the same classes.
    """

    folder: Annotated[str, Meta(min_length=1, description="where its folders are")] | None = None

    def load(self, say: Callable[[str], None] = ignore) -> Dataset:
        """The data set; InputError, with file and line, for what is missing or broken."""
        if self.folder is not None:
            say(f"GTSRB: reading {self.folder}, as asked")
            return read(Path(self.folder))
        return fetched(cache_folder() / self.kind, say)


def fetched(
    cache: Path,
    say: Callable[[str], None],
    mirror: str = MIRROR,
    md5: Mapping[str, str] = MD5,
) -> Dataset:
    """From the archives in the cache; those that are not there, unchanged, are fetched."""
    for name, digest in md5.items():
        say(f"GTSRB: looking for {cache / name}")
        try:
            download.cached(f"{mirror}{name}", cache, digest, say)
        except OSError as error:
            raise InputError(
                f"GTSRB is not to be had: {error}",
                expected=f"{name} with MD5 {digest}",
                fix="fetch it elsewhere and name its folder as data.folder, or take the drawn signs",
            ) from error
    return read(cache, only=tuple(md5))


def read(folder: Path, only: tuple[str, ...] | None = None) -> Dataset:
    """The data set in a folder, or in those archives in it that are named."""
    with Files(folder, only) as files:
        training = _first(files, [f"{up}{part}" for up in ABOVE for part in TRAINING], "training")
        signs = [sign for label in range(CLASSES) for sign in _of_class(files, training, label)]
        test = _first(files, [f"{up}{TEST}" for up in ABOVE], "test")
        tables = [f"{test}/{TEST_CSV}", *(f"{up}{TEST_CSV}" for up in ABOVE)]
        table = next((one for one in tables if one in files), tables[0])
        tests = list(_lines(files, table, test))
        train, test_part = _pictures(files, signs), _pictures(files, tests)
        return Dataset(
            name="gtsrb",
            x_train=intensities(train),
            y_train=np.array([sign.label for sign in signs]),
            x_test=intensities(test_part),
            y_test=np.array([sign.label for sign in tests]),
            classes=CLASSES,
            source=str(folder),
            sha256={
                f"x_{part}": hashlib.sha256(pictures.tobytes()).hexdigest()
                for part, pictures in (("train", train), ("test", test_part))
            },
        )


def _first(files: Files, folders: list[str], what: str) -> str:
    """The first of these folders that there is."""
    for one in folders:
        if files.has_folder(one):
            return one
    raise InputError(
        f"{files.name}: no {what} pictures of GTSRB",
        expected=f"a folder {' or '.join(folders[:2])}",
        fix=FETCH,
    )


def _of_class(files: Files, training: str, label: int) -> Iterator[Sign]:
    folder = f"{training}/{label:05}"
    table = f"{folder}/GT-{label:05}.csv"
    if table not in files:
        raise InputError(
            f"{files.name}: class {label} is missing: no {table}",
            expected=f"{CLASSES} folders, 00000 to {CLASSES - 1:05}, each with its CSV file",
            fix=FETCH,
        )
    for number, sign in enumerate(_lines(files, table, folder), 2):
        if sign.label != label:
            raise InputError(
                f"{files.name}/{table}, line {number}: class {sign.label}",
                expected=f"class {label}, as its folder says",
                fix=FETCH,
            )
        yield sign


def _lines(files: Files, table: str, folder: str) -> Iterator[Sign]:
    """The pictures of a CSV file, which lie in the folder."""
    text = files.content(table).decode("utf-8", errors="replace").replace("\r\n", "\n")
    head, *lines = text.rstrip("\n").split("\n")
    if head != COLUMNS or not lines:
        raise InputError(
            f"{files.name}/{table}, line 1: {head[:80]!r}"
            + ("" if lines else " and no line below"),
            expected=f"{COLUMNS}, and a line for each picture",
            fix=FETCH,
        )
    for number, line in enumerate(lines, 2):
        sign = _sign(line, folder)
        if sign is None:
            raise InputError(
                f"{files.name}/{table}, line {number}: {line[:80]!r}",
                expected=f"{COLUMNS}: a file, its size, a place within it, a class below {CLASSES}",
                fix="correct the line, or " + FETCH,
            )
        yield sign


def _sign(line: str, folder: str) -> Sign | None:
    """What a line says; None where it is broken."""
    name, *cells = line.split(";")
    if not NAME.fullmatch(name) or not all(re.fullmatch(r"\d{1,6}", cell) for cell in cells):
        return None
    if len(cells) != COLUMNS.count(";"):
        return None
    width, height, left, top, right, bottom, label = map(int, cells)
    if not (left <= right < width and top <= bottom < height and label < CLASSES):
        return None
    return Sign(f"{folder}/{name}", (width, height), (left, top, right, bottom), label)


def _pictures(files: Files, signs: list[Sign]) -> UInt8[np.ndarray, "sample colour row column"]:
    pictures = np.empty((len(signs), 3, PIXELS, PIXELS), np.uint8)
    for picture, sign in zip(pictures, signs, strict=True):
        name = f"{files.name}/{sign.file}"
        whole = ppm.pixels(files.content(sign.file), name)
        if whole.shape[1::-1] != sign.size:
            raise InputError(
                f"{name}: {whole.shape[1]} x {whole.shape[0]} pixels",
                expected=f"{sign.size[0]} x {sign.size[1]}, as its CSV file says",
                fix=FETCH,
            )
        left, top, right, bottom = sign.place
        picture[:] = resized(whole[top : bottom + 1, left : right + 1], PIXELS)
    return pictures
