"""The bytes of a packed update, written and read again: numbers, masks, and whole numbers of a few bits.

Numbers are little-endian, in the type that the update has. What takes less than whole bytes begins at the
lowest bit of a byte, and the last byte is filled with zeros.
"""

from typing import Any, NoReturn

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from fedspike.errors import InputError


def of_numbers(numbers: np.ndarray) -> bytes:
    """As they are."""
    return numbers.astype(numbers.dtype.newbyteorder("<")).tobytes()


def of_mask(mask: Bool[np.ndarray, " number"]) -> bytes:
    """A bit of each."""
    return np.packbits(mask, bitorder="little").tobytes()


def of_whole(numbers: Int64[np.ndarray, " number"], bits: int) -> bytes:
    """So many bits of each whole number from 0 to 2^bits - 1.

    >>> of_whole(np.array([5, 1]), bits=4).hex(), Content(bytes([0x15])).whole(2, bits=4)
    ('15', array([5, 1]))
    """
    each = numbers[:, None] >> np.arange(bits) & 1
    return np.packbits(each.astype(bool).reshape(-1), bitorder="little").tobytes()


def levels(bits: int) -> int:
    """s, the largest level of a number with a sign in so many bits.

    >>> levels(4), levels(8)
    (7, 127)
    """
    return (1 << bits - 1) - 1


class Content:
    """Packed bytes, read from the front; raises InputError where there are too few, or some are left."""

    def __init__(self, content: bytes) -> None:
        self.rest = content

    def numbers(self, count: int, dtype: np.dtype[Any]) -> np.ndarray:
        """So many numbers of a type."""
        raw = self._take(count * dtype.itemsize)
        numbers = np.frombuffer(raw, dtype.newbyteorder("<"))
        return numbers.astype(dtype)

    def mask(self, count: int) -> Bool[np.ndarray, " number"]:
        """So many bits."""
        bits = np.frombuffer(self._take(-(-count // 8)), np.uint8)
        return np.unpackbits(bits, count=count, bitorder="little").astype(bool)

    def whole(self, count: int, bits: int) -> Int64[np.ndarray, " number"]:
        """So many whole numbers."""
        each = self.mask(count * bits).reshape(count, bits)
        return np.asarray((each.astype(np.int64) << np.arange(bits)).sum(1))

    def levels(self, count: int, bits: int) -> Float64[np.ndarray, " number"]:
        """So many whole numbers from -s to s, as parts of s."""
        s = levels(bits)
        numbers = self.whole(count, bits) - s
        if numbers.max(initial=0) > s:
            malformed(f"a level of {numbers.max()}, above {s}")
        return np.asarray(numbers / s)

    def end(self) -> None:
        """Nothing may be left."""
        if self.rest:
            malformed(f"{len(self.rest)} bytes too many")

    def _take(self, count: int) -> bytes:
        if len(self.rest) < count:
            malformed(f"{count - len(self.rest)} bytes too few")
        taken, self.rest = self.rest[:count], self.rest[count:]
        return taken


def malformed(what: str) -> NoReturn:
    """Raise InputError for a packed update with such a fault."""
    raise InputError(
        f"a packed update with {what}",
        expected="what a client of this plan packs",
        fix="install the same version of fedspike on the server and on all nodes",
    )


def array(tensor: Tensor) -> np.ndarray:
    """The numbers of a tensor, one after the other."""
    numbers: np.ndarray = tensor.detach().contiguous().reshape(-1).numpy()
    return numbers


def tensor_like(numbers: np.ndarray, form: Tensor) -> Tensor:
    """The numbers in the shape and the type of a tensor."""
    return torch.from_numpy(np.ascontiguousarray(numbers)).to(form.dtype).reshape(form.shape)


def type_of(form: Tensor) -> np.dtype[Any]:
    """NumPy's name of a tensor's type."""
    return torch.empty(0, dtype=form.dtype).numpy().dtype
