"""A folder of pictures, whose folders say the class of each, and perhaps whose it is."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from jaxtyping import UInt8, UInt16
from msgspec import Meta

from fedspike import extras
from fedspike.data import folders, named
from fedspike.data.dataset import Dataset, ignore
from fedspike.data.folders import Filed, Levels
from fedspike.data.layout import intensities
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
            _in_one(self, pictures),
            [one.levels["class"] for one in pictures],
            folders.owners_of(pictures),
        )
        if "split" in self.levels.split():
            train, test = (
                whole.at(folders.of_part(pictures, part, self.path)) for part in ("train", "test")
            )
        else:
            train, test = named.split(whole, self.test_share)
        name = folders.name_of(self.path, self.kind)
        return named.dataset(name, train, test, self.path, intensities)


def demand_pillow() -> None:
    """Raise InputError where Pillow is not installed."""
    missing = "pictures in files, and Pillow is not installed"
    extras.demand(["PIL"], "images", missing, expected="Pillow, which reads them")


def _in_one(source: ImageFolder, pictures: list[Filed]) -> np.ndarray:
    """All pictures in an array [sample, row, column], or [sample, colour, row, column]."""
    whole: np.ndarray | None = None
    for number, picture in enumerate(pictures):
        own = _pixels(picture.path, source.colour)
        if source.size is not None:
            own = _sized(own, source.size, picture.path)
        if whole is None:
            whole = np.empty((len(pictures), *own.shape), own.dtype)
        if own.shape != whole.shape[1:] or own.dtype != whole.dtype:
            raise _unlike(pictures[0].path, whole[0], picture.path, own)
        whole[number] = own
    assert whole is not None  # there is a picture
    return whole[:, 0] if whole.shape[1] == 1 else whole


def _pixels(path: Path, colour: str | None) -> Pixels:
    """A picture as its file has it, or in grey or in colour."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content_of(path, MOST_BYTES))) as image:
            if image.width * image.height > MOST_PIXELS:
                raise OSError(f"it has {image.width} x {image.height} pixels")
            grey = colour == "grey" or (colour is None and image.mode in MODES["grey"])
            deep = grey and image.mode.startswith("I;16")
            plain = image if deep else image.convert("L" if grey else "RGB")
            pixels = np.asarray(plain)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(
            f"{path}: {getattr(error, 'strerror', None) or error}",
            expected="a picture that can be read",
            fix="save it again, or remove it",
        ) from error
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
