"""Small pictures as PNG, which is so little that the standard library writes it.

Source: W3C, "Portable Network Graphics", third edition, sections 5 and 11.
"""

import base64
import struct
import zlib

import numpy as np
from jaxtyping import UInt8

GREYS, PALETTE = 0, 3  # colour types


def grey(pixels: UInt8[np.ndarray, "row column"]) -> bytes:
    """A picture from black, 0, to white, 255, as a PNG file."""
    return _png(pixels, GREYS)


def in_colours(indices: UInt8[np.ndarray, "row column"], palette: bytes, *, clear: int) -> bytes:
    """A picture of indices into a palette, three bytes a colour, as a PNG file; one is transparent."""
    opaque_but_one = b"\xff" * clear + b"\x00"
    return _png(indices, PALETTE, _chunk(b"PLTE", palette), _chunk(b"tRNS", opaque_but_one))


def data_uri(png: bytes) -> str:
    """The picture as an address that needs no file."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _png(pixels: UInt8[np.ndarray, "row column"], colour_type: int, *colours: bytes) -> bytes:
    height, width = pixels.shape
    # Every row of pixels begins with the number of its filter, 0: none.
    rows = np.pad(pixels, ((0, 0), (1, 0))).tobytes()
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, 0)),
            *colours,
            _chunk(b"IDAT", zlib.compress(rows, 9)),
            _chunk(b"IEND", b""),
        ]
    )


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)
