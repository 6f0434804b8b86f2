"""Every figure and section of the report keeps one contract; the page and its files; hostile names."""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property
from html import unescape
from html.parser import HTMLParser
from operator import attrgetter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import report_example as example
from fedspike import report
from fedspike.energy.estimate import Estimate
from fedspike.records import joined
from fedspike.records.schema import RunSummary
from fedspike.report import writing
from fedspike.report.analysis.course import Course
from fedspike.report.analysis.results import Results
from fedspike.report.figures.accuracy import curves, draw
from fedspike.report.figures.accuracy_spent import Spent, spent
from fedspike.report.figures.figure import Figure, Part, Section
from fedspike.report.rendering import drawing
from fedspike.report.rendering.drawing import Panels, Prose
from fedspike.report.rendering.page import Shown
from fedspike.report.rendering.palette import LIGHT
from fedspike.report.rendering.tables import Caption, Table, Tinted, table, words
from fedspike.report.sections import SECTIONS
from running import BOTH_NETWORKS, finish, python
from undrawn import EMPTY, undraw

FIGURES = [figure for section in SECTIONS for part in section.parts for figure in part.figures]
SVG_TAGS = {
    *(
        "svg",
        "g",
        "path",
        "rect",
        "line",
        "text",
        "image",
        "defs",
        "clipPath",
        "circle",
        "title",
        "tspan",
    ),
}
HOSTILE = "<script>alert(1)<b>&amp;\"'|$_%{}\\"


@dataclass(frozen=True)
class Page:
    """A report that was written, and what it was written from."""

    results: Results
    sections: list[Section]
    folder: Path

    @cached_property
    def html(self) -> str:
        return (self.folder / "report.html").read_text("utf-8")

    @cached_property
    def figures(self) -> dict[str, Shown]:
        shown = (one for s in self.sections for part in s.parts for one in part.figures)
        return {one.figure.stem: one for one in shown}


def page(folder: Path, runs: list[dict[str, Any]], **changes: Any) -> Page:
    """The report of these runs; each figure is drawn once."""
    return drawn_once(folder, example.results(folder, runs, **changes))


def drawn_once(folder: Path, results: Results) -> Page:
    drawn: list[Section] = []
    heard: list[str] = []

    def once(results: Results) -> Iterator[Section]:
        drawn.extend(SHOWN(results))
        yield from drawn

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "shown", once)
        assert report.write(folder, heard.append) == folder / "report.html"
    assert heard == writing.in_short(results)
    return Page(results, drawn, folder)


SHOWN = writing.shown
TIMED = """\
algorithm = [{ kind = "fedavg" }, { kind = "fedbuff", buffer = 1 }]
[clock]
kind = "by-operations"
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Page]:
    """The first panel of each figure is drawn; the others, which are like it, are empty."""
    folder, draw = tmp_path_factory.mktemp("pages"), drawing._drawn

    def first(chart: Any, *, validate: bool) -> str:
        return draw(chart, validate=True) if validate else EMPTY

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing, "_drawn", first)
        made = {name: page(folder / name, runs()) for name, runs in example.EXAMPLES.items()}
        trained = finish(BOTH_NETWORKS + TIMED, folder / "trained")  # with records of its rounds
        return made | {"trained": drawn_once(trained, Results(*joined.read([trained])))}


@cache
def text_of(html: str) -> str:
    """The page as it is read, without tags and line breaks."""

    class Text(HTMLParser):
        parts: list[str]

        def handle_data(self, data: str) -> None:
            self.parts.append(data)

    parser = Text()
    parser.parts = []
    parser.feed(html)
    return " ".join(" ".join(parser.parts).split()).replace("\xa0", " ")


def check_table(shown: Shown, table: Table, page: Page) -> None:
    """Cells, CSV, Markdown and LaTeX say the same; the page has every cell."""
    keys = [column.key for column in table.columns]
    assert len(set(keys)) == len(keys)
    assert table.rows
    files = {
        ending: (page.folder / "tables" / f"{shown.figure.stem}.{ending}").read_text("utf-8")
        for ending in (("csv",) if shown.figure.only_as_file else ("csv", "md", "tex"))
    }
    lines = list(csv.DictReader(io.StringIO(files["csv"], newline="")))
    for row, line in zip(table.rows, lines, strict=True):
        for key, cell in zip(keys, row, strict=True):
            number = cell.mean if isinstance(cell, Estimate) else cell
            if isinstance(number, float):
                assert float(line[key]) == pytest.approx(number, rel=1e-9)
            else:
                text = number.text if isinstance(number, Tinted) else number
                assert line[key] == ("" if text is None else str(text).replace("\r", ""))
    assert (shown.heading in text_of(page.html)) != shown.figure.only_as_file
    if shown.figure.only_as_file:
        return
    grid = [
        re.split(r"(?<!\\)\|", line)[1:-1]
        for line in files["md"].splitlines()
        if line.startswith("|")
    ]
    assert len(grid) == len(table.rows) + 2  # the heading and the rule below it
    assert {len(row) for row in grid} == {len(keys)}
    body = "".join(re.split(r"\\(?:mid|bottom)rule", files["tex"])[1:-1])
    for text_line in body.strip().splitlines():
        cells = re.split(r"(?<!\\)&", text_line)
        spans = [int(n) for n in re.findall(r"\\multicolumn\{(\d+)\}", text_line)]
        assert sum(spans) + len(cells) - len(spans) == len(keys)
    on_page = unescape(page.html)
    assert f'role="region" aria-label="{shown.heading}"' in on_page
    assert all(f">{cell}<" in on_page for row in table.body for cell in row)


def check_panels(shown: Shown, panels: Panels, page: Page) -> None:
    """Panels are drawn, say what they are of, and stand in one file."""
    assert panels.panels
    assert len({panel.label for panel in panels.panels}) == len(panels.panels)
    whole = ElementTree.parse(page.folder / "figures" / f"{shown.figure.stem}.svg").getroot()
    nested = [element for element in whole if element.tag.endswith("}svg")]
    assert len(nested) == len(panels.panels)
    assert {element.tag.rpartition("}")[2] for element in whole.iter()} <= SVG_TAGS
    pdf = (page.folder / "figures" / f"{shown.figure.stem}.pdf").read_bytes()
    assert pdf.startswith(b"%PDF")
    assert len(pdf) > 2_000
    for panel in shown.on_page:
        label = re.search(r'role="img" aria-label="([^"]+)"', panel)
        assert label
        assert unescape(label[1]).startswith(f"{shown.caption.title}: ")
        assert str(panel) in page.html


@pytest.mark.parametrize("figure", FIGURES, ids=attrgetter("stem"))
def test_a_figure_goes_from_what_it_needs_to_its_caption(
    figure: Figure, pages: dict[str, Page]
) -> None:
    having = [one for one in pages.values() if figure.needs(one.results)]
    assert having, "no example shows it"
    for one in pages.values():
        assert (figure.stem in one.figures) == (one in having)
    for one in having[:2]:
        shown = one.figures[figure.stem]
        if isinstance(shown.drawing, Prose):
            assert shown.drawing.paragraphs
            assert all(shown.drawing.paragraphs)
            continue
        assert shown.caption.title[0].isupper()
        assert not shown.caption.title.endswith(".")
        assert all(note.endswith(".") for note in shown.notes)
        if isinstance(shown.drawing, Table):
            check_table(shown, shown.drawing, one)
        else:
            check_panels(shown, shown.drawing, one)


def test_a_page_about_sensors_says_nothing_of_images(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    x, y = random.random((80, 12), dtype=np.float32), np.arange(80) % 4
    np.savez(tmp_path / "own.npz", x_train=x, y_train=y, x_test=x[:40], y_test=y[:40])
    source = f'kind = "npz"\npath = "{tmp_path / "own.npz"}"'
    folder = finish(
        BOTH_NETWORKS.replace('kind = "fashion-mnist-sample"', source), tmp_path / "runs"
    )
    report.write(folder)
    html = (folder / "report.html").read_text("utf-8")
    words = text_of(re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)).lower()
    assert "classes and clients" in words
    assert re.findall(r"\b(?:images?|pictures?)\b", words) == []


def test_files_and_sections_have_names_of_their_own() -> None:
    assert len({figure.stem for figure in FIGURES}) == len(FIGURES)
    assert len({section.anchor for section in SECTIONS}) == len(SECTIONS)


def test_the_page_has_the_sections_in_order_and_contents_that_lead_to_them(
    pages: dict[str, Page],
) -> None:
    for one in pages.values():
        shown = [section.anchor for section in one.sections]
        assert shown == [section.anchor for section in SECTIONS if section.anchor in shown]
        assert re.findall(r'<section id="([^"]+)"', one.html) == shown
        assert re.findall(r'<a href="#([^"]+)"', one.html) == shown
        parts = [part for section in one.sections for part in section.parts if part.heading]
        headings = [part.heading for part in parts if not part.folded]
        assert [unescape(h) for h in re.findall("<h3>(.*)</h3>", one.html)] == headings
        folds = {unescape(h) for h in re.findall("<summary>(.*)</summary>", one.html)}
        assert {part.heading for part in parts if part.folded} <= folds


def test_a_new_figure_is_one_record_and_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def seeds(results: Results) -> Table:
        return table(results.runs, words("seed"))

    figure = Figure("seeds", seeds, caption=Caption("Seeds", "A note."), number="X1")
    never = replace(figure, name="never", needs=lambda _: None)
    section = Section("mine", "My section", (Part((figure, never), "A part", "About it."),))
    monkeypatch.setattr(writing, "SECTIONS", (*SECTIONS, section))
    one = page(tmp_path / "runs", [example.run("ann", 3, seed, rounds=2) for seed in (4, 5)])
    assert (one.folder / "tables" / "tableX1-seeds.csv").read_text() == "seed\n4\n5\n"
    assert "My section A part About it. Table X1. Seeds CSV LaTeX seed 4 5 A note." in text_of(
        one.html
    )
    assert not list((one.folder / "tables").glob("*never*"))


def test_the_page_needs_nothing_but_itself(pages: dict[str, Page]) -> None:
    for one in pages.values():
        assert len(one.html.encode()) < 3_000_000
        assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in one.html
        addresses = re.findall(
            r"""\b(?:src|href|action|data|poster)\s*=\s*["']([^"']*)""", one.html
        )
        assert [a for a in addresses if not a.startswith(("data:", "#"))] == []
        assert re.findall(r"url\(|@import|<script", one.html, re.IGNORECASE) == []
        body = re.sub(r"<style>.*</style>", "", one.html, flags=re.DOTALL)
        assert not any(colour in body for colour in LIGHT.values())  # charts take the page's


def test_the_report_never_imports_torch(tmp_path: Path) -> None:
    directory = example.write(tmp_path / "runs", [example.run("ann", 3, rounds=5)])
    code = (
        "import sys, pathlib; from fedspike import report\n"
        f"report.write(pathlib.Path({str(directory)!r}))\nprint('torch' in sys.modules)"
    )
    run = python(code)
    assert (run.stdout, run.returncode) == ("False\n", 0), run.stderr


def test_the_same_runs_give_the_same_bytes(tmp_path: Path) -> None:
    runs = [example.run("ann", 3, rounds=5), example.run("snn", 3, rounds=5)]
    first, again = (page(tmp_path / name / "runs", runs).folder for name in ("first", "again"))
    files = sorted(path for path in first.rglob("*") if path.is_file())
    assert len(files) > 20
    for path in files:
        if path.suffix != ".pdf":  # which may hold its date
            assert path.read_bytes() == (again / path.relative_to(first)).read_bytes(), path


def test_what_comes_from_data_is_only_ever_text(tmp_path: Path) -> None:
    runs = [
        example.pictured(
            example.run(network, None, rounds=3, partition={"kind": HOSTILE}, algorithm=HOSTILE),
            *example.IMAGE,
        )
        | {"name": f"{network}-{HOSTILE.replace(chr(92), '')}", "model_sha256": HOSTILE}
        | {"measured": [{"sensor": HOSTILE, "unavailable": HOSTILE}]}
        for network in ("ann", "snn")
    ]
    for run in runs:
        run["config"] |= {HOSTILE: HOSTILE, "rounds": run["network"]}
    runs[1]["config"]["code"] = {"kind": HOSTILE}
    data = {"name": HOSTILE, "source": HOSTILE, "sha256": {HOSTILE: HOSTILE}}
    data |= {"train_samples": 1, "test_samples": 1}  # type: ignore[dict-item]
    texts = {"name": HOSTILE, "command": HOSTILE, "created": HOSTILE}
    environment = example.ENVIRONMENT | {"cpu": HOSTILE}
    one = page(tmp_path / "runs", runs, dataset=data, environment=environment, **texts)

    class Tags(HTMLParser):
        names: set[str]

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.names.add(tag)
            assert not any(name.startswith("on") for name, _ in attrs)

    parser = Tags()
    parser.names = set()
    parser.feed(one.html)
    assert not {"script", "b"} & parser.names
    assert one.html.count("&lt;script&gt;alert(1)") > 10
    for path in (one.folder / "figures").glob("*.svg"):
        tags = {element.tag.rpartition("}")[2] for element in ElementTree.parse(path).iter()}
        assert tags <= SVG_TAGS
    tables = one.folder / "tables"
    assert re.search(r"(?<!\\)<", (tables / "table6-runs.md").read_text("utf-8")) is None
    latex = (tables / "table7-models.tex").read_text("utf-8")
    assert r"\textless{}script\textgreater{}alert(1)" in latex
    assert r"|\$\_\%\{\}\textbackslash{}" in latex
    assert {path.name for path in tmp_path.iterdir()} == {"runs"}


def test_a_sweep_that_is_not_finished_names_what_is_missing(tmp_path: Path) -> None:
    for name, waiting in (("one", 1), ("many", 20)):
        for seed in range(waiting):
            (tmp_path / name / f"snn-classes3-seed{seed}").mkdir(parents=True)
            (tmp_path / name / f"snn-classes3-seed{seed}" / "config.toml").touch()
    one, many = (
        page(tmp_path / name, [example.run("ann", n, rounds=2) for n in (10, 3)])
        for name in ("one", "many")
    )
    # Beside the verdict and below all runs.
    assert text_of(one.html).count("snn-classes3-seed0.") == 2
    assert text_of(many.html).count(" and 14 more.") == 2
    assert "Not decidable, because no setting has" in text_of(one.html)


def test_a_single_run_has_a_report_without_the_experiments_part(tmp_path: Path) -> None:
    directory = example.write(tmp_path / "runs", [example.run("snn", 3, rounds=1)])
    home = directory / "snn-classes3-fedavg-seed0"
    assert report.write(home) == home / "report.html"
    names = {path.stem for path in (home / "tables").glob("*.csv")}
    assert {"table1-accuracy", "table6-runs", "configuration"} <= names
    assert not {"environment", "data-files"} & names
    assert (home / "figures" / "weights.svg").exists()


def test_a_large_sweep_stays_a_small_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedspike.report.rendering.page.MOST_PANELS", 1)
    crowd = {"class_counts": [[10] * 10] * 101, "clients": 101}
    one = page(tmp_path / "runs", [example.run("ann", n, rounds=3) | crowd for n in (3, 4)])
    shown = one.figures["accuracy"]
    assert len(shown.on_page) == 1
    assert "figures/accuracy.svg" in shown.notes[-1]
    assert "Only the first clients are drawn" in text_of(one.html)
    assert "Samples of a client" in text_of(one.html)  # all of them, as a histogram


def test_a_network_that_stays_below_the_axis_has_a_panel_all_the_same(tmp_path: Path) -> None:
    """Of 41 runs one has learned nothing: the axis begins above it."""
    runs = [example.run(("ann", "snn")[n % 2], 10, n // 2, rounds=10) for n in range(40)]
    nothing = example.run("snn", 3, rounds=10, final_percent=10.0) | {"accuracy": [0.1] * 10}
    results = example.results(tmp_path / "runs", [*runs, nothing])
    data = curves(results.comparisons)
    assert data.low > 10
    with pytest.MonkeyPatch.context() as patch:
        undraw(patch)
        assert [panel.label for panel in draw(data).panels] == ["10 classes", "3 classes"]


def test_methods_share_a_panel_as_long_as_dashes_tell_them_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four of them in a colour; own models have panels of their own; of more each has its panels."""

    def course(_: Results, run: RunSummary) -> Course:
        rounds = len(run.accuracy)
        return Course(run.accuracy, [*range(0, 100 * rounds, 100)], [None] * rounds, None, rounds)

    def drawn(name: str, *algorithms: str) -> Spent:
        runs = [
            example.run(network, 3, algorithm=algorithm, rounds=120)
            | {"accuracy_of": "own models, own samples" if algorithm == "ditto" else "global model"}
            for algorithm in algorithms
            for network in ("ann", "snn")
        ]
        made = spent(example.results(tmp_path / name, runs))
        assert made is not None
        return made

    monkeypatch.setattr(Results, "course", course)
    few = drawn("few", "fedavg", "ditto", "fedadam")
    lines = {panel.label: [line.name for line in panel.lines] for panel in few.panels}
    assert lines == {
        "3 classes": ["ANN fedavg", "ANN fedadam", "SNN fedavg", "SNN fedadam"],
        "3 classes, own models": ["ANN ditto", "SNN ditto"],
    }
    dashes = {line.name: line.dash for line in few.panels[0].lines}
    assert dashes["ANN fedavg"] == dashes["SNN fedavg"] != dashes["ANN fedadam"]
    # No clock and no prices; after the first round nothing was sent, and the last one is always drawn.
    assert [axis.name for axis in few.axes] == ["bytes"]
    points = few.panels[0].lines[0].points
    assert [point["round"] for point in points] == [*range(4, 121, 4)]
    assert few.unit(few.axes[0]) == "kB"
    many = drawn("many", "fedavg", "fedadam", "fedavgm", "fedyogi", "fedexp")
    assert [{line.name for line in panel.lines} for panel in many.panels] == [{"ANN", "SNN"}] * 5
