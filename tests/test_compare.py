"""`fedspike compare` and `fedspike report` over several folders."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

import report_example as example
from fedspike.cli import main
from fedspike.energy.pricing import Hardware
from fedspike.errors import InputError
from fedspike.records import joined
from fedspike.report.analysis.results import Results
from fedspike.report.writing import in_short, named, results_of
from running import asked

Told = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Three algorithms with ten and with three classes; one of them in a folder of its own."""
    root, runs = tmp_path_factory.mktemp("runs"), example.algorithms()
    own = [run for run in runs if run["algorithm"] == "fedprox"]
    others = [run for run in runs if run["algorithm"] != "fedprox"]
    return example.write(root / "prox", own), example.write(root / "others", others)


def paths(folders: tuple[Path, Path]) -> list[str]:
    return [str(folder) for folder in folders]


def test_two_folders_are_as_good_as_one(folders: tuple[Path, Path], tmp_path: Path) -> None:
    together = example.results(tmp_path / "all", example.algorithms()).side_by_side
    apart = Results(*joined.read(folders)).side_by_side
    assert together is not None
    assert apart is not None
    assert {*together.columns} == {*apart.columns} == {"fedavg", "fedprox", "fedadam"}
    assert apart.baseline == "fedavg"
    for one, other in zip(together.rows, apart.rows, strict=True):
        assert one.accuracy == other.accuracy
        assert one.differences == other.differences


def test_in_the_terminal_and_as_tables(folders: tuple[Path, Path], capsys: Told) -> None:
    assert main(["compare", *paths(folders)]) == 0
    told = capsys.readouterr().out
    assert told.startswith(
        "10 classes: no algorithm is significantly better than fedavg; the best other"
    )
    assert "Table A1. Test accuracy of each algorithm after the last round" in told
    assert "(+2.9 ± 1.1, p = 0.062)" in told
    assert "Table 1" not in told  # it would say the same again
    assert main(["compare", *paths(folders), "--format", "latex"]) == 0
    latex = capsys.readouterr().out
    assert r"\label{tab:methods}" in latex
    assert latex.count(r"\toprule") == latex.count(r"\bottomrule") == latex.count(r"\midrule") > 1
    assert main(["compare", *paths(folders), "--format", "csv"]) == 0
    first = capsys.readouterr().out.split("\n\n")[0]
    assert next(csv.reader(first.splitlines()))[0] == "setting"
    assert main(["compare", *paths(folders), "--format", "markdown"]) == 0
    assert "| setting |" in capsys.readouterr().out


def test_a_narrow_terminal_has_room(
    folders: tuple[Path, Path], capsys: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All is there that a wide one has: what has no room beside the names stands below them."""
    assert main(["compare", *paths(folders)]) == 0
    wide = capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", "60")
    assert main(["compare", *paths(folders)]) == 0
    narrow = capsys.readouterr().out
    assert max(map(len, wide.splitlines())) > 60 >= max(map(len, narrow.splitlines()))
    assert {*wide.split()} <= {*narrow.split()}


def test_what_a_star_means_is_said(tmp_path: Path, capsys: Told) -> None:
    runs = [example.run("ann", 10, final_percent=70.0), example.run("snn", 10, final_percent=80.0)]
    assert main(["compare", str(example.write(tmp_path / "runs", runs))]) == 0
    told = capsys.readouterr().out
    assert "80.0*" in told
    assert "*: significantly more accurate" in told
    assert "Bold" not in told


def test_a_page_has_the_name_of_its_folder(folders: tuple[Path, Path]) -> None:
    """Two folders of one experiment's name are told apart."""
    experiment, _ = joined.read([folders[0]])
    assert named(experiment, folders[0]).name == f"prox ({experiment.name})"
    assert named(experiment, folders[0].parent / experiment.name) == experiment


def test_a_baseline_of_ones_choice(folders: tuple[Path, Path], capsys: Told) -> None:
    told = asked(capsys, "compare", *folders, "--baseline", "fedadam")
    tests = told["tables"]["tableA2-methods-tests"]
    assert {row["algorithm"] for row in tests} == {"fedavg", "fedprox"}
    against = {(row["setting"], row["algorithm"]): row["points"]["mean"] for row in tests}
    plain = asked(capsys, "compare", *folders)["tables"]["tableA2-methods-tests"]
    turned = {(row["setting"], row["algorithm"]): row["points"]["mean"] for row in plain}
    for setting in ("10 classes", "3 classes"):
        assert against[setting, "fedavg"] == pytest.approx(-turned[setting, "fedadam"])


def test_a_common_page(folders: tuple[Path, Path], tmp_path: Path, capsys: Told) -> None:
    output = tmp_path / "both"
    told = asked(capsys, "report", *folders, "--output", output)
    assert told == {"report": str(output / "report.html")}
    assert "fedprox" in (output / "report.html").read_text()
    assert (output / "tables" / "tableA1-methods.tex").exists()
    assert not (folders[0] / "report.html").exists()


def test_a_run_that_is_there_twice_is_taken_once(tmp_path: Path) -> None:
    run: dict[str, Any] = example.run("ann", rounds=2)
    one, two = example.write(tmp_path / "a", [run]), example.write(tmp_path / "b", [run])
    experiment, homes = joined.read([one, two])
    assert [run.name for run in experiment.runs] == [run["name"]]
    assert homes == {run["name"]: one / run["name"]}
    said = in_short(results_of([one, two], "", Hardware()))
    assert said[-1] == "1 run is the same in several of these folders, and counted once."


def test_runs_of_one_name_get_their_folders_names(tmp_path: Path) -> None:
    first = example.run("ann", rounds=2)
    longer = example.run("ann", rounds=3, settings_sha256="another")
    folders = [example.write(tmp_path / "a", [first]), example.write(tmp_path / "b", [longer])]
    experiment, homes = joined.read(folders)
    assert [run.name for run in experiment.runs] == [first["name"], f"b-{first['name']}"]
    assert homes[f"b-{first['name']}"] == folders[1] / first["name"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["compare", "{0}", "{0}"], "is named twice"),
        (["compare", "{0}", "{1}", "--baseline", "fedprx"], "did you mean fedprox?"),
        (["compare", "{0}", "--format", "latx"], "did you mean latex?"),
        (["compare", "{0}x"], "did you mean"),
        (["report", "{0}", "{1}"], "write for example --output runs/compared"),
    ],
)
def test_mistakes_are_said(
    folders: tuple[Path, Path], arguments: list[str], words: str, capsys: Told
) -> None:
    assert main([argument.format(*folders) for argument in arguments]) == 2
    assert words in capsys.readouterr().err


def test_another_model_of_the_same_run_is_refused(tmp_path: Path) -> None:
    run: dict[str, Any] = example.run("ann", rounds=2)
    one = example.write(tmp_path / "a", [run])
    two = example.write(tmp_path / "b", [example.run("ann", rounds=2, model_sha256="0" * 64)])
    with pytest.raises(InputError, match="and another model"):
        joined.read([one, two])
    assert json.loads((one / "summary.json").read_text())["runs"]
