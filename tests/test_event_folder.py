"""Folders of recordings: each format as it is written in the field, and what is wrong with one told."""

import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from dataset_example import refusal
from fedspike.cli import main
from fedspike.data.events.event_folder import EventFolder
from fedspike.data.recordings import unpacked

ROWS, COLUMNS = 34, 40
CLASSES = ("clap", "wave")
Write = Callable[[Path, np.ndarray], None]


def events(seed: int = 0, number: int = 300) -> np.ndarray:
    """Events of a made recording, in us, that begins at some time."""
    rng = np.random.default_rng(seed)
    made = np.zeros(number, [("t", "i8"), ("x", "i4"), ("y", "i4"), ("p", "i1")])
    made["t"] = 777 + np.sort(rng.integers(0, 100_000, number))
    made["x"] = rng.integers(0, COLUMNS, number)
    made["y"] = rng.integers(0, ROWS, number)
    made["p"] = rng.integers(0, 2, number)
    return made


def as_npy(path: Path, own: np.ndarray) -> None:
    np.save(path, own)


def as_npz(path: Path, own: np.ndarray) -> None:
    np.savez_compressed(path, t=own["t"], x=own["x"], y=own["y"], p=own["p"])


def as_csv(path: Path, own: np.ndarray) -> None:
    lines = [f"{e['x']}, {e['y']}, {e['p']}, {e['t']}" for e in own]
    path.write_text("\n".join(["x, y, p, t", *lines]) + "\n")


def as_hdf5(path: Path, own: np.ndarray) -> None:
    with h5py.File(path, "w") as file:
        for name in "txyp":
            file[f"events/{name}"] = own[name].astype(np.uint32)


def as_bin(path: Path, own: np.ndarray) -> None:
    """N-MNIST's five bytes, with an event of overflow each time that 2^13 us are over."""
    content, turns = bytearray(), 0
    for e in own:
        while e["t"] - turns * 2**13 >= 2**13:
            turns += 1
            content += bytes([0, 240, 0, 0, 0])
        t = int(e["t"]) - turns * 2**13
        content += bytes([e["x"], e["y"], int(e["p"]) << 7 | t >> 16, t >> 8 & 255, t & 255])
    path.write_bytes(content)


def as_aedat_2(path: Path, own: np.ndarray) -> None:
    """As jAER writes what a DVS128 sees: columns from the right, rows from below, a set bit for OFF."""
    head = b"#!AER-DAT2.0\r\n# This is a raw AE data file - do not edit\r\n# Timestamps tick is 1 us\r\n"
    addresses = (127 - own["y"]) << 8 | (127 - own["x"]) << 1 | 1 - own["p"]
    pin = struct.pack(">ii", 1 << 15, int(own["t"][0]))  # something at the camera's pin
    pairs = np.stack([addresses, own["t"]], axis=1).astype(">i4")
    path.write_bytes(head + pin + pairs.tobytes())


def as_aedat_3(path: Path, own: np.ndarray) -> None:
    """As libcaer writes: packets of events, some of them not valid, and a packet of another type."""
    head = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n"
    content = head + struct.pack("<hhiiiiii", 0, 1, 8, 4, 0, 1, 1, 1) + bytes(8)
    for part in np.array_split(own, 3):
        content += struct.pack("<hhiiiiii", 1, 1, 8, 4, 0, len(part) + 1, len(part) + 1, len(part))
        data = own_data(part)
        pairs = np.stack([data, part["t"]], axis=1).astype("<i4")
        content += pairs.tobytes() + struct.pack("<ii", 5 << 17, int(part["t"][-1]))  # not valid
    path.write_bytes(content)


def own_data(part: np.ndarray) -> np.ndarray:
    data: np.ndarray = part["x"] << 17 | part["y"] << 2 | part["p"] << 1 | 1
    return data


FORMATS: dict[str, Write] = {
    "one.npy": as_npy,
    "one.npz": as_npz,
    "one.csv": as_csv,
    "one.h5": as_hdf5,
    "one.HDF5": as_hdf5,
    "one.bin": as_bin,
    "two.aedat": as_aedat_2,
    "three.aedat": as_aedat_3,
}


def gestures(folder: Path, write: Write, name: str, split: tuple[str, ...] = ()) -> Path:
    """Six recordings of each class, or one in each part."""
    for number, place in enumerate(
        (s, c, str(n)) for s in split or (".",) for c in CLASSES for n in range(6)
    ):
        part, word, own = place
        (folder / part / word).mkdir(parents=True, exist_ok=True)
        write(folder / part / word / f"{own}-{name}", events(number))
    return folder


def binned(own: np.ndarray, steps: int, step_us: int) -> np.ndarray:
    """What NumPy makes of it, [time, polarity, row, column]."""
    edges = [
        np.arange(steps + 1) * step_us,
        np.arange(3),
        np.arange(ROWS + 1),
        np.arange(COLUMNS + 1),
    ]
    t = own["t"] - own["t"][0]
    here = t < steps * step_us
    points = np.stack([t, own["p"], own["y"], own["x"]], axis=1)[here]
    counts: np.ndarray = np.histogramdd(points, edges)[0]
    return counts > 0


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_is_binned_as_numpy_bins_its_events(tmp_path: Path, name: str) -> None:
    write = FORMATS[name]
    gestures(tmp_path / "g", write, name, ("Train", "Test"))
    sensor = (128, 128) if name == "two.aedat" else (ROWS, COLUMNS)
    said: list[str] = []
    source = EventFolder(
        path=str(tmp_path / "g"),
        levels="split class",
        sensor=sensor,
        time_steps=80,
        step_ms=1.0,
        crop=(0, 0, ROWS, COLUMNS),
    )
    data = source.load(said.append)
    assert (data.shape, data.class_names) == ((2, ROWS, COLUMNS), CLASSES)
    assert (len(data.y_train), len(data.y_test)) == (12, 12)
    for number, (word, own) in enumerate((c, n) for c in range(2) for n in range(6)):
        del own
        assert data.y_train[number] == data.y_test[number] == word
        trains = unpacked(data.x_train, 80)[number]
        assert np.array_equal(trains, binned(events(number), 80, 1000))
        trains = unpacked(data.x_test, 80)[number]
        assert np.array_equal(trains, binned(events(12 + number), 80, 1000))
    assert said[0] == f"event-folder: reading 24 recordings below {tmp_path / 'g'}"


def test_polarities_crops_merging_and_units(tmp_path: Path) -> None:
    folder = gestures(tmp_path / "anna", as_npy, "x.npy").parent
    source = EventFolder(
        path=str(folder),
        levels="owner class",
        sensor=(ROWS, COLUMNS),
        polarity="together",
        crop=(4, 10, 20, 10),
        merge=5,
        time_steps=10,
        step_ms=10_000.0,
        time_unit="ms",
    )
    data = source.load()
    assert data.owners is not None
    assert data.owners.names == ("anna",)
    assert data.shape == (1, 4, 2)
    whole = EventFolder(
        path=str(folder), levels="owner class", sensor=(ROWS, COLUMNS), time_steps=10
    ).load()
    assert np.array_equal(whole.y_train, data.y_train)
    spikes = unpacked(whole.x_train, 10)[..., 4:24, 10:20].any(2, keepdims=True)
    merged = spikes.reshape(*spikes.shape[:3], 4, 5, 2, 5).any((-3, -1))
    assert np.array_equal(unpacked(data.x_train, 10), merged)


def test_a_recording_without_events_is_told_once(tmp_path: Path) -> None:
    folder = gestures(tmp_path / "g", as_npy, "x.npy")
    for number in (1, 4):
        as_npy(folder / "clap" / f"{number}-x.npy", events()[:0])
    said: list[str] = []
    data = EventFolder(path=str(folder), sensor=(ROWS, COLUMNS)).load(said.append)
    assert [line for line in said if "no event in 2 recordings" in line] == [said[-1]]
    assert (unpacked(data.x_train, 100).any((1, 2, 3, 4)) == 0).sum() + (
        unpacked(data.x_test, 100).any((1, 2, 3, 4)) == 0
    ).sum() == 2


def _one(
    folder: Path, name: str, content: np.ndarray | bytes, write: Write = as_npy
) -> EventFolder:
    gestures(folder, as_npy, "x.npy")
    path = folder / "clap" / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        write(path, content)
    return EventFolder(path=str(folder), sensor=(ROWS, COLUMNS))


def _changed(field: str, place: int, value: int) -> np.ndarray:
    own = events()
    own[field][place] = value
    return own


HUGE = (
    b"\x93NUMPY\x01\x00v\x00"
    + (
        b"{'descr': [('t', '<i8'), ('x', '<i8'), ('y', '<i8'), ('p', '<i8')], 'fortran_order': False, "
        b"'shape': (2000000000,), }"
    ).ljust(117)
    + b"\n"
)
PACKET = b"#!AER-DAT3.1\r\n#!END-HEADER\r\n" + struct.pack("<hhiiiiii", 1, 1, 8, 4, 0, 2**30, 4, 4)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.npy", _changed("x", 7, COLUMNS), ("event 7 at", "x = 40", "polarity, y, x below 2, 34, 40")),
        ("a.npy", _changed("y", 9, -1), ("event 9 at", "y = -1")),
        ("a.npy", _changed("t", 50, 0), ("event 50 at 0 ms, after one at", "in the order of time")),
        ("a.npy", _changed("p", 5, 3), ("event 5 has p = 3",)),
        ("a.npy", b"", ("it is empty",)),
        ("a.npy", HUGE, ("0 bytes", "64000000000")),
        ("a.npy", HUGE[:40], ("a whole recording",)),
        ("a.npz", b"PK\x03\x04" + bytes(40), ("is not an .npz file",)),
        ("a.csv", b"x,y,p\n1,2,0\n", ("no column t but x, y, p",)),
        ("a.csv", b"t,x,y,p\n1,2,0,one\n", ("could not convert",)),
        ("a.csv", b"t,x,y,p\n1,2.5,0,1\n", ("event 0 has x = 2.5",)),
        ("a.bin", bytes(7), ("7 bytes, and 5 belong to each event",)),
        ("a.aedat", b"#!AER-DAT2.0\r\n" + bytes(12), ("12 bytes behind its header",)),
        ("a.aedat", b"#!AER-DAT2.0\r\n" + b"\0\xff" * 4, ("only DVS128 is read",)),
        ("a.aedat", b"#!AER-DAT2.0", ("it has no line #!AER-DAT",)),
        ("a.aedat", b"#!AER-DAT4.0\r\n" + bytes(8), ("its version of AEDAT is 4.0",)),
        ("a.aedat", PACKET + bytes(32), ("a packet of 8589934592 bytes", "32 are left")),
        ("a.aedat", PACKET[:-3], ("within the header of a packet",)),
        ("a.h5", b"\x89HDF\r\n\x1a\n" + bytes(30), ("a whole recording",)),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_told(
    tmp_path: Path, name: str, content: np.ndarray | bytes, told: tuple[str, ...]
) -> None:
    with refusal(f"clap/{name}", *told):
        _one(tmp_path / "g", name, content).load()


def test_archives_and_hdf5_lead_nowhere_else_and_promise_no_more_than_fits(tmp_path: Path) -> None:
    source = _one(tmp_path / "g", "a.npz", events(), as_npz)
    path = tmp_path / "g/clap/a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for name in "txyp":
            with archive.open(f"../{name}.npy", "w") as member:
                np.save(member, events()[name])
    with refusal("clap/a.npz", "lacks t"):
        source.load()
    path.unlink()
    other = tmp_path / "other.h5"
    as_hdf5(other, events())
    path = path.with_suffix(".h5")
    with h5py.File(path, "w") as file:
        file["events"] = h5py.ExternalLink("../../other.h5", "events")
    with refusal("clap/a.h5", "lies in another file"):
        source.load()
    with h5py.File(path, "w") as file:
        for name in "txyp":
            file.create_dataset(f"events/{name}", (8 * 10**9,), "i8", chunks=(1000,))
    with refusal("clap/a.h5", "8000000000 events"):
        source.load()
    as_hdf5(path, events())
    path.write_bytes(path.read_bytes()[:-1000])
    with refusal("clap/a.h5", "a whole recording"):
        source.load()


def test_folders_and_keys_that_do_not_fit_are_told(tmp_path: Path) -> None:
    folder = gestures(tmp_path / "g", as_npy, "x.npy")
    with refusal("crop = [20, 0, 20, 20] of a sensor of 34 x 40", "within the sensor"):
        EventFolder(path=str(folder), sensor=(ROWS, COLUMNS), crop=(20, 0, 20, 20))
    with refusal("levels = 'split'"):
        EventFolder(path=str(folder), sensor=(ROWS, COLUMNS), levels="split")
    with refusal("in 1 folders below", 'as levels = "split class" says'):
        EventFolder(path=str(folder), sensor=(ROWS, COLUMNS), levels="split class").load()
    with refusal("merge = 4 on a sensor of 34 x 40", "set merge = 2"):
        EventFolder(path=str(folder), sensor=(ROWS, COLUMNS), merge=4).load()
    with refusal("nowhere: there is no such folder", "a folder with recordings"):
        EventFolder(path=str(tmp_path / "nowhere"), sensor=(ROWS, COLUMNS)).load()


def test_a_folder_goes_from_file_to_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    gestures(tmp_path / "g", as_bin, "x.bin", ("Train", "Test"))
    (tmp_path / "mine.toml").write_text(
        'name = "mine"\nrounds = 1\n[data]\nkind = "event-folder"\npath = "g"\nlevels = "split class"\n'
        "sensor = [34, 40]\nmerge = 2\ntime_steps = 10\n[fleet]\nclients = 2\n"
        '[snn]\ntime_steps = 10\n[code]\nkind = "as-recorded"\n[architecture]\nhidden = [8]\n'
        '[sweep]\nnetwork = ["ann", "snn"]\n'
    )
    assert main(["run", "mine.toml"]) == 0
    assert (tmp_path / "runs/mine/report.html").exists()
