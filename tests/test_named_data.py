"""Folders of pictures and tables of people's own: classes and owners by name, and a client for each owner."""

import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fedspike import data
from fedspike.cli import main
from fedspike.data import CSVTable, ImageFolder, Source
from fedspike.data.partition import Natural
from fedspike.data.partition.partition import class_counts
from fedspike.errors import InputError
from fedspike.experiment import document, sweep
from fedspike.records import reader

CLOTHES = data.load_data("fashion-mnist-sample")
NAMES = [name.replace("/", " or ") for name in CLOTHES.class_names]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept of pictures is kept beside them, not in the cache of whoever tests."""
    monkeypatch.setenv("FEDSPIKE_CACHE", str(tmp_path / "cache"))


def picture(number: int) -> np.ndarray:
    pixels: np.ndarray = np.rint(CLOTHES.x_train[number] * 255).astype(np.uint8)
    return pixels


def folder_of(root: Path, path_of: Callable[[int], str], samples: int = 200) -> Path:
    for number in range(samples):
        path = root / path_of(number) / f"{number:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(number)).save(path)
    return root


def table(path: Path, rows: list[list[Any]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def class_of(number: int) -> str:
    return str(NAMES[CLOTHES.y_train[number]])


def test_a_folder_of_pictures_with_owners_goes_from_file_to_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = folder_of(tmp_path / "clothes", lambda n: f"person{n % 4}/{class_of(n)}")
    (root / "person0" / "notes.txt").write_text("no picture")
    source = ImageFolder(str(root), levels="owner class")
    dataset = source.load()
    assert dataset.class_names == tuple(sorted(NAMES))
    assert dataset.owners is not None
    assert dataset.owners.names == tuple(f"person{n}" for n in range(4))
    assert (len(dataset.y_train), len(dataset.y_test)) == (160, 40)
    numbers = {picture(n).tobytes(): n for n in range(200)}
    for x, y, owner in zip(dataset.x_train, dataset.y_train, dataset.owners.of, strict=True):
        number = numbers[np.rint(x * 255).astype(np.uint8).tobytes()]
        assert dataset.class_names[y] == class_of(number)
        assert owner == number % 4
    file = tmp_path / "own.toml"
    file.write_text(
        f'name = "own"\nrounds = 1\n[data]\nkind = "{source.kind}"\npath = "{root}"\n'
        'levels = "owner class"\n[partition]\nkind = "natural"\n[fleet]\nclients = 4\n'
        '[architecture]\nhidden = [4]\n[snn]\ntime_steps = 2\n[sweep]\nnetwork = ["ann", "snn"]\n'
    )
    assert main(["data", "show", str(file)]) == 0
    shown = capsys.readouterr().out
    assert "owners of training samples: 4\nsamples of each: " in shown
    assert re.search(r"^    9 .*  Trouser$", shown, re.MULTILINE)
    assert main(["run", str(file), "-q", "--output", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "report.html").exists()
    run = reader.read(tmp_path / "out").runs[0]
    shards = Natural().over(dataset.y_train, dataset.owners, 4, 0)
    assert run.class_counts == class_counts(dataset.y_train, shards, 10).tolist()


def test_splits_sizes_colours_and_bits_are_as_the_files_and_the_keys_say(tmp_path: Path) -> None:
    root = folder_of(tmp_path / "split", lambda n: f"{('train', 'test')[n % 4 == 3]}/{class_of(n)}")
    split = ImageFolder(str(root), levels="split class").load()
    assert (len(split.y_train), len(split.y_test)) == (150, 50)
    odd = root / "train" / class_of(0) / "9999.png"
    Image.fromarray(np.zeros((28, 28, 3), np.uint8)).save(odd)
    with pytest.raises(InputError, match="coloured") as caught:
        ImageFolder(str(root), levels="split class").load()
    assert caught.value.fix == 'set data.colour = "grey", to which all are made'
    coloured = ImageFolder(str(root), levels="split class", colour="rgb", size=14).load()
    assert coloured.x_train.shape == (151, 3, 14, 14)
    means = picture(0).astype(float).reshape(14, 2, 14, 2).mean((1, 3))
    assert np.abs(coloured.x_train * 255 - means).max((1, 2, 3)).min() <= 0.5
    deep = np.arange(0, 65536, 1024, dtype=np.uint16).reshape(8, 8)
    for number, name in enumerate("aabb"):
        (tmp_path / "deep" / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(deep).save(tmp_path / "deep" / name / f"{number}.png")
    x = ImageFolder(str(tmp_path / "deep"), test_share=0.5).load().x_train
    np.testing.assert_array_equal(x, np.stack([deep / 65535] * 2).astype(np.float32))


def test_a_table_says_classes_and_owners_in_columns(tmp_path: Path) -> None:
    drawn = np.random.default_rng(0).normal(size=(60, 3)).round(3)
    rows = [[*own, f"s{n % 3}", ("10", "9", "2")[n % 3], "x, y"] for n, own in enumerate(drawn)]
    path = table(tmp_path / "t.csv", [["a", "b", "c", "station", "kind", "why"], *rows])
    source = CSVTable(str(path), "kind", owner="station", left_out=("why",))
    dataset = source.load()
    assert dataset.class_names == ("2", "9", "10")
    assert dataset.owners is not None
    assert dataset.owners.names == ("s0", "s1", "s2")
    assert (dataset.x_train.min(0), dataset.x_train.max(0)) == (pytest.approx(0), pytest.approx(1))
    np.testing.assert_array_equal(dataset.y_train, 2 - dataset.owners.of)
    wide = CSVTable(
        str(path), "kind", left_out=("why", "station"), range=(-8, 8), test=str(path)
    ).load()
    np.testing.assert_allclose(wide.x_test, (drawn + 8) / 16, atol=1e-6)


def test_natural_clients_are_the_owners_or_some_of_them() -> None:
    owners = data.Owners.called([f"w{number % 5}" for number in range(23)] + ["rare"])
    labels = np.zeros(24, np.int64)
    whole = Natural().over(labels, owners, 6, 0)
    assert [len(own) for own in whole] == [1, 5, 5, 5, 4, 4]
    assert sorted(np.concatenate(whole)) == [*range(24)]
    some = Natural(least=2).over(labels, owners, 2, 0)
    assert all(any(np.array_equal(own, other) for other in whole[1:]) for own in some)
    with pytest.raises(InputError, match=re.escape("clients = 6 of 6 owners, 5 of them with 2")):
        Natural(least=2).over(labels, owners, 6, 0)
    with pytest.raises(InputError, match="without owners"):
        Natural().over(labels, None, 2, 0)
    held = data.Owners.called("abcb").at(np.array([1, 3]))
    assert (held.names, held.of.tolist()) == (("b",), [0, 0])


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("a,kind\n1,x\noops,y\n", "line 3: 'oops' in column a"),
        ("a,kind\n1,x\n2\n", "line 3: 1 cells"),
        ("a,kind\n1,x\n2,\n", "line 3: nothing in column kind"),
        ("a,kind\n", "no samples"),
        ("a,a\n1,2\n", "two columns of one name"),
        ("a,sort\n1,x\n", "label = 'kind': "),
        ("kind\nx\n", "columns of no numbers"),
        ("a,kind\n1,x\n2,y\n", "no test samples"),
        ('a,kind\n"1,x\n', "unexpected end of data"),
    ],
)
def test_a_table_that_cannot_be_read_is_told_by_line(
    lines: str, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(lines)
    with pytest.raises(InputError, match=re.escape(words)):
        CSVTable(str(path), "kind").load()


def test_folders_that_cannot_be_read_are_told_by_file(tmp_path: Path) -> None:
    def refused(source: Source) -> str:
        with pytest.raises(InputError) as caught:
            source.load()
        return caught.value.passed

    root = folder_of(tmp_path / "p", class_of, 20)
    assert "no such folder" in refused(ImageFolder(str(tmp_path / "q")))
    assert "in 1 folders below" in refused(ImageFolder(str(root), levels="owner class"))
    assert "where levels say split" in refused(
        ImageFolder(
            str(folder_of(tmp_path / "r", lambda n: f"all/{class_of(n)}", 20)), levels="split class"
        )
    )
    (root / class_of(0) / "cut.png").write_bytes(
        (root / class_of(0) / "0000.png").read_bytes()[:99]
    )
    assert "cut.png" in refused(ImageFolder(str(root)))
    with pytest.raises(InputError, match="levels = 'split'"):
        ImageFolder(str(root), levels="split")


def test_the_files_of_the_page_on_own_data_are_whole() -> None:
    page = (Path(__file__).parents[1] / "docs" / "own-data.md").read_text()
    files = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    kinds = []
    for number, text in enumerate(files):
        runs = sweep.expand(document.parse(text, f"file {number}")).runs
        assert [run.plan.network.kind for run in runs] == ["ann", "snn"]
        kinds.append(runs[0].plan.data.kind)
    assert kinds == [
        "npz",
        "image-folder",
        "csv-table",
        "torchvision",
        "event-folder",
        "cochlea",
        "cochlea",
    ]
