"""The report against figures worked out by hand, hostile names, and directories in every state."""

import csv
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import report_example as example
from fedspike import report
from fedspike.report import charts, figures
from fedspike.report.drawing import LIGHT
from running import python


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = example.write(tmp_path_factory.mktemp("runs") / "study", example.study())
    assert report.write(directory) == directory / "report.html"
    return directory


def rows(directory: Path, table: str) -> dict[str, dict[str, str]]:
    with (directory / "tables" / f"{table}.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    return {next(iter(line.values())): line for line in lines}


def words(directory: Path) -> str:
    """The page as it is read, without tags and line breaks."""

    class Text(HTMLParser):
        parts: list[str]

        def handle_data(self, data: str) -> None:
            self.parts.append(data)

    parser = Text()
    parser.parts = []
    parser.feed((directory / "report.html").read_text("utf-8"))
    return " ".join(" ".join(parser.parts).split())


def small(directory: Path, *runs: dict[str, Any], **changes: Any) -> Path:
    """A report on few short runs."""
    report.write(example.write(directory / "small", list(runs), **changes))
    return directory / "small"


def test_the_report_never_imports_torch(tmp_path: Path) -> None:
    directory = example.write(tmp_path / "runs", [example.run("ann", 3, rounds=5)])
    code = (
        "import sys, pathlib; from fedspike import report\n"
        f"report.write(pathlib.Path({str(directory)!r}))\nprint('torch' in sys.modules)"
    )
    run = python(code)
    assert (run.stdout, run.returncode) == ("False\n", 0), run.stderr


def test_table_1_is_what_the_runs_and_the_study_say(study: Path) -> None:
    table = rows(study, "table1-accuracy")
    assert list(table) == ["10 classes", "7 classes", "5 classes", "4 classes", "3 classes"]
    five = {key: float(value) for key, value in table["5 classes"].items() if key != "setting"}
    assert five == pytest.approx(
        {
            "ann_last_round_percent": 84.7,
            "ann_mean_last_10_percent": 84.5,
            "ann_printed_percent": 83,
            "ann_difference_points": 1.7,
            "snn_last_round_percent": 82.7,
            "snn_mean_last_10_percent": 82.5,
            "snn_printed_percent": 80,
            "snn_difference_points": 2.7,
            "gap_points": -2.0,
            "gap_printed_points": -3,
        }
    )
    printed = {
        name: (line["ann_printed_percent"], line["snn_printed_percent"], line["gap_printed_points"])
        for name, line in table.items()
    }
    assert printed == {
        "10 classes": ("86", "86", "0"),
        "7 classes": ("85", "84", "-1"),
        "5 classes": ("83", "80", "-3"),
        "4 classes": ("", "", ""),
        "3 classes": ("82", "76", "-6"),
    }
    assert "the study’s text says 4 where its tables say 5" in words(study)


def test_table_3_is_what_the_runs_and_the_study_say(study: Path) -> None:
    table = rows(study, "table3-energy")
    seven = {key: float(value) for key, value in table["7 classes"].items() if key != "setting"}
    assert seven == pytest.approx(
        {
            "ann_energy_mj_per_round": 4.9228,  # 79,400 x 20,000 x 3.1 pJ
            "ann_printed_mj_per_round": 4.9228,
            "ann_difference_percent": 0,
            "snn_energy_mj_per_round": 2.292,  # 1,146,000 x 20,000 x 0.1 pJ
            "snn_printed_mj_per_round": 2.3411,
            "snn_difference_percent": 100 * (2.292 / 2.3411 - 1),
            "ratio_percent": 100 * 2.292 / 4.9228,
            "ratio_printed_percent": 47.55,
            "ratio_difference_points": 100 * 2.292 / 4.9228 - 47.55,
        },
        rel=1e-9,
        abs=1e-8,  # the file has ten digits
    )
    assert table["4 classes"]["snn_printed_mj_per_round"] == ""
    text = words(study)
    assert "its numbers are microjoule" in text
    assert "the ANN’s round costs 5.0816 mJ, and its 47.55 % become 46.06 %" in text


def test_the_verdict_says_what_the_numbers_say(study: Path) -> None:
    text = words(study).replace("\xa0", " ")
    assert (
        "With 10 classes per client the spiking network is level with the conventional one, "
        "within chance (86.6 % against 86.8 %); with 3 classes per client it is 5.3 points behind "
        "(76.1 % against 81.4 %). Its forward pass is modelled at 46.6 % of the ANN’s energy."
    ) in text
    # 86.8 85.2(+1.1) ...: only the ANN at 3 classes, 81.4 against 82, is below its printed figure.
    assert "Of the 8 accuracies here that the founding study prints too, 7 reach or exceed" in text
    assert "the furthest below is the ANN with 3 classes per client, by 0.6 points" in text
    assert "One seed: these figures carry no interval" in text
    # At 3 classes: 1.96 sqrt((0.814 x 0.186 + 0.761 x 0.239) / 10,000).
    assert "On 10,000 test images two equally good networks come out up to 1.1 points" in text
    assert "it does 14.4 accumulates" in text  # 1,146,000 / 79,400


def test_several_seeds_have_students_interval(tmp_path: Path) -> None:
    finals = {"ann": (80.0, 81.0, 82.0), "snn": (78.0, 77.0, 79.0)}
    runs = [
        example.run(network, 3, seed, rounds=5, final_percent=final)
        for network, values in finals.items()
        for seed, final in enumerate(values)
    ]
    directory = small(tmp_path, *runs)
    row = rows(directory, "table1-accuracy")["3 classes"]
    # t(0.975, 2) = 4.303; the standard deviations of 80, 81, 82 and of the gaps -2, -4, -3 are 1.
    half = 4.303 / math.sqrt(3)
    assert float(row["ann_last_round_percent"]) == pytest.approx(81)
    assert float(row["ann_last_round_percent_half_width_95"]) == pytest.approx(half)
    assert float(row["gap_points"]) == pytest.approx(-3)
    assert float(row["gap_points_half_width_95"]) == pytest.approx(half)
    text = words(directory)
    assert "it is 3.0 ± 2.5 points behind" in text or "is 3.0 ± 2.5 points behind" in text
    assert "Mean over 3 seeds" in text
    assert "band: from the lowest seed to the highest" in text


def test_a_gap_within_its_interval_is_level(tmp_path: Path) -> None:
    runs = [example.run("ann", 3, seed, rounds=5, final_percent=80 + seed) for seed in (0, 1)]
    runs += [example.run("snn", 3, seed, rounds=5, final_percent=80.5) for seed in (0, 1)]
    assert "level with the conventional one as far as 2 seeds can tell" in words(
        small(tmp_path, *runs)
    )


def test_markdown_and_latex_hold_the_same_cells(study: Path) -> None:
    stems = sorted(path.stem for path in (study / "tables").glob("*.csv"))
    assert len(stems) == 8
    for stem in stems:
        with (study / "tables" / f"{stem}.csv").open(newline="") as file:
            lines, columns = list(csv.reader(file)), 0
        markdown = (study / "tables" / f"{stem}.md").read_text("utf-8").splitlines()
        grid = [re.split(r"(?<!\\)\|", line)[1:-1] for line in markdown if line.startswith("|")]
        columns = len(grid[0])
        assert len(grid) == len(lines) + 1  # the rule below the heading
        assert {len(row) for row in grid} == {columns}
        latex = (study / "tables" / f"{stem}.tex").read_text("utf-8")
        body = latex.split(r"\hline")[1:-1]
        for line in "".join(body).strip().splitlines():
            cells = re.split(r"(?<!\\)&", line)
            spans = [int(n) for n in re.findall(r"\\multicolumn\{(\d+)\}", line)]
            assert sum(spans) + len(cells) - len(spans) == columns
        assert latex.count("{") - latex.count(r"\{") == latex.count("}") - latex.count(r"\}")


def test_the_page_needs_nothing_but_itself(study: Path) -> None:
    html = (study / "report.html").read_text("utf-8")
    assert len(html.encode()) < 3_000_000
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in html
    addresses = re.findall(r"""\b(?:src|href|action|data|poster)\s*=\s*["']([^"']*)""", html)
    assert len(addresses) > 10
    assert [address for address in addresses if not address.startswith(("data:", "#"))] == []
    assert re.findall(r"url\(|@import|<script", html, re.IGNORECASE) == []
    for colour in LIGHT.values():  # charts take theirs from the page
        assert colour not in re.sub(r"<style>.*</style>", "", html, flags=re.DOTALL)


def test_figures_are_drawn_as_svg_and_pdf(study: Path) -> None:
    folder = study / "figures"
    drawn = {path.stem for path in folder.glob("*.svg")}
    assert drawn == {path.stem for path in folder.glob("*.pdf")}
    weights = {f"weights-{n}-{c}-classes-seed-0" for n in ("ann", "snn") for c in (10, 3)}
    assert drawn == {"accuracy-even", "accuracy-skewed", "partition", *weights}
    for path in folder.glob("*.svg"):
        assert ElementTree.parse(path).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    for path in folder.glob("*.pdf"):
        assert path.read_bytes().startswith(b"%PDF")
        assert path.stat().st_size > 5_000


def test_the_same_runs_give_the_same_bytes(tmp_path: Path) -> None:
    runs = [example.run("ann", 3, rounds=5), example.run("snn", 3, rounds=5)]
    first, again = small(tmp_path / "first", *runs), small(tmp_path / "again", *runs)
    files = sorted(path for path in first.rglob("*") if path.is_file())
    assert len(files) > 20
    for path in files:
        if path.suffix != ".pdf":  # which may hold its date
            assert path.read_bytes() == (again / path.relative_to(first)).read_bytes(), path


HOSTILE = "<script>alert(1)<b>&amp;\"'|$_%{}\\"


def test_what_comes_from_data_is_only_ever_text(tmp_path: Path) -> None:
    runs = [
        example.run(network, None, rounds=3, partition={"kind": HOSTILE}, algorithm=HOSTILE)
        | {"name": f"{network}-{HOSTILE.replace(chr(92), '')}", "model_sha256": HOSTILE}
        | {"config": {HOSTILE: HOSTILE, "rounds": network}}
        for network in ("ann", "snn")
    ]
    data = {"name": HOSTILE, "source": HOSTILE, "sha256": {HOSTILE: HOSTILE}}
    data |= {"train_samples": 1, "test_samples": 1}  # type: ignore[dict-item]
    texts = {"name": HOSTILE, "command": HOSTILE, "created": HOSTILE}
    environment = example.ENVIRONMENT | {"cpu": HOSTILE}
    directory = small(tmp_path, *runs, dataset=data, environment=environment, **texts)
    html = (directory / "report.html").read_text("utf-8")

    class Tags(HTMLParser):
        found: set[str]

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.found.add(tag)
            assert not any(name.startswith("on") for name, _ in attrs)

    parser = Tags()
    parser.found = set()
    parser.feed(html)
    assert not {"script", "b"} & parser.found
    assert html.count("&lt;script&gt;alert(1)") > 10
    for path in (directory / "figures").glob("*.svg"):
        assert {element.tag.rpartition("}")[2] for element in ElementTree.parse(path).iter()} <= {
            *("svg", "g", "path", "rect", "line", "text", "image", "defs", "clipPath")
        }
    markdown = (directory / "tables" / "table6-runs.md").read_text("utf-8")
    assert re.search(r"(?<!\\)<", markdown) is None
    latex = (directory / "tables" / "table7-models.tex").read_text("utf-8")
    assert r"\textless{}script\textgreater{}alert(1)" in latex
    assert r"|\$\_\%\{\}\textbackslash{}" in latex
    with (directory / "tables" / "table7-models.csv").open(newline="") as file:
        assert next(iter(csv.DictReader(file)))["model_sha256"] == HOSTILE


def test_a_sweep_that_is_not_finished_names_what_is_missing(tmp_path: Path) -> None:
    runs = [example.run("ann", 10, rounds=5), example.run("ann", 3, rounds=5)]
    directory = example.write(tmp_path / "runs", [*runs, example.run("snn", 10, rounds=5)])
    (directory / "snn-classes3-seed0").mkdir()
    (directory / "snn-classes3-seed0" / "config.toml").touch()
    (directory / "ann-classes10-fedavg-seed0" / "summary.json").unlink()  # then without its image
    report.write(directory)
    row = rows(directory, "table1-accuracy")["3 classes"]
    assert (row["snn_last_round_percent"], row["gap_points"]) == ("", "")
    assert "in none of these figures: snn-classes3-seed0." in words(directory)
    assert "weights-ann-10-classes-seed-0.svg" not in {p.name for p in directory.rglob("*.svg")}


def test_runs_of_different_length_are_not_compared(tmp_path: Path) -> None:
    directory = small(tmp_path, example.run("ann", 3, rounds=6), example.run("snn", 3, rounds=1))
    table = rows(directory, "table1-accuracy")
    assert set(table) == {"3 classes, rounds 6", "3 classes, rounds 1"}
    assert {row["gap_points"] for row in table.values()} == {""}
    assert "Nothing to compare" in words(directory)


def test_a_sweep_of_the_spiking_network_is_held_against_the_one_ann(tmp_path: Path) -> None:
    snns = []
    for steps, final in ((25, 70.0), (50, 72.0)):
        run = example.run("snn", 3, rounds=5, final_percent=final)
        run["config"]["snn"]["time_steps"] = steps
        of_steps = {"network_operations": example.operations(steps)}
        snns.append(run | {"name": f"snn-{steps}"} | of_steps)
    directory = small(tmp_path, example.run("ann", 3, rounds=5, final_percent=75.0), *snns)
    gaps = {k: float(v["gap_points"]) for k, v in rows(directory, "table1-accuracy").items()}
    assert gaps == pytest.approx({"3 classes, T = 25": -5, "3 classes, T = 50": -3})


def test_other_algorithms_and_partitions_have_their_own_table(tmp_path: Path) -> None:
    dirichlet = {"kind": "dirichlet", "alpha": 0.1, "min_samples": 1}
    directory = small(
        tmp_path,
        example.run("ann", 3, rounds=5),
        example.run("ann", 3, rounds=5, algorithm="fedprox"),
        example.run("ann", None, rounds=5, partition=dirichlet, final_percent=70.0),
        example.run("snn", None, rounds=5, partition=dirichlet, final_percent=66.0),
    )
    assert set(rows(directory, "table1-accuracy")) == {"3 classes"}
    others = rows(directory, "table4-other-settings")
    assert set(others) == {"3 classes, fedprox", "dirichlet alpha 0.1"}
    assert float(others["dirichlet alpha 0.1"]["gap_points"]) == pytest.approx(-4)
    assert len(rows(directory, "table6-runs")) == 4
    assert "rounds: 5 instead of 100" in words(directory)
    row = rows(directory, "table1-accuracy")["3 classes"]  # so it is not held against the study
    assert (row["ann_printed_percent"], row["ann_difference_points"]) == ("82", "")
    assert "Diamonds" not in words(directory)


def test_a_single_run_has_a_report(tmp_path: Path) -> None:
    directory = example.write(tmp_path / "runs", [example.run("snn", 3, rounds=1)])
    home = directory / "snn-classes3-fedavg-seed0"
    assert report.write(home) == home / "report.html"
    assert rows(home, "table1-accuracy")["3 classes"]["snn_last_round_percent"] == "76.1"
    assert len(list((home / "figures").glob("weights-*.svg"))) == 1


def test_a_large_sweep_stays_a_small_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "MOST_PANELS", 1)
    crowd = {"class_counts": [[10] * 10] * 100}
    runs = [example.run("ann", classes, rounds=3) | crowd for classes in (3, 4)]
    text = words(small(tmp_path, *runs))
    assert "The first 1 of 2; all are in figures/accuracy-even.svg." in text
    assert "Only the first clients are drawn." in text
    run = example.summaries(runs)[0]
    assert charts.clients_drawn(run) == 40  # of 100, each with 10 classes: 400 cells
