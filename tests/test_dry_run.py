"""`fedspike run --dry-run`: what it says is what is done, and it stores nothing."""

import json
from pathlib import Path
from typing import Any

import pytest

from fedspike.cli import main
from fedspike.energy import meters
from fedspike.experiment import document, outlook, sweep
from fedspike.records import reader
from running import BOTH_NETWORKS, asked, events, finish


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "both.toml").write_text(BOTH_NETWORKS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_nothing_is_stored_and_what_is_said_is_true(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = asked(capsys, "run", "both.toml", "--dry-run")
    assert [path.name for path in folder.iterdir()] == ["both.toml"]
    assert (before["folder"], before["finished"], before["rounds_left"]) == ("runs/both", 0, 4)
    assert before["joules"] == {} or meters.POWERCAP.exists()
    finish(BOTH_NETWORKS, folder / "runs/both")
    for run in before["runs"]:
        home = folder / "runs/both" / run["run"]
        names = ("rounds.jsonl", "model.safetensors", "checkpoint/*/state.safetensors")
        size = sum(path.stat().st_size for name in names for path in home.glob(name))
        assert run["disk_bytes"] == pytest.approx(size, rel=0.1)
        assert run["seconds"] == 2 * run["round_seconds"] > 0
        summary = reader.run(home)
        assert summary is not None
        assert run["memory_bytes"] >= 4 * summary.parameters
    after = asked(capsys, "run", "both.toml", "--dry-run")
    assert (after["finished"], after["rounds_left"], after["seconds"]) == (2, 0, 0)
    more = asked(capsys, "run", "both.toml", "--dry-run", "--more-rounds", "3")
    assert (more["finished"], more["rounds_left"]) == (0, 6)
    assert [run["rounds_done"] for run in more["runs"]] == [2, 2]


@pytest.mark.usefixtures("folder")
def test_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "both.toml", "--dry-run", "--workers", "2"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("both, in runs/both: 2 runs, 0 finished; 4 rounds are left\n")
    assert "with 2 at once" in out
    assert "Nothing was stored." in out
    assert "energy" not in out or meters.POWERCAP.exists()
    assert "trying a round of ann-iid-seed0" in err


@pytest.mark.usefixtures("folder")
def test_a_long_round_is_not_tried(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(outlook, "PROBE_S", 0.0)
    answer = asked(capsys, "run", "both.toml", "--dry-run")
    assert answer["seconds"] is None
    assert answer["projected_s"] > 0
    assert main(["run", "both.toml", "--dry-run"]) == 0
    assert "time    perhaps 0 s\n" in capsys.readouterr().out


@pytest.mark.usefixtures("folder")
def test_this_machine_s_energy_is_said_where_a_sensor_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Sensor:
        name = "made"
        counted = 0.0

        def joules(self) -> dict[str, float]:
            self.counted += 5.0
            return {"package": self.counted}

    monkeypatch.setattr(meters, "sensors", lambda: [Sensor(), meters.Unavailable("none", "why")])
    answer = asked(capsys, "run", "both.toml", "--dry-run")
    assert answer["joules"] == {"made package": 4 * 5.0}


def test_what_a_run_would_refuse_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "both.toml", "--dry-run", "--set", "fleet.clients=2001"]) == 2
    assert "fleet.clients=2001" in capsys.readouterr().err
    experiment = sweep.expand(document.parse(BOTH_NETWORKS, "both.toml"))
    happening: Any = events(experiment, folder / "runs/both")
    for _ in range(6):
        next(happening)
    happening.close()
    assert main(["run", "both.toml", "--dry-run", "--set", "rounds=1"]) == 2
    assert "has 2 rounds, and is to have 1" in capsys.readouterr().err


@pytest.mark.usefixtures("folder")
def test_an_answer_is_json_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "both.toml", "--dry-run", "--json", "-q"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["name"] == "both"
    assert err == ""
