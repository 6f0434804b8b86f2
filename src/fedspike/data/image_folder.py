"""A folder of pictures, whose folders say the class of each, and perhaps whose it is."""

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from jaxtyping import UInt8, UInt16
from msgspec import Meta

from fedspike import extras
from fedspike.data import folders, named
from fedspike.data.dataset import Dataset, ignore
from fedspike.data.fashion_mnist import cache_folder
from fedspike.data.folders import Filed, Levels
from fedspike.data.layout import intensities
from fedspike.data.mapped_samples import kept
from fedspike.data.named import TestShare
from fedspike.data.resizing import resized
from fedspike.data.source import Pictures
from fedspike.errors import InputError
from fedspike.files import content_of

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
MOST_BYTES, MOST_PIXELS = 2**26, 2**26  # of a picture
MODES = {"grey": ("1", "L", "I;16", "I;16L", "I;16B"), "rgb": ("RGB",)}
Pixels = UInt8[np.ndarray, "colour row column"] | UInt16[np.ndarray, "colour row column"]


class ImageFolder(Pictures, tag="image-folder"):
    """A folder of pictures; `levels` says what the folders in it are called after, from the outermost.

    "class" is a folder for each class, "split class" the same in two folders train and test, "owner class" in
    a folder for each owner, for the partition `natural`; "any" is a level that says nothing. Pictures of
    unlike sizes are asked for a `size`, to which they are resized by area averaging, whatever their
    proportions; grey and coloured ones for the `colour` that they shall have. With a level "split" test
    samples are those of test, else they are drawn: `test_share` of each class. To read pictures takes Pillow.

    They are read once and kept in the cache as arrays, which are mapped and need not fit into memory.
    """

    path: Annotated[str, Meta(min_length=1, description="the folder")]
    levels: Levels = "class"
    size: Annotated[int, Meta(ge=1, le=4096, description="rows and columns")] | None = None
    colour: Annotated[Literal["grey", "rgb"], Meta(description="of all")] | None = None
    test_share: TestShare = 0.2

    def check(self) -> None:
        """Raise InputError for levels that say no class, or something twice."""
        folders.demand_levels(self.levels)

    def load(self, say: Callable[[str], None] = ignore) -> Dataset:
        """The data set; InputError, with the file, for what is missing or cannot be read."""
        demand_pillow()
        pictures = folders.filed(
            self.path, self.levels, ENDINGS, "pictures", lambda line: say(f"{self.kind}: {line}")
        )
        whole = named.NamedSamples(
            np.arange(len(pictures)),
            [one.levels["class"] for one in pictures],
            folders.owners_of(pictures),
        )
        if "split" in self.levels.split():
            train, test = (
                whole.at(folders.of_part(pictures, part, self.path)) for part in ("train", "test")
            )
        else:
            train, test = named.split(whole, self.test_share)
        named.demand_parts(train, test, self.path)
        reading = _Reading(self, pictures, (train.x, test.x))
        x_train, x_test, (of_train, of_test) = kept(
            cache_folder() / "arrays" / reading.key, reading.shapes, reading.fill, say
        )
        return named.dataset(
            folders.name_of(self.path, self.kind),
            replace(train, x=x_train),
            replace(test, x=x_test),
            self.path,
            lambda x: x,
            {"x_train": of_train, "x_test": of_test},
        )


def demand_pillow() -> None:
    """Raise InputError where Pillow is not installed."""
    missing = "pictures in files, and Pillow is not installed"
    extras.demand(["PIL"], "images", missing, expected="Pillow, which reads them")


@dataclass(frozen=True)
class _Reading:
    """Pictures one after another, into the part to which each belongs."""

    source: ImageFolder
    pictures: list[Filed]
    parts: tuple[np.ndarray, np.ndarray]  # of each the positions of its pictures, ascending

    @property
    def key(self) -> str:
        """Of the same pictures, read in the same way, the same; it reads all files."""
        import PIL

        keys = f"1 {self.source.size} {self.source.colour} {PIL.__version__}"
        digest = hashlib.sha256(keys.encode())
        for one, part in zip(self.pictures, self._part_of, strict=True):
            content = hashlib.sha256(_content(one.path)).hexdigest()
            digest.update(f"\n{part} {content}".encode())
        return digest.hexdigest()

    def shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Of both parts, as the first picture has it."""
        sample = self._plain(self._own(self.pictures[0])).shape
        train, test = ((len(part), *sample) for part in self.parts)
        return train, test

    def fill(self, x_train: np.ndarray, x_test: np.ndarray) -> tuple[str, str]:
        """Intensities into both parts; the hash of the pixels of each."""
        arrays, rows = (x_train, x_test), [0, 0]
        digests = [hashlib.sha256(f"{x.shape!r}".encode()) for x in arrays]
        usual: np.ndarray | None = None
        for picture, part in zip(self.pictures, self._part_of, strict=True):
            own = self._own(picture)
            usual = own if usual is None else usual
            if own.shape != usual.shape or own.dtype != usual.dtype:
                raise _unlike(self.pictures[0].path, usual, picture.path, own)
            arrays[part][rows[part]] = intensities(self._plain(own))
            digests[part].update(own.tobytes())
            rows[part] += 1
        train, test = (digest.hexdigest() for digest in digests)
        return train, test

    @property
    def _part_of(self) -> list[int]:
        """Of each picture 0 where it trains, and 1 where it tests."""
        part_of = np.zeros(len(self.pictures), np.int64)
        part_of[self.parts[1]] = 1
        return part_of.tolist()

    def _own(self, picture: Filed) -> Pixels:
        own = _pixels(picture.path, self.source.colour)
        size = self.source.size
        return own if size is None else _sized(own, size, picture.path)

    def _plain(self, pixels: Pixels) -> np.ndarray:
        """[row, column], or [colour, row, column]."""
        return pixels[0] if len(pixels) == 1 else pixels


def _content(path: Path) -> bytes:
    try:
        return content_of(path, MOST_BYTES)
    except (OSError, ValueError) as error:
        raise _unread(path, error) from error


def _unread(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path}: {getattr(error, 'strerror', None) or error}",
        expected="a picture that can be read",
        fix="save it again, or remove it",
    )


def _pixels(path: Path, colour: str | None) -> Pixels:
    """A picture as its file has it, or in grey or in colour."""
    from PIL import Image

    content = _content(path)
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.width * image.height > MOST_PIXELS:
                raise OSError(f"it has {image.width} x {image.height} pixels")
            grey = colour == "grey" or (colour is None and image.mode in MODES["grey"])
            deep = grey and image.mode.startswith("I;16")
            plain = image if deep else image.convert("L" if grey else "RGB")
            pixels = np.asarray(plain)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _unread(path, error) from error
    channels: Pixels = pixels[None] if grey else np.moveaxis(pixels, 2, 0)
    return channels


def _sized(pixels: Pixels, side: int, path: Path) -> Any:
    if pixels.dtype != np.uint8:
        raise InputError(
            f"{path}: 16 bits a pixel, with size = {side}",
            expected="bytes, where pictures are resized",
            fix='set colour = "rgb", which makes bytes of them, or resize the files',
            keys=("size",),
        )
    return pixels if pixels.shape[1:] == (side, side) else resized(np.moveaxis(pixels, 0, 2), side)


def _unlike(first: Path, usual: np.ndarray, path: Path, other: np.ndarray) -> InputError:
    """Pictures that are not alike, and the key that makes them so."""
    sizes = usual.shape[1:] != other.shape[1:]
    fix = f"set data.size = {min(usual.shape[1:])}" if sizes else 'set data.colour = "grey"'
    return InputError(
        f"{path}: {_words(other)}, and {first}: {_words(usual)}",
        expected="pictures of one size and colour",
        fix=f"{fix}, to which all are made",
        keys=("size" if sizes else "colour",),
    )


def _words(pixels: np.ndarray) -> str:
    colours, rows, columns = pixels.shape
    depth = "16 bits" if pixels.dtype == np.uint16 else "bytes"
    return f"{rows} rows, {columns} columns, {'grey' if colours == 1 else 'coloured'}, {depth}"
