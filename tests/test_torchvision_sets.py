"""Sets of torchvision's, in files as it has them, small, made here: read as it reads them."""

import gzip
import hashlib
import pickle
import urllib.error
import urllib.request
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from torch.library import Library

import fedspike.extras
from dataset_example import idx_bytes, refusal
from fedspike.cli import main
from fedspike.data import TorchvisionSet
from fedspike.data.layout import intensities

installed = pytest.mark.skipif(
    find_spec("torchvision") is None, reason="torchvision is not installed"
)
OPERATORS: Any = Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
RNG = np.random.default_rng(0)
SIZES = {"train": 20, "test": 10}


def pictures(samples: int, *shape: int) -> np.ndarray:
    return RNG.integers(0, 256, (samples, *shape), np.uint8)


def labels(samples: int, classes: int = 10, first: int = 0) -> np.ndarray:
    return (np.arange(samples) % classes + first).astype(np.uint8)


def written(path: Path, content: bytes) -> str:
    """Write a file; its MD5."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return hashlib.md5(content).hexdigest()


def idx_files(raw: Path, prefixes: dict[str, str], first: int = 0) -> None:
    for part, prefix in prefixes.items():
        written(raw / f"{prefix}-images-idx3-ubyte", idx_bytes(pictures(SIZES[part], 6, 5)))
        written(raw / f"{prefix}-labels-idx1-ubyte", idx_bytes(labels(SIZES[part], 10, first)))


def mnist(own: Any, root: Path, _: pytest.MonkeyPatch) -> None:
    idx_files(root / own.__name__ / "raw", {"train": "train", "test": "t10k"})


def emnist(own: Any, root: Path, _: pytest.MonkeyPatch) -> None:
    idx_files(root / own.__name__ / "raw", {p: f"emnist-letters-{p}" for p in SIZES}, first=1)


def cifar(own: Any, root: Path, patch: pytest.MonkeyPatch) -> None:
    """Batches as Krizhevsky pickled them, [sample, 3072] and a list; torchvision's MD5 become theirs."""
    fine, many = own.__name__ == "CIFAR100", 20 if own.__name__ == "CIFAR100" else 10
    for table in ("train_list", "test_list"):
        hashes = []
        for name, _ in getattr(own, table):
            batch = {"data": pictures(many, 3072)}
            batch["fine_labels" if fine else "labels"] = labels(many, many).tolist()
            hashes.append([name, written(root / own.base_folder / name, pickle.dumps(batch))])
        patch.setattr(own, table, hashes)
    names = {own.meta["key"]: [f"class {n}" for n in range(many)]}
    md5 = written(root / own.base_folder / own.meta["filename"], pickle.dumps(names))
    patch.setattr(own, "meta", own.meta | {"md5": md5})


def svhn(own: Any, root: Path, patch: pytest.MonkeyPatch) -> None:
    table = dict(own.split_list)
    for part, samples in SIZES.items():
        address, name, _ = table[part]
        content = {"X": pictures(32, 32, 3, samples), "y": labels(samples, first=1)[:, None]}
        scipy.io.savemat(root / name, content)
        table[part] = [address, name, hashlib.md5((root / name).read_bytes()).hexdigest()]
    patch.setattr(own, "split_list", table)


WRITERS = {"MNIST": mnist, "KMNIST": mnist, "EMNIST": emnist, "SVHN": svhn}
WRITERS |= {"CIFAR10": cifar, "CIFAR100": cifar}


@cache
def theirs() -> Any:
    """The module of torchvision's; one for CUDA beside a torch without it is given names of operators."""
    if find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed")
    try:
        return import_module("torchvision.datasets")
    except RuntimeError:
        for name in ("nms", "qnms"):
            OPERATORS.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return import_module("torchvision.datasets")


def made(name: str, root: Path, patch: pytest.MonkeyPatch) -> Any:
    """The class of torchvision's, and below the root files of that set."""
    own = getattr(theirs(), name)
    WRITERS[name](own, root, patch)
    return own


def source(name: str, root: Path, **more: Any) -> TorchvisionSet:
    split = "letters" if name == "EMNIST" else None
    return TorchvisionSet(name, split=split, folder=str(root), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", WRITERS)
def test_each_set_is_what_torchvision_reads(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = made(name, tmp_path, monkeypatch)
    data = source(name, tmp_path).load()
    parts = {"train": (data.x_train, data.y_train), "test": (data.x_test, data.y_test)}
    for part, (x, y) in parts.items():
        split = {"SVHN": {"split": part}, "EMNIST": {"split": "letters"}}.get(name, {})
        oracle = own(tmp_path, **split, **({} if name == "SVHN" else {"train": part == "train"}))
        assert len(x) == len(oracle) > 0
        for number, (picture, label) in enumerate(oracle):  # as Pillow's, [row, column, colour]
            pixels = np.moveaxis(np.atleast_3d(np.asarray(picture)), 2, 0).squeeze()
            np.testing.assert_array_equal(x[number], intensities(pixels))
            if name == "SVHN":
                assert data.class_names[y[number]] == str(label)
            else:
                assert data.class_names[y[number]] == oracle.classes[label]
    assert data.class_names[0] == {"SVHN": "0", "EMNIST": "a", "KMNIST": "o"}.get(
        name, "0 - zero" if name == "MNIST" else "class 0"
    )


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("spoil", [slice(-7), slice(2), slice(0)])
def test_truncated_files_are_refused_by_name(
    name: str, spoil: slice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(name, tmp_path, monkeypatch)
    for path in sorted(one for one in tmp_path.rglob("*") if one.is_file()):
        whole = path.read_bytes()
        path.write_bytes(whole[spoil])
        with refusal(str(path), "fetch"):
            source(name, tmp_path).load()
        path.write_bytes(whole)
    source(name, tmp_path).load()


@pytest.mark.parametrize("name", ["CIFAR10", "CIFAR100", "SVHN", "MNIST"])
def test_a_changed_file_is_refused_by_its_hash_before_anything_reads_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = made(name, tmp_path, monkeypatch)
    if name == "MNIST":  # as torchvision leaves it: the archives lie beside what was unpacked
        resources = []
        for packed, _ in own.resources:
            path = tmp_path / "MNIST" / "raw" / packed
            resources.append(
                (packed, written(path, gzip.compress(path.with_suffix("").read_bytes())))
            )
        monkeypatch.setattr(own, "resources", resources)
        usual = source(name, tmp_path).load()
        assert usual.x_train.shape == (20, 6, 5)
    ending = "*.gz" if name == "MNIST" else "*"
    for path in sorted(one for one in tmp_path.rglob(ending) if one.is_file()):
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with refusal(str(path), "MD5", "as torchvision says"):
            source(name, tmp_path).load()
        path.write_bytes(whole)


class Answer(BytesIO):
    """What a server sends, as urllib has it."""

    def __init__(self, content: bytes, url: str) -> None:
        super().__init__(content)
        self.url, self.length = url, len(content)


@installed
def test_what_is_not_there_is_fetched_only_when_asked_and_moved_in_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (there := tmp_path / "there").mkdir()
    made("SVHN", there, monkeypatch)
    with refusal("has no train_32x32.mat", "data.download = true", "http://ufldl.stanford.edu"):
        source("SVHN", tmp_path / "own").load()

    def answer(request: Any, **_: Any) -> Any:
        path = there / getattr(request, "full_url", request).rpartition("/")[2]
        if "train" not in path.name and not (there / "up").exists():
            raise urllib.error.URLError("Network is unreachable")
        return Answer(path.read_bytes(), request.full_url)

    monkeypatch.setattr(urllib.request, "urlopen", answer)
    heard: list[str] = []
    with refusal("SVHN is not to be had", "unreachable", "folder"):
        source("SVHN", tmp_path / "own", download=True).load(heard.append)
    assert (
        "fetches it into it from http://ufldl.stanford.edu/housenumbers/train_32x32.mat" in heard[0]
    )
    assert not (tmp_path / "own").exists()
    (there / "up").touch()
    data = source("SVHN", tmp_path / "own", download=True).load()
    assert (data.x_train.shape, data.classes) == ((20, 3, 32, 32), 10)
    assert sorted(one.name for one in (tmp_path / "own").iterdir()) == [
        "test_32x32.mat",
        "train_32x32.mat",
    ]


def test_without_torchvision_and_with_a_wrong_split_the_fix_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fedspike.extras, "is_here", lambda _: False)
    with refusal("torchvision is not installed", "pip install 'fedspike[torchvision]'"):
        TorchvisionSet("MNIST").load()
    with refusal("split of EMNIST"):
        TorchvisionSet("EMNIST")
    with refusal("split of EMNIST"):
        TorchvisionSet("MNIST", "letters")


@installed
def test_a_set_goes_from_its_files_to_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made("CIFAR10", tmp_path, monkeypatch)
    file = tmp_path / "own.toml"
    file.write_text(
        f'name = "own"\nrounds = 1\n[data]\nkind = "torchvision"\nset = "CIFAR10"\n'
        f'folder = "{tmp_path}"\n[fleet]\nclients = 2\n[architecture]\nhidden = [4]\n'
    )
    assert main(["run", str(file), "-q", "--output", str(tmp_path / "out")]) == 0
    assert "class 9" in (tmp_path / "out" / "report.html").read_text()


def test_samples_are_taken_as_bytes_or_as_loaded() -> None:
    pixels = pictures(3, 3, 32, 32)
    own = TorchvisionSet("CIFAR10").as_loaded(pixels)
    assert np.array_equal(own, intensities(pixels))
