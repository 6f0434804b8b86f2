"""What a command line says where it was mistyped, how it ends, and what `--quiet` leaves."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fedspike.cli import exit_codes, main
from running import BOTH_NETWORKS

ROOT = Path(__file__).parents[1]
FEDSPIKE = [sys.executable, "-m", "fedspike"]


@pytest.mark.parametrize(
    ("words", "passed", "fix"),
    [
        ("rnu study", "fedspike rnu: no such command", "did you mean run?"),
        ("fleet staus x", "fedspike fleet staus: no such command", "did you mean status?"),
        ("energy profls", "fedspike energy profls: no such command", "did you mean profiles?"),
        ("deal quickstart", "fedspike deal: no such command", "did you mean fedspike data deal?"),
        ("shwo", "fedspike shwo: no such command", "did you mean fedspike data show?"),
        ("xyzzy", "fedspike xyzzy: no such command", "use one of: "),
        (
            "run study --thread 2",
            "fedspike run: --thread is not known",
            "did you mean --threads or --track?",
        ),
        (
            "run --thread 2 study",
            "fedspike run: --thread is not known",
            "did you mean --threads or --track?",
        ),
        (
            "run --thread 2",
            "fedspike run: --thread is not known",
            "did you mean --threads or --track?",
        ),
        ("run study -x", "fedspike run: -x is not known", "leave it out, or see "),
        ("--quite doctor", "fedspike doctor: --quite is not known", "did you mean --quiet?"),
        ("--versoin", "fedspike: --versoin is not known", "did you mean --version?"),
        ("run study --threads", "fedspike run: nothing after --threads", "write its value, as "),
        ("run study --json=3", "fedspike run: --json=3", "write --json"),
        ("fleet init a study --nodes four", "fedspike fleet init: --nodes four", "write it in"),
        ("", "fedspike: COMMAND is missing", "see fedspike --help"),
        ("data", "fedspike data: ACTION is missing", "see fedspike data --help"),
        ("energy", "fedspike energy: RUN|profiles is missing", "see fedspike energy --help"),
        ("run", "fedspike run: PRESET|FILE.toml is missing", "see fedspike run --help"),
        ("run stdy", "unknown preset stdy", "did you mean study or stdp?"),
        ("run mine", "unknown preset mine", "did you mean mine.toml?"),
        ("run min.toml", "min.toml: cannot be read", "did you mean mine.toml?"),
        ("run quickstrt.toml", "quickstrt.toml: cannot be read", "did you mean quickstart?"),
    ],
)
def test_what_was_mistyped_is_answered_with_the_nearest(
    words: str,
    passed: str,
    fix: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").touch()
    assert main(words.split()) == exit_codes.WRONG_INPUT
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"fedspike: {passed}")
    assert f"\n  fix: {fix}" in err
    assert "\n  expected: " in err


@pytest.mark.thorough
def test_all_that_is_quiet_is_silent(tmp_path: Path) -> None:
    (tmp_path / "both.toml").write_text(BOTH_NETWORKS)
    words = ["run", "both.toml", "--set", "rounds=1", "--threads", "1", "--json"]
    answer = _process(tmp_path, "--quiet", *words)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert len(json.loads(answer.stdout)["runs"]) == 2
    shared = _process(tmp_path, *words, "-q", "--workers", "2", "--output", "runs/shared")
    assert (shared.returncode, shared.stderr) == (0, "")
    (tmp_path / "runs/both/summary.json").write_text("{")
    wrong = _process(tmp_path, "report", "runs/both", "--quiet")
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("fedspike: runs/both/summary.json: ")


def test_a_quiet_defect_keeps_its_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> None:
        sys.stderr.write("a remark\n")
        raise ZeroDivisionError

    heard = sys.stderr
    monkeypatch.setattr("fedspike.experiment.sweep.presets", broken)
    with pytest.raises(ZeroDivisionError):
        main(["presets", "-q"])
    assert sys.stderr is heard
    assert capsys.readouterr().err == ""


def test_every_exit_code_is_documented_and_no_other() -> None:
    text = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
    documented = [int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)]
    constants = [value for name, value in vars(exit_codes).items() if name.isupper()]
    by_signals = [exit_codes.stopped_by(number) for number in (2, 15)]
    assert documented == sorted({*map(int, constants), *by_signals})


def test_exit_codes_of_real_processes(tmp_path: Path) -> None:
    """130, 141 and 143 are seen in test_cli.py."""
    assert _process(tmp_path, "presets").returncode == exit_codes.DONE
    assert _process(tmp_path, "presets", "--show", "studdy").returncode == exit_codes.WRONG_INPUT
    defect = (
        "import sys; from fedspike.cli import commands, main\n"
        "commands.presets = lambda options: 1 / 0\n"
        "sys.exit(main(['presets', '--quiet']))"
    )
    ended = subprocess.run([sys.executable, "-c", defect], capture_output=True, text=True)
    assert ended.returncode == exit_codes.OUR_DEFECT
    assert ended.stderr.endswith("ZeroDivisionError: division by zero\n")


def _process(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*FEDSPIKE, *words], cwd=folder, capture_output=True, text=True)
