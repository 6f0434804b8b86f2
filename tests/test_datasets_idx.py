"""The IDX reader against files written by hand, whole, cut and damaged."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dataset_example import idx_bytes, refusal
from fedspike.data import idx
from fedspike.errors import InputError


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("idx") / "file"


PIXELS = arrays.arrays(np.uint8, arrays.array_shapes(min_dims=1, max_dims=3, max_side=6))


@given(PIXELS, st.booleans())
def test_idx_reads_back_what_was_written_by_hand(
    scratch: Path, pixels: np.ndarray, zipped: bool
) -> None:
    written = idx_bytes(pixels)
    scratch.write_bytes(gzip.compress(written) if zipped else written)
    read = idx.array(idx.content(scratch), pixels.ndim, scratch)
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, pixels, strict=True)


@given(PIXELS, st.booleans(), st.data())
def test_every_cut_idx_file_is_refused(
    scratch: Path, pixels: np.ndarray, zipped: bool, data: st.DataObject
) -> None:
    written = idx_bytes(pixels)
    written = gzip.compress(written) if zipped else written
    scratch.write_bytes(written[: data.draw(st.integers(0, len(written) - 1))])
    with pytest.raises(InputError):
        idx.array(idx.content(scratch), pixels.ndim, scratch)


@given(PIXELS, st.data())
def test_a_flipped_byte_in_a_gzipped_file_is_refused_or_harmless(
    scratch: Path, pixels: np.ndarray, data: st.DataObject
) -> None:
    written = bytearray(gzip.compress(idx_bytes(pixels)))
    written[data.draw(st.integers(0, len(written) - 1))] ^= data.draw(st.integers(1, 255))
    scratch.write_bytes(written)
    try:
        read = idx.array(idx.content(scratch), pixels.ndim, scratch)
    except InputError:
        return
    np.testing.assert_array_equal(read, pixels, strict=True)  # it hit the time in the gzip header


@given(st.binary(max_size=64), st.integers(1, 3))
def test_any_bytes_give_an_array_of_them_or_a_refusal(raw: bytes, dimensions: int) -> None:
    raw = bytes([0, 0, 8, dimensions]) + raw  # past the mark, which random bytes never hit
    try:
        read = idx.array(raw, dimensions, Path("any"))
    except InputError:
        return
    assert read.tobytes() == raw[4 + 4 * dimensions :]


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        (b"", "(none)"),
        (idx_bytes(np.zeros(3, np.uint8)), "00 00 08 01"),  # labels where images are expected
        (struct.pack(">HBB3I", 0, 0x0D, 3, 1, 1, 1) + bytes(4), "00 00 0d 03"),  # floats
        (struct.pack(">HBB2I", 0, 8, 3, 1, 1), "stops inside its header"),
        (struct.pack(">HBB3I", 0, 8, 3, 1, 2, 2) + bytes(5), "holds 5 elements"),
        (struct.pack(">HBB3I", 0, 8, 3, *[2**32 - 1] * 3), "holds 0 elements"),
        (struct.pack(">HBB3I", 0, 8, 3, 0, 28, 28), "0 x 28 x 28"),
        (gzip.compress(b"x", mtime=0) + b"more", "goes on after its end"),
    ],
)
def test_idx_names_the_file_and_what_is_wrong(tmp_path: Path, raw: bytes, complaint: str) -> None:
    path = tmp_path / "images"
    path.write_bytes(raw)
    with refusal(str(path), complaint):
        idx.array(idx.content(path), 3, path)
