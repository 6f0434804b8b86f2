"""The IDX format of the original MNIST files: a header of big-endian numbers, then the bytes.

    bytes 0-1   0
    byte  2     type of the elements; 8 = unsigned byte, the only one that MNIST-like sets use
    byte  3     number of dimensions d
    4 d bytes   the size of each dimension, unsigned 32-bit
    the rest    the elements, last dimension fastest

Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", 1998.
"""

import math
import struct
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from fedspike.errors import InputError
from fedspike.files import content_of

LARGEST_BYTES = 2**30  # a file that claims to unpack to more than this is not one of ours
FETCH_AGAIN = "delete the file and fetch it again"


def content(path: Path) -> bytes:
    """The bytes of a file, decompressed if it is gzipped. Raises InputError if that fails."""
    try:
        raw = content_of(path, LARGEST_BYTES)
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        raise InputError(
            f"{path}: {getattr(error, 'strerror', None) or error}",
            expected="an IDX file that can be read",
            fix="check the path and its permissions",
        ) from error
    if not raw.startswith(b"\x1f\x8b"):
        return raw
    gzip = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)  # 16: with gzip's header and checksum
    try:
        unpacked = gzip.decompress(raw, LARGEST_BYTES)
    except zlib.error as error:
        raise InputError(
            f"{path}: {error}", expected="an undamaged gzip file", fix=FETCH_AGAIN
        ) from error
    if not gzip.eof or gzip.unused_data:
        raise InputError(
            f"{path}: the gzip data {'goes on after its end' if gzip.eof else 'stops early'}",
            expected="an undamaged gzip file",
            fix=FETCH_AGAIN,
        )
    return unpacked


def array(content: bytes, dimensions: int, path: Path) -> UInt8[np.ndarray, "..."]:
    """The array in the bytes of an IDX file; `path` is only named in the error.

    >>> array(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 9]), 1, Path("labels")).tolist()
    [7, 9]
    """
    mark, header = bytes([0, 0, 8, dimensions]), struct.Struct(f">4x{dimensions}I")
    if content[:4] != mark:
        raise InputError(
            f"{path}: starts with the bytes {content[:4].hex(' ') or '(none)'}",
            expected=f"{mark.hex(' ')}: IDX, unsigned bytes, {dimensions} dimension(s)",
            fix="check that the file is what its name says, or fetch it again",
        )
    if len(content) < header.size:
        raise InputError(
            f"{path}: stops inside its header",
            expected=f"a header of {header.size} bytes",
            fix=FETCH_AGAIN,
        )
    shape = header.unpack_from(content)
    elements = len(content) - header.size
    if elements != math.prod(shape) or elements == 0:
        raise InputError(
            f"{path}: holds {elements} elements, its header says {' x '.join(map(str, shape))}",
            expected="as many elements as the header says, and at least one",
            fix=FETCH_AGAIN,
        )
    return np.frombuffer(content, np.uint8, offset=header.size).reshape(shape)
