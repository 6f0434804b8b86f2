"""Where the libraries that draw are not installed: all is trained and compared, and nothing is lost."""

import json
import sys
from pathlib import Path

import pytest

import fedspike as fs
from fedspike.cli import main
from fedspike.errors import InputError
from fedspike.report.rendering import libraries
from running import BOTH_NETWORKS, finish, python

INSTALL = "pip install 'fedspike[report]'"
ABSENT = "import sys; sys.modules.update(dict.fromkeys(('altair', 'vl_convert', 'jinja2')))\n"
COMMANDS = """\
from fedspike.cli import main
for words in {commands!r}:
    print(f'{{words[0]}} ended with', main(words))
import fedspike as fs
run = fs.load('out/snn-iid-seed0')
assert '<svg' not in run._repr_html_() and 'accuracy' in run._repr_html_()
"""


def test_a_training_is_finished_and_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In an interpreter in which nothing has been imported yet."""
    monkeypatch.chdir(tmp_path)
    Path("both.toml").write_text(BOTH_NETWORKS)
    commands = [
        "run both.toml --output out",
        "compare out",
        "energy out",
        "ls .",
        "watch out --once",
    ]
    ended = python(ABSENT + COMMANDS.format(commands=[words.split() for words in commands]))
    assert ended.returncode == 0, ended.stderr
    for words in commands:
        assert f"{words.split()[0]} ended with 0" in ended.stdout
    later = f"{INSTALL}, then fedspike report out\n"
    before, _, after = ended.stderr.partition("ann-iid-seed0")
    assert later in before
    answer, _, rest = after.partition(later)
    assert "Accuracy: " in answer, ended.stderr
    assert not rest
    assert not Path("out/report.html").exists()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finish(BOTH_NETWORKS, tmp_path_factory.mktemp("undrawn"))


@pytest.mark.parametrize("missing", libraries.NAMES)
def test_what_cannot_be_drawn_names_the_extra(
    missing: str,
    finished: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    assert main(["report", str(finished)]) == 2
    told = capsys.readouterr().err
    assert f"without {missing}\n" in told
    assert told.endswith(f"fix: {INSTALL}\n")
    assert not (finished / "report.html").exists()
    run = fs.load(next(finished.glob("snn-*")))
    assert "<svg" not in run._repr_html_()
    if missing == "altair":
        with pytest.raises(InputError, match="without altair"):
            run.plot()
    if missing == "jinja2":
        assert main(["watch", str(finished), "--web"]) == 2
        assert capsys.readouterr().err.endswith(f"fix: {INSTALL}\n")


def test_with_the_libraries_nothing_is_said_of_them(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "<svg" in fs.load(next(finished.glob("snn-*")))._repr_html_()
    assert main(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["extra_report"] == "altair is here"
