"""`fedspike new` writes a file that `fedspike run` takes, from answers of every kind; presets are copied."""

import subprocess
import sys
from pathlib import Path

import pytest

from fedspike.cli import main
from fedspike.cli.new import QUESTIONS
from fedspike.experiment import sweep
from fedspike.experiment.draft import Answers
from fedspike.experiment.run import load
from fedspike.records import reader

NEW = [sys.executable, "-m", "fedspike", "new"]


@pytest.mark.thorough
def test_answers_over_a_pipe_make_a_file_that_is_trained(tmp_path: Path) -> None:
    answers = "fashion-mnist-sample\n4\n3\nsnn\n1\n"
    made = subprocess.run(
        [*NEW, "first try.toml"], cwd=tmp_path, input=answers, capture_output=True, text=True
    )
    assert (made.returncode, made.stdout) == (0, "first try.toml\n")
    assert "fedspike run 'first try.toml'" in made.stderr
    for question in QUESTIONS.values():
        assert question in made.stderr
    words = ["-m", "fedspike", "run", "first try.toml", "--threads", "1", "-q"]
    run = subprocess.run([sys.executable, *words], cwd=tmp_path, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
    (summary,) = reader.read(tmp_path / "runs/first-try").runs
    assert (summary.name, summary.rounds) == ("snn-classes3-seed0", 1)


@pytest.mark.thorough
def test_without_answers_there_are_usual_ones(tmp_path: Path) -> None:
    made = subprocess.run(
        NEW, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr
    assert f"{QUESTIONS['clients']} [{Answers().clients}]: 10\n" in made.stderr
    experiment = sweep.read(str(tmp_path / "my.toml"))
    assert [run.name for run in experiment.runs] == ["ann-iid-seed0", "snn-iid-seed0"]
    before = (tmp_path / "my.toml").read_bytes()
    again = subprocess.run(
        [*NEW, "--rounds", "3"],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert again.returncode == 2
    assert again.stderr.startswith("fedspike: my.toml is there already\n")
    assert (tmp_path / "my.toml").read_bytes() == before


@pytest.mark.parametrize("network", ["both", "snn", "ann"])
@pytest.mark.parametrize("skew", ["even", "3", "0.3"])
@pytest.mark.parametrize("data", ["fashion-mnist", "signs", "gtsrb", 'a "b".npz'])
def test_every_answer_makes_a_file_that_can_be_read(
    data: str, skew: str, network: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "x.toml"
    given = {"data": data, "clients": "7", "skew": skew, "network": network, "rounds": "9"}
    options = [word for name, answer in given.items() for word in (f"--{name}", answer)]
    assert main(["new", str(file), *options]) == 0
    assert capsys.readouterr().out == f"{file}\n"
    experiment = sweep.read(str(file))
    assert len(experiment.runs) == (2 if network == "both" else 1)
    assert {(run.plan.rounds, run.plan.fleet.clients) for run in experiment.runs} == {(9, 7)}


@pytest.mark.parametrize(
    ("options", "passed"),
    [
        (["--data", "fashion-mnst"], "--data fashion-mnst"),
        (["--clients", "0"], "--clients 0"),
        (["--skew", "odd"], "--skew odd"),
        (["--network", "cnn"], "--network cnn"),
        (["--rounds", "many"], "--rounds many"),
    ],
)
def test_a_wrong_answer_writes_nothing(
    options: list[str], passed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["new", str(tmp_path / "x.toml"), "-q", *options]) == 2
    assert capsys.readouterr().err.startswith(f"fedspike: {passed}\n")
    assert list(tmp_path.iterdir()) == []


def test_a_copied_preset_can_be_changed_and_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["presets", "--show", "study"]) == 0
    copy = capsys.readouterr().out
    assert "rounds = 100" in copy
    Path("my.toml").write_text(copy.replace("rounds = 100", "rounds = 2"))
    experiment = sweep.read("my.toml", ["data.kind=fashion-mnist-sample"], "0,1")
    assert {run.plan.rounds for run in experiment.runs} == {2}
    assert load(experiment, lambda _: None).classes == 10
