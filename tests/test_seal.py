"""What is finished is sealed: what is changed, cut, doubled or foreign is seen wherever it is read."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fedspike.cli import main
from fedspike.errors import InputError
from fedspike.experiment import document, sweep
from fedspike.files import MOST_JSON
from fedspike.records import reader
from fedspike.records.stored_rounds import MOST_OF_A_LINE
from running import events, finish, resealed

TINY = """\
name = "tiny"
rounds = 2
[data]
kind = "fashion-mnist-sample"
[fleet]
clients = 2
samples_per_round = 20
[architecture]
hidden = [4]
[sweep]
seed = [0, 1]
network = ["ann"]
"""
RUN = "ann-iid-seed0"
FILES = (
    "summary.json",
    *(f"{RUN}/{name}" for name in ("summary.json", "config.toml", "environment.json")),
)
FILES += (f"{RUN}/rounds.jsonl", f"{RUN}/model.safetensors")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finish(TINY, tmp_path_factory.mktemp("sealed") / "tiny")


@pytest.fixture
def changed(finished: Path, tmp_path: Path) -> Path:
    """A copy, in which a test may change what it likes."""
    return shutil.copytree(finished, tmp_path / "copy")


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


FAULTS: dict[str, Callable[[bytes], bytes]] = {
    "a bit": flipped,
    "cut": lambda content: content[:-1],
    "longer": lambda content: content + b" ",
    "doubled": lambda content: content * 2,
    "empty": lambda _: b"",
}


def test_all_files_of_a_run_are_sealed(finished: Path) -> None:
    summary = reader.run(finished / RUN)
    assert summary is not None
    here = {path.name for path in (finished / RUN).iterdir() if path.is_file()}
    assert {*summary.files, "summary.json"} == here
    assert summary.model_sha256 == summary.files["model.safetensors"].sha256


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", FILES)
def test_what_was_changed_is_refused_wherever_it_is_read(
    name: str, fault: str, changed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = changed / name
    path.write_bytes(FAULTS[fault](path.read_bytes()))
    for command in (["report", str(changed)], ["energy", str(changed)]):
        assert main(command) == 2
        told = capsys.readouterr()
        assert str(path) in told.err
        assert told.out == ""
    if path.parent != changed:
        for command in (["report", str(path.parent)], ["energy", str(path.parent)]):
            assert main(command) == 2
        with pytest.raises(InputError):
            list(events(sweep.expand(document.parse(TINY, "tiny.toml")), changed))
    else:  # it is written anew from the runs
        list(events(sweep.expand(document.parse(TINY, "tiny.toml")), changed))
        assert len(reader.read(changed).runs) == 2


def test_a_run_from_elsewhere_is_refused(changed: Path) -> None:
    """Sealed, and of the same name and settings, but not the one that was compared."""
    path = changed / RUN / "summary.json"
    path.write_bytes(resealed(json.loads(path.read_bytes()) | {"seconds": 1.0}))
    assert reader.run(changed / RUN) is not None
    with pytest.raises(InputError, match="holds another run than the experiment's summary"):
        reader.read(changed)
    list(events(sweep.expand(document.parse(TINY, "tiny.toml")), changed))  # as the error says
    assert reader.read(changed).runs[0].seconds == 1.0


def test_a_summary_alone_can_be_read_anywhere(finished: Path, tmp_path: Path) -> None:
    shutil.copy(finished / "summary.json", tmp_path)
    assert reader.read(tmp_path).runs == reader.read(finished).runs
    with pytest.raises(InputError, match=r"rounds\.jsonl: cannot be read"):
        reader.with_rounds(tmp_path)


def test_no_file_outside_the_folder_is_named(changed: Path) -> None:
    path = changed / RUN / "summary.json"
    summary = json.loads(path.read_bytes())
    for name in ("../x", "/etc/passwd", "a/../../x", "..", "a/b/c", ".x"):
        path.write_bytes(resealed(summary | {"files": {name: {"bytes": 1, "sha256": "x"}}}))
        with pytest.raises(InputError, match="files"):
            reader.run(changed / RUN)


@pytest.mark.parametrize("name", FILES)
def test_no_pipe_is_waited_for(name: str, changed: Path) -> None:
    (changed / name).unlink()
    os.mkfifo(changed / name)
    with pytest.raises(InputError):
        reader.with_rounds(changed)


@pytest.mark.parametrize("name", ["summary.json", f"{RUN}/summary.json", f"{RUN}/rounds.jsonl"])
def test_json_that_would_fill_the_memory_is_not_read(changed: Path, name: str) -> None:
    os.truncate(changed / name, MOST_JSON + 1)  # zeros that take no room on the disk
    path, home = changed / name, changed / RUN
    read = (
        reader.rounds if path.suffix == ".jsonl" else reader.run if RUN in name else reader.stored
    )
    most = MOST_OF_A_LINE if path.suffix == ".jsonl" else MOST_JSON  # records are read line by line
    with pytest.raises(InputError, match=f" more than {most} bytes"):
        read(home if RUN in name else changed)
