"""`fedspike ls`: what is found, how far it is, and that nobody is disturbed by being looked at."""

import os
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from fedspike import files
from fedspike.cli import main
from fedspike.experiment import document, sweep
from fedspike.records import inventory, reader
from fedspike.records.events import Trained
from running import BOTH_NETWORKS, asked, events, fingerprints, finish

THREE_ROUNDS = BOTH_NETWORKS.replace("rounds = 2", "rounds = 3")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an experiment that is finished, one that was stopped, and other things."""
    folder = tmp_path_factory.mktemp("runs")
    finish(BOTH_NETWORKS, folder / "done")
    experiment = sweep.expand(document.parse(THREE_ROUNDS, "both.toml"))
    happening = events(experiment, folder / "half")
    rounds = (event for event in happening if isinstance(event, Trained))
    assert len(list(islice(rounds, 3))) == 3  # two of the one kind of network, one of the other
    del rounds, happening
    (folder / "holiday").mkdir()
    (folder / ".hidden").mkdir()
    (folder / "list.txt").touch()
    return folder


def test_states_rounds_and_accuracies(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done, half, holiday = _found(runs, capsys)
    assert [Path(one["folder"]).name for one in (done, half, holiday)] == [
        *("done", "half", "holiday")
    ]
    summary = reader.read(runs / "done")
    for one, run in zip(done["runs"], summary.runs, strict=True):
        assert (one["run"], one["state"]) == (run.name, "finished")
        assert (one["rounds_done"], one["rounds"], one["accuracy"]) == (2, 2, run.final_accuracy)
        assert one["bytes"] == sum(
            512 * path.stat().st_blocks for path in (runs / "done" / run.name).rglob("*")
        )
    assert (done["state"], half["state"]) == ("finished", "stopped")
    for one in half["runs"]:
        records = reader.rounds(runs / "half" / one["run"])
        assert one["state"] == "stopped"
        assert (one["rounds_done"], one["rounds"]) == (len(records), 3)
        assert one["accuracy"] == records[-1].accuracy
    assert (holiday["runs"], holiday["fault"]) == ([], "no run in it")
    assert main(["ls", str(runs)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 3 + 4 + 1
    assert [line.split()[1:4] for line in lines if "ann-iid-seed0" in line] == [
        ["finished", "2", "of"],
        ["stopped", str(half["runs"][0]["rounds_done"]), "of"],
    ]


def test_an_experiment_and_a_run_can_be_named(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (experiment,) = _found(runs / "done", capsys)
    assert [run["run"] for run in experiment["runs"]] == ["ann-iid-seed0", "snn-iid-seed0"]
    (alone,) = _found(runs / "done" / "snn-iid-seed0", capsys)
    assert alone["runs"] == experiment["runs"][1:]
    assert main(["ls", str(runs / "nowhere")]) == 2
    assert "nowhere: no such folder" in capsys.readouterr().err


def test_whoever_is_at_a_run_is_seen(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with files.claimed(runs / "half"), files.claimed(runs / "half" / "ann-iid-seed0"):
        (half,) = _found(runs / "half", capsys)
    assert [run["state"] for run in half["runs"]] == ["running", "waiting"]
    assert half["state"] == "running"
    with files.claimed(runs / "half", shared=True):  # as each of several parts has it
        (half,) = _found(runs / "half", capsys)
    assert half["state"] == "running"
    assert _found(runs / "half", capsys)[0]["state"] == "stopped"


@pytest.mark.parametrize(
    ("file", "content", "fault"),
    [
        ("rounds.jsonl", b"", "no record of round"),
        ("summary.json", b"{}", "schema version None"),
        ("summary.json", b'{"schema": 7, "rounds": 2, "seal": ""}', "was changed"),
    ],
)
def test_what_is_broken_is_said(
    file: str,
    content: bytes,
    fault: str,
    runs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    home = tmp_path / "half" / "ann-iid-seed0"
    subprocess.run(["cp", "-r", runs / "half", tmp_path], check=True)
    (home / file).write_bytes(content)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    (half,) = _found(tmp_path, capsys)
    assert [run["state"] for run in half["runs"]] == ["broken", "stopped"]
    assert fault in half["runs"][0]["fault"]
    assert main(["ls", str(tmp_path)]) == 0
    assert file in capsys.readouterr().out
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_a_record_that_is_being_written_is_not_read(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    subprocess.run(["cp", "-r", runs / "half", tmp_path], check=True)
    (before,) = _found(tmp_path, capsys)
    with (tmp_path / "half" / "ann-iid-seed0" / "rounds.jsonl").open("ab") as file:
        file.write(b'{"round": 3, "accuracy": 0.9')
    (after,) = _found(tmp_path, capsys)
    assert after["runs"][0]["accuracy"] == before["runs"][0]["accuracy"]
    assert after["state"] == "stopped"


@pytest.mark.thorough
def test_a_run_that_is_watched_ends_as_one_that_is_not(tmp_path: Path) -> None:
    finish(THREE_ROUNDS, tmp_path / "alone")
    there = tmp_path / "runs" / "watched"
    code = f"from running import *; finish({THREE_ROUNDS!r}, Path({str(there)!r}))"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parent)
    states = set[str]()
    while process.poll() is None:
        if there.exists():
            (one,) = inventory.listed([tmp_path / "runs"])
            states |= {one.state, *(run.state for run in one.runs)}
        time.sleep(0.1)
    assert (process.returncode, states & {"running", "broken"}) == (0, {"running"})
    assert fingerprints(tmp_path / "runs/watched") == fingerprints(tmp_path / "alone")


@pytest.mark.skipif(os.geteuid() == 0, reason="everything is open to root")
def test_a_closed_folder_is_said(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (runs / "holiday").chmod(0)
    try:
        assert _found(runs, capsys)[-1]["fault"] == "no run in it"
    finally:
        (runs / "holiday").chmod(0o755)


def _found(folder: Path, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    found: Any = asked(capsys, "ls", folder)
    return list(found)
