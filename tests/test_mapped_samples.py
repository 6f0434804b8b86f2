"""Pictures that are kept as arrays: the bits of the files, made again when damaged, larger than memory."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fedspike.data import ImageFolder
from fedspike.data.dataset import Dataset

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEDSPIKE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "arrays"


@pytest.fixture
def source(tmp_path: Path) -> ImageFolder:
    for number in range(30):
        path = tmp_path / "pictures" / "abc"[number % 3] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(RNG.integers(0, 256, (9, 7, 3), np.uint8)).save(path)
    return ImageFolder(str(tmp_path / "pictures"))


def bits(data: Dataset) -> tuple[bytes, ...]:
    arrays = (data.x_train, data.y_train, data.x_test, data.y_test)
    return *(array.tobytes() for array in arrays), repr(data.sha256).encode()


def in_memory(source: ImageFolder, cache: Path) -> Dataset:
    """Read where nothing can be kept."""
    cache.parent.mkdir(exist_ok=True)
    cache.write_text("a file is in the way")
    heard: list[str] = []
    data = source.load(heard.append)
    assert "but read into memory" in heard[-1]
    cache.unlink()
    return data


def test_what_is_kept_has_the_bits_of_what_is_read_into_memory(
    source: ImageFolder, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = in_memory(source, cache)
    assert usual.x_train.shape == (24, 3, 9, 7)
    first = source.load()
    monkeypatch.setattr("fedspike.data.image_folder._pixels", None)  # nothing is decoded again
    second = source.load()
    assert bits(usual) == bits(first) == bits(second)
    second.x_train[0] = 0.5  # as whoever has it in memory may do
    assert bits(source.load()) == bits(usual)
    (folder,) = cache.iterdir()
    assert sorted(one.name for one in folder.iterdir()) == [
        *("sha256.npy", "x_test.npy", "x_train.npy"),
    ]


@pytest.mark.parametrize("name", ["sha256.npy", "x_train.npy", "x_test.npy"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: content[:-1] + bytes([content[-1] ^ 1]),
        lambda content: content[:20],
        lambda content: content[:0],
    ],
)
def test_what_is_damaged_is_made_again(
    name: str, damage: Callable[[bytes], bytes], source: ImageFolder, cache: Path
) -> None:
    usual = source.load()
    whole = bits(usual)
    (file,) = cache.glob(f"*/{name}")
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(damage(content))
    assert bits(source.load()) == whole
    assert file.read_bytes() == content


def test_other_pictures_and_other_keys_are_kept_apart(source: ImageFolder, cache: Path) -> None:
    first = bits(source.load())
    grey = ImageFolder(source.path, colour="grey").load()
    assert grey.x_train.shape == (24, 9, 7)
    path = Path(source.path) / "a" / "0.png"
    Image.fromarray(np.zeros((9, 7, 3), np.uint8)).save(path)
    assert bits(source.load()) != first
    assert len([*cache.iterdir()]) == 3


def test_what_cannot_be_read_leaves_nothing(source: ImageFolder, cache: Path) -> None:
    (Path(source.path) / "c" / "x.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"x\.png"):
        source.load()
    assert not [*cache.iterdir()]


TRAIN = """
import threading, time, sys
from pathlib import Path
import fedspike as fs

highest = 0
def watch():
    global highest
    while True:
        words = Path("/proc/self/status").read_text().split()
        highest = max(highest, int(words[words.index("RssAnon:") + 1]))
        time.sleep(0.02)

threading.Thread(target=watch, daemon=True).start()
data = fs.ImageFolder(sys.argv[1]).load()
plan = fs.Plan(
    data=data, partition=fs.IID(), fleet=fs.Fleet(clients=4), rounds=1,
    network=fs.ANN(fs.FullyConnected((4,))), learner=fs.Backpropagation(batch_size=8),
)
for round in fs.rounds(plan):
    print(round.accuracy)
print((data.x_train.nbytes + data.x_test.nbytes) >> 20, highest >> 10)
"""


@pytest.mark.thorough
def test_five_gigabytes_train_in_one(tmp_path: Path) -> None:
    for number in range(1250):
        path = tmp_path / "large" / "ab"[number % 2] / f"{number}.bmp"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = RNG.integers(0, 256, (1000, 1000), np.uint8) // (1 + number % 2)
        Image.fromarray(pixels).save(path)
    command = [sys.executable, "-c", TRAIN, str(tmp_path / "large")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=900)
    size, highest = map(int, done.stdout.split()[-2:])
    assert size > 4700  # MiB
    assert highest < 1024
