"""GTSRB in its own folders, in torchvision's and in archives, made here; and every way to be broken."""

import csv
import hashlib
import io
import shutil
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

import fedspike as fs
from dataset_example import refusal
from fedspike.data import gtsrb, ppm
from fedspike.data.resizing import resized
from fedspike.experiment import sweep
from fedspike.experiment.run import load

HEAD = ["Filename", "Width", "Height", "Roi.X1", "Roi.Y1", "Roi.X2", "Roi.Y2", "ClassId"]
OWN = ("Final_Training/Images", "Final_Test/Images", "Final_Test/Images/GT-final_test.csv")
TORCHVISION = (
    "gtsrb/GTSRB/Training",
    "gtsrb/GTSRB/Final_Test/Images",
    "gtsrb/GT-final_test.csv",
)


def picture(seed: int, width: int = 40, height: int = 36) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def ppm_bytes(pixels: np.ndarray) -> bytes:
    height, width, _ = pixels.shape
    return f"P6\n# drawn by a test\n{width} {height}\n255\n".encode() + pixels.tobytes()


def table(rows: list[list[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=";", lineterminator="\r\n").writerows([HEAD, *rows])
    return text.getvalue()


def line(name: str, label: int) -> list[object]:
    return [name, 40, 36, 4, 2, 35, 33, label]  # a place of 32 x 32


def made(folder: Path, layout: tuple[str, str, str] = OWN) -> Path:
    """Two pictures of each class to learn from, five to test with."""
    training, test, answers = (folder / part for part in layout)
    for label in range(43):
        own = training / f"{label:05}"
        own.mkdir(parents=True)
        names = [f"00000_{number:05}.ppm" for number in range(2)]
        for number, name in enumerate(names):
            (own / name).write_bytes(ppm_bytes(picture(10 * label + number)))
        (own / f"GT-{label:05}.csv").write_text(table([line(name, label) for name in names]))
    test.mkdir(parents=True)
    for number in range(5):
        (test / f"{number:05}.ppm").write_bytes(ppm_bytes(picture(1000 + number)))
    rows = [line(f"{number:05}.ppm", 7 * number) for number in range(5)]
    answers.write_text(table(rows))
    return folder


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("own"))


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a server that has the files of a folder."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def zipped(folder: Path, path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder))


def test_its_own_folders(own: Path) -> None:
    data = fs.GTSRB(str(own)).load()
    assert data.x_train.shape == (86, 3, 32, 32)
    assert data.classes == 43
    assert data.y_train.tolist() == [label for label in range(43) for _ in range(2)]
    assert data.y_test.tolist() == [0, 7, 14, 21, 28]
    # The place of the sign is 32 x 32 already: its very pixels, channels first.
    cut = picture(31)[2:34, 4:36].astype(np.float32) / 255
    np.testing.assert_array_equal(data.x_train[7], np.moveaxis(cut, 2, 0))


def test_torchvisions_folders_and_archives_hold_the_same(own: Path, tmp_path: Path) -> None:
    usual = fs.GTSRB(str(own)).load()
    there = made(tmp_path / "torchvision", TORCHVISION)
    packed = tmp_path / "packed"
    packed.mkdir()
    zipped(there / "gtsrb", packed / "all.zip")
    for folder in (there, there / "gtsrb", packed, packed / "all.zip"):
        if folder.is_dir():
            data = fs.GTSRB(str(folder)).load()
            np.testing.assert_array_equal(data.x_train, usual.x_train)
            np.testing.assert_array_equal(data.x_test, usual.x_test)
            assert data.sha256 == usual.sha256


def test_archives_are_fetched_once_and_checked(tmp_path: Path) -> None:
    there = made(tmp_path / "there", TORCHVISION) / "gtsrb"
    parts = {
        "GTSRB-Training_fixed.zip": "GTSRB/Training",
        "GTSRB_Final_Test_Images.zip": "GTSRB/Final_Test",
        "GTSRB_Final_Test_GT.zip": "GT-final_test.csv",
    }
    site = tmp_path / "site"
    site.mkdir()
    for name, part in parts.items():
        with zipfile.ZipFile(site / name, "w") as archive:
            inside = there / part
            for file in [inside] if inside.is_file() else sorted(inside.rglob("*")):
                archive.write(file, file.relative_to(there))
    md5 = {name: hashlib.md5((site / name).read_bytes()).hexdigest() for name in parts}
    assert md5.keys() == gtsrb.MD5.keys()
    heard: list[str] = []
    with served(site) as url:
        data = gtsrb.fetched(tmp_path / "cache", heard.append, f"{url}/", md5)
        wrong = md5 | {"GTSRB_Final_Test_GT.zip": "0" * 32}
        with refusal("GTSRB_Final_Test_GT.zip", "MD5", "data.folder"):
            gtsrb.fetched(tmp_path / "other", heard.append, f"{url}/", wrong)
    assert not (tmp_path / "other" / "GTSRB_Final_Test_GT.zip").exists()
    again = gtsrb.fetched(tmp_path / "cache", heard.append, "http://127.0.0.1:9/", md5)
    assert again.sha256 == data.sha256
    with refusal("GTSRB is not to be had", "data.folder"):
        gtsrb.fetched(tmp_path / "third", heard.append, "http://127.0.0.1:9/", md5)


def without_a_class(folder: Path) -> None:
    shutil.rmtree(folder / OWN[0] / "00017")


def with_broken_line(cells: str) -> Callable[[Path], None]:
    def broken(folder: Path) -> None:
        path = folder / OWN[0] / "00003" / "GT-00003.csv"
        path.write_text(path.read_text().replace("00000_00001.ppm;40;36;4;2;35;33;3", cells))

    return broken


def of_another_class(folder: Path) -> None:
    path = folder / OWN[0] / "00003" / "GT-00003.csv"
    path.write_text(path.read_text().replace(";33;3", ";33;4"))


def cut_off(folder: Path) -> None:
    path = folder / OWN[0] / "00003" / "00000_00001.ppm"
    path.write_bytes(path.read_bytes()[:-100])


def without_a_picture(folder: Path) -> None:
    (folder / OWN[1] / "00004.ppm").unlink()


def of_another_size(folder: Path) -> None:
    (folder / OWN[1] / "00004.ppm").write_bytes(ppm_bytes(picture(0, 30, 20)))


def without_answers(folder: Path) -> None:
    (folder / OWN[2]).unlink()


def with_commas(folder: Path) -> None:
    path = folder / OWN[2]
    path.write_text(path.read_text().replace(";", ","))


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (without_a_class, ["class 17 is missing", "GT-00017.csv", "43 folders"]),
        (with_broken_line("00000_00001.ppm;40;x"), ["GT-00003.csv, line 3", "Filename;Width"]),
        (with_broken_line("../00002/a.ppm;40;36;4;2;35;33;3"), ["GT-00003.csv, line 3"]),
        (with_broken_line("00000_00001.ppm;40;36;4;2;40;33;3"), ["GT-00003.csv, line 3"]),
        (with_broken_line("00000_00001.ppm;40;36;4;2;35;33;43"), ["GT-00003.csv, line 3"]),
        (of_another_class, ["GT-00003.csv, line 2", "class 4", "class 3"]),
        (cut_off, ["00000_00001.ppm", "4220 bytes", "40 x 36", "4320 bytes"]),
        (without_a_picture, ["00004.ppm", "No such file"]),
        (of_another_size, ["00004.ppm", "30 x 20", "40 x 36"]),
        (without_answers, ["GT-final_test.csv", "No such file"]),
        (with_commas, ["GT-final_test.csv, line 1", "Filename;Width"]),
    ],
)
def test_what_is_broken_is_said_with_its_file_and_line(
    own: Path, tmp_path: Path, harm: Callable[[Path], None], words: list[str]
) -> None:
    folder = tmp_path / "harmed"
    shutil.copytree(own, folder)
    harm(folder)
    experiment = tmp_path / "signs.toml"
    experiment.write_text(f'name = "signs"\n[data]\nkind = "gtsrb"\nfolder = "{folder}"\n')
    with refusal(*words, "fix:", "signs.toml, line 4"):
        load(sweep.read(str(experiment)), lambda _: None)


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with refusal("no training pictures", "Final_Training/Images"):
        fs.GTSRB(str(tmp_path)).load()
    with refusal("no such folder"):
        fs.GTSRB(str(tmp_path / "nowhere")).load()
    (tmp_path / "broken.zip").write_bytes(b"PK\3\4 and no more")
    with refusal("broken.zip", "undamaged"):
        fs.GTSRB(str(tmp_path)).load()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["starts with b''", "P6"]),
        (b"P3 1 1 255 1 2 3", ["P6"]),
        (b"P6 1 1 65535 123456", ["up to 65535", "8 bits"]),
        (b"P6 0 1 255 ", ["0 x 1"]),
        (b"P6 1 1 255 1234", ["4 bytes", "3 bytes"]),
    ],
)
def test_what_is_no_ppm_is_refused(content: bytes, words: list[str]) -> None:
    with refusal("a.ppm", *words):
        ppm.pixels(content, "a.ppm")


@pytest.mark.parametrize(("width", "height"), [(32, 32), (64, 48), (15, 50), (33, 31), (1, 1)])
def test_resizing_is_the_mean_of_an_area(width: int, height: int) -> None:
    old = picture(3, width, height)
    new = resized(old, 32)
    # Every pixel 32 times as wide and as high: then each area is whole.
    fine = np.repeat(np.repeat(old.astype(np.float64), 32, axis=0), 32, axis=1)
    areas = fine.reshape(32, height, 32, width, 3).mean(axis=(1, 3))
    assert np.abs(np.moveaxis(areas, 2, 0) - new).max() <= 0.51
