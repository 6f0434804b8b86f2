"""The command line, mostly as a user meets it: in a process of its own."""

import json
import os
import resource
import shlex
import signal
import subprocess
import time
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

import report_example as example
from fedspike.cli import commands, main, progress
from fedspike.cli.parser import parser
from fedspike.experiment import sweep
from fedspike.layers.activity import Activity
from fedspike.records.events import Finished, Skipped, Started, Trained
from fedspike.records.schema import Rejected, RoundRecord
from fedspike.records.skew import skew
from running import FEDSPIKE, asked, python

TINY = """\
name = "tiny"
rounds = 2
[data]
kind = "fashion-mnist-sample"
[fleet]
clients = 3
samples_per_round = 20
[architecture]
hidden = [6]
[snn]
time_steps = 3
[learner]
batch_size = 10
[sweep]
network = ["ann", "snn"]
"""


def fedspike(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*FEDSPIKE, *arguments], capture_output=True, text=True, cwd=folder, env=calm(), timeout=100
    )


def calm() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    (tmp_path / "tiny.toml").write_text(TINY)
    return tmp_path


def test_help_is_there_at_once_and_without_torch() -> None:
    code = (
        "import sys; from fedspike.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "heavy = {'torch', 'numpy', 'altair', 'rich', 'msgspec'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    assert "doctor" in python(code).stdout
    # About a tenth of a second; a bare interpreter says how quick this machine is now.
    assert _least_seconds(code) < 9 * _least_seconds("pass")


def _least_seconds(code: str) -> float:
    """Of the processor, since other tests run beside this one; the least of five."""
    seconds = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert python(code).returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(seconds)


def test_version() -> None:
    answer = fedspike("--version")
    assert (answer.returncode, answer.stdout) == (0, "fedspike 0.1.0\n")


def test_every_command_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (
        "run",
        "tune",
        "report",
        "data check",
        "data show",
        "data fetch",
        "data deal",
        "data make",
        "presets",
        "doctor",
    ):
        with pytest.raises(SystemExit) as end:
            main([*words.split(), "--help"])
        assert end.value.code == 0
        assert "--json" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("run studdy", ["unknown preset studdy", "did you mean study?"]),
        ("run missing.toml", ["missing.toml", "No such file"]),
        ("run study --set rounds=0", ["--set rounds=0", "a whole number >= 1"]),
        ("run study --set snn.time_steps=0", ["--set snn.time_steps=0"]),
        ("run study --set nonsense", ["--set nonsense", "KEY=VALUE"]),
        ("run study --seeds 0,a", ["--seeds 0,a", "--seeds 0,1,2"]),
        ("run study --threads 0", ["--threads 0", "from 1 to"]),
        ("run study --threads many", ["--threads many"]),
        ("run study --device abacus", ["--device abacus", "one of: cpu, cuda, mps\n"]),
        ("run study --device cuda:99", ["--device cuda:99", "torch says"]),
        ("run quickstart --data-dir nowhere", ["--data-dir nowhere"]),
        ("run quickstart --output {file}/runs", ["{file}/runs", "cannot be written"]),
        ("run quickstart --set partition.classes=11", ["--set partition.classes=11", "at most"]),
        ("run quickstart --set fleet.clients=2001", ["--set fleet.clients=2001"]),
        ("run [red]x.toml", ["[red]x.toml"]),
        ("run {bad}", ["{bad}, line 2: unknown key round\n", "did you mean rounds?"]),
        ("report {file}", ["{file}"]),
        ("report nowhere", ["nowhere"]),
        ("data check nowhere.npz", ["nowhere.npz"]),
        ("data check fashion-mnst", ["fashion-mnst", "did you mean"]),
        ("data show {file}", ["{file}"]),
        ("data check x.npz --set data.rnge=1", ["--set data.rnge=1", "did you mean range?"]),
        ("data check x.npz --set data.range=1", ["--set data.range=1: data.range = 1"]),
        (
            "data check x.npz --set data.axes=sample",
            ["--set data.axes=sample", "the word sample, and"],
        ),
        ("data deal studdy", ["unknown preset studdy", "did you mean study?"]),
        (
            "data deal quickstart --set partition.classes=11",
            ["--set partition.classes=11", "at most"],
        ),
        ("data check x.npz --set axes=feature", ["--set axes=feature", "a key of [data]"]),
        ("presets --show studdy", ["studdy", "did you mean study?"]),
    ],
)
def test_wrong_input_ends_with_2_and_a_message_alone(
    arguments: str,
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file, bad = tmp_path / "file", tmp_path / "bad.toml"
    file.touch()
    bad.write_text('name = "x"\nround = 3\n')
    monkeypatch.chdir(tmp_path)
    assert main(arguments.format(file=file, bad=bad).split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert [word for word in words if word.format(file=file, bad=bad) not in err] == []
    assert "Traceback" not in err
    assert "expected: " in err
    assert "fix: " in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.toml", "file"]


def test_wrong_input_in_a_real_process(tmp_path: Path) -> None:
    answer = fedspike("run", "study", "--set", "rounds=0", folder=tmp_path)
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert answer.stderr.startswith("fedspike: --set rounds=0: rounds = 0\n")
    assert "Traceback" not in answer.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> dict[str, Path]:
        raise ZeroDivisionError

    monkeypatch.setattr(sweep, "presets", broken)
    with pytest.raises(ZeroDivisionError):
        main(["presets"])


def test_presets_are_listed_and_can_be_copied(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["presets"]) == 0
    assert "study        The founding study: ten devices" in capsys.readouterr().out
    assert main(["presets", "--json"]) == 0
    assert json.loads(capsys.readouterr().out).keys() >= {"quickstart", "study"}
    for name in ("quickstart", "study"):
        assert main(["presets", "--show", name]) == 0
        copy = tmp_path / "my.toml"
        copy.write_text(capsys.readouterr().out)
        copied, shipped = sweep.read(str(copy)), sweep.read(name)
        assert copied.name == f"my-{name}"  # not into the folder of the preset's own runs
        alike = zip(copied.runs, shipped.runs, strict=True)
        assert all(mine.settings_sha256 == theirs.settings_sha256 for mine, theirs in alike)


def test_a_data_set_is_checked_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", "fashion-mnist-sample"]) == 0
    out, _ = capsys.readouterr()
    assert "is sound: 2000 training and 500 test samples of 28 x 28, 10 classes" in out
    assert main(["data", "show", "fashion-mnist-sample"]) == 0
    assert (
        "    9        200         50  Ankle boot\n  all       2000        500\n"
        in capsys.readouterr().out
    )
    for action in ("check", "show", "fetch"):
        assert main(["data", action, "fashion-mnist-sample", "--json"]) == 0
        facts = json.loads(capsys.readouterr().out)
        assert facts["train"]["samples_per_class"] == [200] * 10


def test_who_would_hold_what_is_said_before_the_training(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["data", "deal", "quickstart", "--seeds", "0,1"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:5]]
    assert [row[:3] for row in rows] == [
        [name, seed, "10"] for name in ("classes10", "classes3") for seed in "01"
    ]
    assert {tuple(row[3:]) for row in rows if row[0] == "classes3"} == {
        ("200", "1.58", "of", "3.32", "0.70")
    }
    answer: Any = asked(capsys, "data", "deal", "quickstart", "--set", "partition.kind=iid")
    [iid] = answer
    assert np.array(iid["class_counts"]).sum(0).tolist() == [200] * 10
    assert iid["skew"] == msgspec.to_builtins(skew(iid["class_counts"]))


def test_the_doctor_answers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found.keys() >= {"python", "torch", "engine", "gpu", "fashion_mnist", "cache_folder"}
    assert found.keys() >= {"energy_powercap", "energy_zeus", "extra_reference"}
    assert main(["doctor"]) == 0
    assert f"torch            {found['torch']}" in capsys.readouterr().out


def test_the_doctor_finds_data_and_a_closed_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fedspike.cli import doctor
    from fedspike.data import fashion_mnist

    monkeypatch.setenv("FEDSPIKE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fashion_mnist, "system_data_folders", lambda: [tmp_path / "share"])
    assert doctor.examine()["fashion_mnist"].startswith("not on this machine")
    assert doctor.examine()["cache_folder"] == f"{tmp_path / 'cache'} (can be written to)"
    (tmp_path / "share").mkdir()
    for name in fashion_mnist.SHA256:
        (tmp_path / "share" / f"{name}.gz").touch()
    assert doctor.examine()["fashion_mnist"] == f"in {tmp_path / 'share'}"
    (tmp_path / "cache").touch()  # a file where the folder should be
    assert doctor.examine()["cache_folder"].endswith("(can NOT be written to)")


@pytest.mark.thorough
def test_a_run_from_start_to_report(tiny: Path) -> None:
    answer = fedspike("run", "tiny.toml", "--seeds", "0", "--json", "--threads", "1", folder=tiny)
    assert answer.returncode == 0, answer.stderr
    summary = json.loads(answer.stdout)
    assert summary == json.loads((tiny / "runs" / "tiny" / "summary.json").read_bytes())
    assert summary["command"] == "fedspike run tiny.toml --seeds 0"
    assert summary["environment"]["threads"] == 1
    for run in summary["runs"]:
        assert f"{run['name']} round 1: accuracy" in answer.stderr
        assert (
            f"{run['name']}: accuracy {run['final_accuracy']:.1%} after 2 rounds" in answer.stderr
        )
    assert "firing hidden " in answer.stderr
    assert "left | " in answer.stderr
    page = tiny / "runs" / "tiny" / "report.html"
    assert page.exists()
    page.unlink()
    answer = fedspike("report", "runs/tiny", "--json", folder=tiny)
    assert json.loads(answer.stdout) == {"report": "runs/tiny/report.html"}
    assert page.exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_it_says_how_to_go_on_and_that_works(
    number: signal.Signals, code: int, tiny: Path
) -> None:
    words = ["run", "tiny.toml", "--set", "rounds=400", "--set", "network=snn", "--output", "a b"]
    process = subprocess.Popen(
        [*FEDSPIKE, *words],
        cwd=tiny,
        env=calm(),
        text=True,
        stderr=subprocess.PIPE,
        # A shell's background jobs ignore SIGINT, and so would what they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    checkpoints = tiny / "a b" / "snn-iid-seed0" / "checkpoint"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not any(checkpoints.glob("round-*")):
        time.sleep(0.01)
    process.send_signal(number)
    try:
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == code
    assert "Traceback" not in err
    assert "holds every finished round" in err
    command = next(line.strip() for line in err.splitlines() if line.startswith("  fedspike"))
    assert shlex.split(command) == ["fedspike", *words]
    # What the printed command does is shown without its 400 rounds: it finds the checkpoint.
    events = start(parser().parse_args(shlex.split(command)[1:]), tiny)
    assert isinstance(events[0], Started)
    assert events[0].rounds_done >= 1
    assert isinstance(events[1], Trained)
    assert events[1].record.round == events[0].rounds_done + 1


def start(options: Any, folder: Path) -> list[Any]:
    """The first two things that happen when these options are run."""
    from fedspike.experiment.run import load, perform

    experiment = sweep.read(str(folder / options.experiment), options.set)
    dataset = load(experiment, commands.say)
    happening = perform(experiment, dataset, folder / options.output, command="")
    return [event for event, _ in zip(happening, range(2), strict=False)]


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"{shlex.join(FEDSPIKE)} presets --show study | true; echo ${{PIPESTATUS[0]}}"
    answer = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert answer.stdout in ("141\n", "0\n")  # 0 if all was written before the reader went
    assert answer.stderr == ""


def test_progress_shows_what_users_wrote_as_it_is(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = sweep.read(str(tiny / "tiny.toml"))
    ann, snn = experiment.runs
    nan = Rejected(sender=2, reason="not finite", detail="update [red]w[/red] has nan")
    record = RoundRecord(
        round=1,
        accuracy=0.5,
        training_loss=None,
        clients=[2],
        samples=10,
        spikes={},
        operations={},
        firing_rates={"hidden": 0.125, "output": 0.0},
        activity={},
        tested=Activity(1, 0, {}),
        uplink_bytes=0,
        downlink_bytes=0,
        seconds={"training": 1.0, "evaluation": 0.5},
        rejected=[nan],
        missing=[0, 1],
        at_work=[],
        staleness={},
        skipped=True,
        nodes=[],
    )
    (plain,) = example.summaries([example.run("snn", rounds=1)])
    before = replace(plain, final_accuracy=0.25, accuracy=[0.25])
    end = replace(plain, final_accuracy=0.5, accuracy=[0.5], seconds=200.0)
    with progress.Progress(sweep.time_left(experiment.runs)) as shown:
        shown.say("reading [red]own[/red].npz")
        shown.show(Skipped(ann.name, before))
        shown.show(Started(snn.name, 0))
        shown.show(Trained(snn.name, record))
        shown.show(Trained(snn.name, replace(record, round=2)))
        shown.show(Finished(snn.name, end))
        refused = replace(end, skipped_rounds=3, rejected={"not finite": 8})
        shown.show(Finished(snn.name, refused))
    err = capsys.readouterr().err
    assert "reading [red]own[/red].npz\n" in err
    assert "ann-iid-seed0: finished before, accuracy 25.0%\n" in err
    assert "3/4 rounds, " in err
    words = "accuracy 50.0%, loss not finite, firing hidden 12.5%, output 0.0%, 1.50 s"
    assert f"round 1: {words}\n" in err
    assert err.count("layer output is dead: 0.00% of its neurons spike at a step") == 1
    assert "layer hidden is" not in err
    assert (
        err.count("rejected client 2: not finite (update [red]w[/red] has nan). Usual fix: ") == 1
    )
    assert err.count("skipped, because too few clients were accepted (1 rejected, 2 missing)") == 1
    assert "snn-iid-seed0: accuracy 50.0% after 1 rounds, 3 min 20 s\n" in err
    assert "after 1 rounds, of which 3 were skipped, 8 replies rejected, 3 min 20 s\n" in err


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (59.7, "1 min 0 s"), (200.0, "3 min 20 s"), (3900.0, "1 h 5 min")],
)
def test_times_are_readable(seconds: float, text: str) -> None:
    assert progress.clock(seconds) == text


def test_the_printed_preset_is_toml() -> None:
    assert tomllib.loads(sweep.presets()["study"].read_text())["rounds"] == 100
