"""Files of recordings, from HDF5 to the report: binned as NumPy bins them, and bad ones refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import fedspike as fs
from dataset_example import refusal
from fedspike.cli import main
from fedspike.data.events.cochlea import Cochlea
from fedspike.data.recordings import unpacked

WORDS = ("null", "eins", "zero", "one")


def heidelberg(path: Path, recordings: int = 40, seed: int = 0) -> Path:
    """A file in the layout of SHD, with its types: each word has channels of its own, after a while."""
    rng = np.random.default_rng(seed)
    labels = np.arange(recordings) % len(WORDS)
    with h5py.File(path, "w") as file:
        floats, units = (h5py.vlen_dtype(np.dtype(kind)) for kind in ("float16", "uint16"))
        times = file.create_dataset("spikes/times", (recordings,), floats)
        channels = file.create_dataset("spikes/units", (recordings,), units)
        for number, label in enumerate(labels):
            events = int(rng.integers(200, 400))
            times[number] = np.sort(rng.random(events) * 1.2).astype(np.float16)
            channels[number] = (rng.normal(90 + 170 * label, 40, events) % 700).astype(np.uint16)
        file["labels"] = labels.astype(np.uint16)
        file["extra/speaker"] = (np.arange(recordings) // 4 % 5).astype(np.uint16)
        file["extra/keys"] = np.array(WORDS, "S4")
    return path


def test_a_cochlea_s_events_are_binned_as_numpy_bins_them(tmp_path: Path) -> None:
    path = heidelberg(tmp_path / "shd_train.h5")
    test = heidelberg(tmp_path / "shd_test.h5", 12, seed=1)
    data = Cochlea(path=str(path), test=str(test), time_steps=90, count_windows=3).load()
    assert (data.shape, data.time_steps, data.class_names) == ((140,), 90, tuple(sorted(WORDS)))
    assert data.owners is not None
    assert data.owners.names == ("0", "1", "2", "3", "4")
    edges = (np.arange(91) * 0.01, np.arange(141) * 5)
    for file, x, y in ((path, data.x_train, data.y_train), (test, data.x_test, data.y_test)):
        with h5py.File(file) as content:
            for number, trains in enumerate(unpacked(x, 90)):
                t = content["spikes/times"][number].astype(np.float64)
                counts, *_ = np.histogram2d(t, content["spikes/units"][number], edges)
                at_the_end = t == 0.9  # the last bin of NumPy holds its right edge, too
                assert np.array_equal(trains, counts > 0) or at_the_end.any()
                assert data.class_names[y[number]] == WORDS[content["labels"][number]]
    assert data.counted.x_train.shape == (40, 3 * 140)


def test_hot_inputs_are_silenced_and_test_recordings_drawn(tmp_path: Path) -> None:
    path = heidelberg(tmp_path / "mine.h5")
    with h5py.File(path, "a") as file:
        for number in range(40):
            file["spikes/units"][number] = np.where(
                np.arange(len(file["spikes/units"][number])) % 2, 3, file["spikes/units"][number]
            )
    heard: list[str] = []
    data = Cochlea(path=str(path), hot_hz=50.0, test_share=0.3).load(heard.append)
    assert "1 of 140 inputs are hot, and silenced" in heard[-1]
    assert not data.x_train[:, 0].any()
    assert not data.x_test[:, 0].any()
    assert data.x_train.any()
    assert (len(data.y_train), len(data.y_test)) == (28, 12)


def test_recordings_go_from_file_to_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    heidelberg(tmp_path / "mine.h5")
    (tmp_path / "mine.toml").write_text(
        'name = "mine"\nrounds = 2\n[data]\nkind = "cochlea"\npath = "mine.h5"\n'
        '[partition]\nkind = "natural"\n[fleet]\nclients = 5\n[snn]\ntime_steps = 100\n'
        '[code]\nkind = "as-recorded"\n[architecture]\nhidden = [20]\n[sweep]\nnetwork = ["ann", "snn"]\n'
    )
    assert main(["run", "mine.toml"]) == 0
    assert (tmp_path / "runs/mine/report.html").exists()
    capsys.readouterr()
    assert main(["data", "show", "mine.toml"]) == 0
    shown = capsys.readouterr().out
    assert "140 in 100 time steps" in shown
    data = fs.load_data(Cochlea(path="mine.h5"))
    for name, x in (
        ("snn", data.x_test),
        ("ann", data.x_test),
        ("snn", unpacked(data.x_test, 100)),
    ):
        run = fs.load(f"runs/mine/{name}-natural-seed0")
        assert (run.predict(x) == data.y_test).mean() == run.accuracy


def _set(path: str, index: int, value: Any) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        file[path][index] = value

    return change


def _without(path: str) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[path]

    return change


def _replaced(path: str, value: Any) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[path]
        file[path] = value

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_without("spikes/units"), ("it has no spikes/units", "as SHD has them")),
        (_set("spikes/units", 3, np.full(4, 700)), ("recording 3", "(4,) units")),
        (_set("spikes/times", 3, np.full(4, 0.5)), ("recording 3", "(4,) times")),
        (_replaced("labels", np.arange(40) % 5), ("labels from 0 to 4", "4 names in extra/keys")),
        (_replaced("labels", np.zeros(39, int)), ("39 in labels", "an entry for each")),
        (_replaced("extra/speaker", np.zeros(41, int)), ("41 in extra/speaker",)),
    ],
)
def test_files_that_are_not_laid_out_so_are_refused(
    tmp_path: Path, change: Callable[[h5py.File], None], said: tuple[str, ...]
) -> None:
    path = heidelberg(tmp_path / "mine.h5")
    with h5py.File(path, "a") as file:
        change(file)
    with refusal("mine.h5", *said):
        Cochlea(path=str(path)).load()


def test_events_that_cannot_be_and_broken_files_are_refused(tmp_path: Path) -> None:
    path = heidelberg(tmp_path / "mine.h5")
    with refusal("merge = 3 on a sensor of 700", "set merge = 2"):
        Cochlea(path=str(path), merge=3).load()
    with refusal("event", "channel = ", "channel below 400"):
        Cochlea(path=str(path), channels=400).load()
    with h5py.File(path, "a") as file:
        times = file["spikes/times"][7]
        times[5] = np.nan
        file["spikes/times"][7] = times
    with refusal("recording 7: event 5 at nan ms", "times from 0 on"):
        Cochlea(path=str(path)).load()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with refusal("mine.h5", "a whole file in HDF5"):
        Cochlea(path=str(path)).load()
    with refusal("nowhere.h5", "check its path"):
        Cochlea(path=str(tmp_path / "nowhere.h5")).load()
    endless = heidelberg(tmp_path / "own.h5")
    with refusal("trains of", "merge more inputs"):
        Cochlea(path=str(endless), channels=2**20, merge=1, time_steps=2**20).load()
