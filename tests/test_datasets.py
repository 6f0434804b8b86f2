"""Data sets by name or path: what is sound is read and described, what is not is refused."""

import dataclasses
import doctest
import hashlib
import importlib
import io
import json
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_example import refusal
from fedspike.data import Dataset, check, load_data
from fedspike.errors import InputError

GREY = "sample height width"


def own(**changes: np.ndarray) -> dict[str, np.ndarray]:
    """Sound arrays, with some of them changed."""
    images = np.arange(6 * 4, dtype=np.uint8).reshape(6, 2, 2)
    images[-1, -1, -1] = 255
    labels = np.array([0, 1, 2, 0, 1, 2])
    return {"x_train": images, "y_train": labels, "x_test": images, "y_test": labels} | changes


def save(path: Path, **changes: np.ndarray) -> str:
    np.savez(path, allow_pickle=True, **own(**changes))
    return str(path)


def test_own_data_as_bytes_or_as_intensities_is_the_same(tmp_path: Path) -> None:
    images = own()["x_train"]
    as_bytes = load_data(
        save(tmp_path / "bytes.npz", y_train=np.array([0, 1, 2, 0, 1, 2], np.uint8))
    )
    as_floats = load_data(
        save(
            tmp_path / "floats.npz", x_train=images / 255, x_test=images / 255, axes=np.array(GREY)
        )
    )
    assert as_bytes.name == "bytes"
    assert as_bytes.classes == 3
    assert as_bytes.x_train.dtype == np.float32
    assert as_bytes.y_train.dtype == np.int64
    np.testing.assert_array_equal(as_bytes.x_train, as_floats.x_train, strict=True)
    np.testing.assert_array_equal(as_bytes.x_train, (images / 255).astype(np.float32), strict=True)
    file = (tmp_path / "bytes.npz").read_bytes()
    assert as_bytes.sha256 == {"bytes.npz": hashlib.sha256(file).hexdigest()}


FLOATS = np.full((6, 2, 2), 0.5)


def with_pixel(value: float) -> np.ndarray:
    changed = FLOATS.copy()
    changed[3, 1, 0] = value
    return changed


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"x_train": with_pixel(np.nan)}, "x_train holds 1 pixels that are NaN or infinite"),
        ({"x_test": with_pixel(np.inf)}, "x_test holds 1 pixels"),
        ({"x_train": with_pixel(1e300)}, "x_train holds float64 from 0.5 to 1e+300"),
        ({"x_train": with_pixel(-0.1)}, "range = [-0.1, 0.5], or the true limits"),
        ({"x_test": FLOATS * 255}, "x_test holds float64 from 127.5"),
        ({"x_train": own()["x_train"].astype(np.int32)}, "x_train holds int32"),
        ({"x_train": FLOATS.astype(np.complex64)}, "x_train holds complex64"),
        ({"x_train": FLOATS[:5]}, "y_train has shape (6,), x_train has 5 images"),
        ({"x_test": FLOATS[:0], "y_test": np.zeros(0, np.int64)}, "x_test is empty"),
        ({"x_train": FLOATS[:0], "y_train": np.zeros(0, np.int64)}, "x_train is empty"),
        ({"x_train": FLOATS[:, 0, 0]}, "x_train is empty or has no axis"),
        ({"x_train": np.array(0.5)}, "x_train is empty or has no axis"),
        ({"x_test": np.full((6, 3, 3), 0.5)}, "(3, 3) in x_test"),
        (
            {"y_train": np.array([[0], [1], [2], [0], [1], [2]])},
            "y_train holds int64 of shape (6, 1)",
        ),
        ({"y_train": np.array([0, 1, 2, 0, 1, -1])}, "y_train holds labels from -1"),
        ({"y_test": np.array([0, 1, 2, 0, 1, 3])}, "y_test holds labels from 0 to 3"),
        ({"y_train": np.array([1, 2, 3, 1, 2, 3])}, "no image is of class 0"),
        ({"y_train": np.array([0, 1, 2, 0, 1, 10**9])}, "no image is of class 3"),
        ({"y_test": FLOATS[:, 0, 0]}, "y_test holds float64"),
        ({"y_test": np.array(list("abcabc"))}, "y_test holds <U1"),
    ],
)
def test_unsound_own_data_is_refused(
    tmp_path: Path, changes: dict[str, np.ndarray], complaint: str
) -> None:
    floats = {"x_train": FLOATS, "x_test": FLOATS, "axes": np.array(GREY)}
    path = save(tmp_path / "own.npz", **floats | changes)
    with refusal(path, complaint, "fix:"):
        load_data(path)


def test_absent_arrays_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "own.npz", x_train=FLOATS, labels=FLOATS)
    with refusal("own.npz", "lacks y_train, x_test, y_test"):
        load_data(str(tmp_path / "own.npz"))


class Canary:
    """Sings when it is unpickled."""

    def __init__(self, song: Path) -> None:
        self.song = song

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.song,)


@pytest.mark.parametrize("as_bare_pickle", [False, True])
def test_nothing_is_unpickled(tmp_path: Path, as_bare_pickle: bool) -> None:
    path, canary = tmp_path / "own.npz", Canary(tmp_path / "song")
    save(path, x_train=np.array([canary], dtype=object))
    if as_bare_pickle:
        path.write_bytes(pickle.dumps(canary))
    with refusal(str(path)):
        load_data(str(path))
    assert not canary.song.exists()
    pickle.loads(pickle.dumps(canary))
    assert canary.song.exists()  # it can sing


@pytest.fixture(scope="session")
def own_file(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    path = tmp_path_factory.mktemp("npz") / "own.npz"
    save(path)
    return path, path.read_bytes()


@given(st.data())
def test_a_damaged_npz_is_refused_or_harmless(
    own_file: tuple[Path, bytes], data: st.DataObject
) -> None:
    path, sound = own_file
    damaged = bytearray(sound)
    damaged[data.draw(st.integers(0, len(sound) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(damaged[: data.draw(st.integers(0, len(sound)))])
    try:
        dataset = load_data(str(path))
    except InputError:
        return
    np.testing.assert_array_equal(dataset.y_test, own()["y_test"])
    np.testing.assert_array_equal((dataset.x_train * 255).round(), own()["x_train"])


def test_a_single_saved_array_is_not_a_data_set(tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(b"")
    with refusal("x.npz", "is not an .npz file"):
        load_data(str(tmp_path / "x.npz"))
    with (tmp_path / "x.npz").open("wb") as file:
        np.save(file, FLOATS)
    with refusal("x.npz", "is not an .npz file"):
        load_data(str(tmp_path / "x.npz"))
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("x_train", "no array")
    with refusal("x.npz"):
        load_data(str(tmp_path / "x.npz"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "fashion_mnist",
            ("'fashion_mnist'", "did you mean fashion-mnist or fashion-mnist-sample?"),
        ),
        ("fashon-mnist-sampl", ("did you mean fashion-mnist-sample or fashion-mnist?",)),
        ("", ("''", "fashion-mnist, fashion-mnist-sample")),
        ("no/such/file.npz", ("no/such/file.npz: No such file",)),
        ("absent.npz", ("absent.npz: No such file",)),
        ("/", ("/: it is no file but a folder",)),
    ],
)
def test_unknown_names_and_paths_are_explained(name: str, words: tuple[str, ...]) -> None:
    with refusal(*words):
        load_data(name)


def test_a_folder_goes_only_with_fashion_mnist(tmp_path: Path) -> None:
    with refusal(f"data_dir = {tmp_path}", "fashion-mnist-sample"):
        load_data("fashion-mnist-sample", data_dir=tmp_path)


def test_the_check_counts_and_fits_into_json(tmp_path: Path) -> None:
    labels = np.array([0, 1, 1, 1, 2, 2])
    x = np.arange(24.0).reshape(6, 2, 2) / 255
    said = {"axes": np.array(GREY), "x_train": x, "x_test": FLOATS / 255}
    facts = check(save(tmp_path / "own.npz", y_train=labels, **said))
    assert facts.train.samples == 6
    assert facts.train.samples_per_class == (1, 3, 2)
    assert facts.train.mean_pixel == pytest.approx(np.arange(24).mean() / 255, rel=1e-7)
    assert facts.train.highest_pixel == np.float32(23 / 255)
    assert facts.image_shape == (2, 2)
    assert facts.remarks == (
        "train: classes are not equally frequent, from 1 samples (class 0) to 3 (class 1)",
        "train: no value reaches more than 0.09 of the greatest there can be; "
        "is the range right, or was it divided twice?",
        "test: no value reaches more than 0.002 of the greatest there can be; "
        "is the range right, or was it divided twice?",
    )
    assert json.loads(json.dumps(dataclasses.asdict(facts)))["test"]["samples"] == 6
    assert check("fashion-mnist-sample").remarks == ()


def test_the_check_refuses_what_load_refuses(tmp_path: Path) -> None:
    with refusal("NaN"):
        check(
            save(
                tmp_path / "own.npz", x_train=with_pixel(np.nan), x_test=FLOATS, axes=np.array(GREY)
            )
        )


def test_data_sets_need_no_torch() -> None:
    code = "import sys, fedspike.data; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ["checking", "dataset", "idx", "loading", "npz"])
def test_examples_in_docstrings_run(name: str) -> None:
    module = importlib.import_module(f"fedspike.data.{name}")
    output = io.StringIO()
    runner = doctest.DocTestRunner()
    for test in doctest.DocTestFinder().find(module):
        runner.run(test, out=output.write)
    assert runner.summarize(verbose=False).failed == 0, output.getvalue()


def test_arrays_in_memory_are_a_data_set_like_a_file(tmp_path: Path) -> None:
    images = np.arange(224, 256, dtype=np.uint8).reshape(2, 4, 4)
    arrays: dict[str, Any] = {
        "x_train": images,
        "y_train": np.array([1, 0]),
        "x_test": images,
        "y_test": np.array([0, 1]),
    }
    np.savez(tmp_path / "own.npz", **arrays)
    stored, own = load_data(str(tmp_path / "own.npz")), Dataset.from_arrays(**arrays, name="own")
    for name in arrays:
        assert np.array_equal(getattr(stored, name), getattr(own, name))
    assert (own.classes, own.name, own.sha256.keys()) == (2, "own", arrays.keys())
    changed = Dataset.from_arrays(**{**arrays, "y_test": np.array([1, 1])})
    assert {name for name in arrays if changed.sha256[name] != own.sha256[name]} == {"y_test"}
    with pytest.raises(InputError, match="no image is of class 0"):
        Dataset.from_arrays(**{**arrays, "y_train": np.array([1, 1])})
