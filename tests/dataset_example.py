"""What the tests of the data sets share: files written by hand, and the errors they ask for."""

import struct

import numpy as np
import pytest

from fedspike.errors import InputError


def idx_bytes(array: np.ndarray) -> bytes:
    """An IDX file written by hand, element by element: the oracle of the reader."""
    written = struct.pack(">HBB", 0, 8, array.ndim)
    for size in array.shape:
        written += struct.pack(">I", size)
    for element in array.flat:
        written += struct.pack("B", element)
    return written


def refusal(*expected: str) -> "pytest.RaisesExc[InputError]":
    """An InputError that names each of the expected words."""
    return pytest.raises(
        InputError, check=lambda error: all(word in str(error) for word in expected)
    )
