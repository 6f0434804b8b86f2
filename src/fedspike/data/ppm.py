"""Colour pictures as PPM files have them: a header of four words, then three bytes a pixel.

    P6 WIDTH HEIGHT 255     between white space; from a # to the end of its line is a remark
    the rest                rows from the top, pixels from the left, three bytes each

Source: J. Poskanzer, ppm(5) of Netpbm, the raw form.
"""

import re

import numpy as np
from jaxtyping import UInt8

from fedspike.errors import InputError

_GAP = rb"(?:\s|#[^\n]*\n)+"
HEADER = re.compile(rb"P6" + _GAP + _GAP.join([rb"(\d{1,6})"] * 3) + rb"\s")


def pixels(content: bytes, name: str) -> UInt8[np.ndarray, "row column colour"]:
    """The picture in the bytes of a file; `name` is what errors call it. Raises InputError for a damaged one.

    >>> pixels(b"P6 2 1 255 " + bytes([1, 2, 3, 4, 5, 6]), "two.ppm").tolist()
    [[[1, 2, 3], [4, 5, 6]]]
    """
    header = HEADER.match(content)
    if header is None:
        raise InputError(
            f"{name}: starts with {content[:12]!r}",
            expected="a PPM file: P6, its width, its height and 255",
            fix="fetch it again, or convert it: pnmtopnm, or convert in.png out.ppm",
        )
    width, height, highest = map(int, header.groups())
    if highest != 255 or not width or not height:
        raise InputError(
            f"{name}: {width} x {height} pixels up to {highest}",
            expected="at least one pixel, in bytes up to 255",
            fix="convert it to 8 bits a colour",
        )
    have, need = len(content) - header.end(), 3 * width * height
    if have != need:
        raise InputError(
            f"{name}: {have} bytes of pixels, its header says {width} x {height}",
            expected=f"{need} bytes, 3 a pixel",
            fix="the file was cut off or is another one: fetch it again",
        )
    return np.frombuffer(content, np.uint8, offset=header.end()).reshape(height, width, 3)
