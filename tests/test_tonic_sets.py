"""Sets of tonic's in small files laid out as it lays them out, against its own items; nothing unasked."""

import hashlib
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from dataset_example import refusal
from fedspike import extras
from fedspike.data.events.tonic_sets import TonicSet
from fedspike.data.recordings import unpacked


@pytest.fixture(name="theirs")
def module() -> Any:
    return pytest.importorskip("tonic.datasets", reason="tonic is not installed: make sources")


def five_bytes(seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    t = 500 + np.sort(rng.integers(0, 60_000, 200))
    columns = rng.integers(0, 34, 200), rng.integers(0, 34, 200), rng.integers(0, 2, 200) << 7
    x, y, p = columns
    return np.stack([x, y, p, t >> 8, t & 255], axis=1).astype(np.uint8).tobytes()


@pytest.fixture(name="server")
def served(tmp_path: Path, theirs: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """N-MNIST on a server of this machine, 8 recordings in each archive, with their MD5."""
    folder = tmp_path / "server"
    folder.mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for number, part in enumerate(("train", "test")):
            path = folder / f"{part}.zip"
            with zipfile.ZipFile(path, "w") as archive:
                for n in range(8):
                    archive.writestr(f"{part.title()}/{n % 2}/{n}.bin", five_bytes(8 * number + n))
            url = f"http://127.0.0.1:{server.server_port}/{path.name}"
            monkeypatch.setattr(theirs.NMNIST, f"{part}_url", url)
            digest = hashlib.md5(path.read_bytes()).hexdigest()
            monkeypatch.setattr(theirs.NMNIST, f"{part}_md5", digest)
        monkeypatch.setattr(theirs.NMNIST, "_check_exists", theirs.NMNIST._is_file_present)
        yield folder
        server.shutdown()


@pytest.mark.usefixtures("server")
def test_a_camera_s_set_is_fetched_when_asked_and_is_tonic_s(tmp_path: Path, theirs: Any) -> None:
    sets = tmp_path / "sets"
    with refusal("has no NMNIST", "data.download = true", "train.zip", "test.zip"):
        TonicSet(set="NMNIST", folder=str(sets)).load()
    assert not sets.exists()
    told: list[str] = []
    source = TonicSet(set="NMNIST", folder=str(sets), download=True, time_steps=40, step_ms=1.0)
    data = source.load(told.append)
    assert sum("train.zip, 0 MB" in line or "test.zip, 0 MB" in line for line in told) == 2
    assert data.class_names == ("0 - zero", "1 - one")
    assert sorted(path.name for path in sets.iterdir()) == ["NMNIST"]
    edges = [np.arange(41) * 1000, np.arange(3), np.arange(35), np.arange(35)]
    for train, x, y in ((True, data.x_train, data.y_train), (False, data.x_test, data.y_test)):
        for number, (events, label) in enumerate(theirs.NMNIST(str(sets), train=train)):
            t = events["t"] - events["t"][0]
            points = np.stack([t, events["p"], events["y"], events["x"]], axis=1)[t < 40_000]
            assert np.array_equal(unpacked(x, 40)[number], np.histogramdd(points, edges)[0] > 0)
            assert y[number] == label
    again = TonicSet(set="NMNIST", folder=str(sets), time_steps=40, step_ms=1.0).load()
    assert np.array_equal(again.x_test, data.x_test)


def test_what_is_not_to_be_had_leaves_nothing(
    tmp_path: Path, theirs: Any, server: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = tmp_path / "sets"
    source = TonicSet(set="NMNIST", folder=str(sets), download=True)
    (server / "test.zip").write_bytes(b"PK something else")
    with refusal("NMNIST is not to be had", "corrupted"):
        source.load()
    assert not sets.exists()
    monkeypatch.setattr(theirs.NMNIST, "test_url", "http://127.0.0.1:9/test.zip")
    with refusal("NMNIST is not to be had", "does this machine reach it?", "as data.folder"):
        source.load()
    assert not sets.exists()


def test_a_cochlea_s_set_has_speakers_and_is_tonic_s(tmp_path: Path, theirs: Any) -> None:
    folder = tmp_path / "SHD"
    folder.mkdir()
    for number, part in enumerate(("train", "test")):
        rng = np.random.default_rng(number)
        (folder / f"shd_{part}.h5.zip").write_bytes(b"is looked for")
        with h5py.File(folder / f"shd_{part}.h5", "w") as file:
            times = file.create_dataset("spikes/times", (6,), h5py.vlen_dtype(np.float16))
            units = file.create_dataset("spikes/units", (6,), h5py.vlen_dtype(np.uint16))
            for n in range(6):
                times[n] = np.sort(rng.random(50)).astype(np.float16)
                units[n] = rng.integers(0, 700, 50).astype(np.uint16)
            file["labels"] = np.arange(6, dtype=np.uint16) % 2
            file["extra/speaker"] = np.arange(6, dtype=np.uint16) % 3
            file["extra/keys"] = np.array(["zero", "one"], "S4")
    data = TonicSet(set="SHD", folder=str(tmp_path), merge=5).load()
    assert data.class_names == ("one", "zero")
    assert data.owners is not None
    assert data.owners.names == ("0", "1", "2")
    edges = [np.arange(101) * 10_000, np.arange(141) * 5]
    for number, (events, label) in enumerate(theirs.SHD(str(tmp_path), train=True)):
        points = np.stack([events["t"], events["x"]], axis=1)[events["t"] < 1_000_000]
        assert np.array_equal(
            unpacked(data.x_train, 100)[number], np.histogramdd(points, edges)[0] > 0
        )
        assert data.class_names[data.y_train[number]] == ("zero", "one")[label]
    with h5py.File(folder / "shd_train.h5", "a") as file:
        file["labels"][3] = 7
    with refusal("SHD, recording 3: label 7, and 2 names of classes"):
        TonicSet(set="SHD", folder=str(tmp_path)).load()
    (folder / "shd_train.h5").write_bytes((folder / "shd_train.h5").read_bytes()[:2000])
    with refusal("SHD cannot be read", "as tonic reads them"):
        TonicSet(set="SHD", folder=str(tmp_path)).load()


def test_without_tonic_is_said_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "is_here", lambda _: False)
    with refusal("tonic is not installed", "pip install 'fedspike[tonic]'"):
        TonicSet(set="SHD", folder="sets").load()
