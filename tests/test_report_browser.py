"""The page in a real browser, from disk: no complaint, every chart drawn, in light and in dark."""

import base64
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from selenium import webdriver

import report_example as example
from browsing import NEEDS_BROWSER, ask, browsing, show
from fedspike import report
from undrawn import undraw

pytestmark = NEEDS_BROWSER


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with browsing(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = example.study()
    black_and_white = np.array([-127, 0, 127] * 8, dtype=np.int8).reshape(2, 4, 3)
    runs[0]["hidden_weights"] = {
        "shape": [2, 4, 3],
        "scale": 0.001,
        "int8_base64": base64.b64encode(black_and_white.tobytes()).decode(),
    }
    return report.write(example.write(tmp_path_factory.mktemp("runs") / "study", runs))


@pytest.fixture(scope="module")
def priced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = [
        example.priced(example.run(network, 10, rounds=9)) for network in ("ann", "snn", "qann")
    ]
    return report.write(example.write(tmp_path_factory.mktemp("runs") / "priced", runs))


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve spiking networks, each dearer and better than the one before: all on the front."""
    setting: dict[str, Any] = {"rounds": 3}
    runs = [example.priced(example.run("ann", final_percent=79.5, **setting))]
    for n, code in enumerate(("delta", "latency", "burst", "rate")):
        for m, time_steps in enumerate((9, 10, 25)):
            for seed in (0, 1):
                final = 80.0 + n + 0.3 * m + 0.1 * seed
                snn = example.run("snn", seed=seed, final_percent=final, **setting)
                snn = example.variant(snn | {"hidden_weights": None}, code, time_steps)
                snn = example.pictured(
                    snn, np.ones((time_steps, 12), bool), np.arange(12).reshape(3, 4)
                )
                factor = 0.05 + 0.12 * n + 0.02 * m
                runs.append(example.watched(example.priced(snn, sample_factor=factor)))
    return report.write(example.write(tmp_path_factory.mktemp("runs") / "sweep", runs))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_chart_is_drawn_and_nothing_is_complained_of(
    browser: webdriver.Chrome, study: Path, scheme: str
) -> None:
    show(browser, study.as_uri(), scheme=scheme)
    assert browser.get_log("browser") == []
    charts = ask(
        browser,
        """[...document.querySelectorAll('svg')].map(svg => ({
            label: svg.getAttribute('aria-label'),
            size: Math.min(svg.getBoundingClientRect().width, svg.getBoundingClientRect().height),
            marks: [...svg.querySelectorAll('.mark-line path, .mark-rect path')].filter(
                mark => mark.getBBox().width > 0 && mark.getBBox().height > 0).length,
            colours: [...new Set([...svg.querySelectorAll('.mark-line path, .mark-rect path')].map(
                mark => getComputedStyle(mark).stroke + getComputedStyle(mark).fill))],
        }))""",
    )
    curves = [chart for chart in charts if chart["label"].startswith("Test accuracy")]
    partitions = [chart for chart in charts if chart["label"].startswith("Data per client")]
    assert curves
    assert partitions
    for chart in curves + partitions:
        assert chart["size"] > 150, chart
        assert chart["marks"] == 2 if chart in curves else chart["marks"] >= 30, chart
        assert len(chart["colours"]) == (2 if chart in curves else 1), chart
        assert not any("var(" in colour for colour in chart["colours"])
    sizes = ask(
        browser,
        "[...document.querySelectorAll('image.signed')].map(i => i.getBoundingClientRect().width)",
    )
    assert len(sizes) == 4  # two networks on the most even and on the most skewed data
    assert min(sizes) > 150


def test_dark_is_dark_and_light_is_light(browser: webdriver.Chrome, study: Path) -> None:
    colours = {}
    for scheme in ("light", "dark"):
        show(browser, study.as_uri(), scheme=scheme)
        colours[scheme] = [
            ask(browser, f"getComputedStyle(document.querySelector('{element}')).{value}")
            for element, value in (
                ("body", "backgroundColor"),
                ("body", "color"),
                (".mark-line path", "stroke"),
                (".role-title-text text", "fill"),
            )
        ]
    assert colours["light"] == [
        *("rgb(255, 255, 254)", "rgb(27, 31, 36)", "rgb(0, 103, 166)", "rgb(27, 31, 36)")
    ]
    assert colours["dark"] == [
        *("rgb(20, 23, 27)", "rgb(230, 232, 235)", "rgb(92, 184, 240)", "rgb(230, 232, 235)")
    ]


def test_a_phone_reads_it_without_scrolling_sideways(
    browser: webdriver.Chrome, study: Path
) -> None:
    show(browser, study.as_uri(), scheme="light", width=390)
    assert ask(browser, "document.documentElement.scrollWidth") == 390
    drawn = "[...document.querySelectorAll('svg')].map(e => e.getBoundingClientRect().right)"
    assert max(ask(browser, drawn)) <= 390


def test_a_point_says_its_values_under_the_pointer(browser: webdriver.Chrome, study: Path) -> None:
    show(browser, study.as_uri(), scheme="light")
    under = ask(
        browser,
        """(() => {
            const curves = document.querySelector('svg[aria-label^="Test accuracy against rounds"]');
            curves.scrollIntoView({block: 'center', behavior: 'instant'});
            return [...curves.querySelectorAll('circle')].map(point => {
                const box = point.getBoundingClientRect();
                const mark = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
                return mark.querySelector('title')?.textContent;
            })})()""",
    )
    rounds = {words.partition(":")[0] for words in under}
    assert {"ANN, round 100", "SNN, round 100"} & rounds
    assert len(rounds) > 40
    assert all(re.fullmatch(r"[AS]NN, round \d+: \d+\.\d %", words) for words in under)
    assert browser.get_log("browser") == []


def test_a_heading_sorts_its_table_and_the_first_one_puts_it_back(
    browser: webdriver.Chrome, study: Path
) -> None:
    show(browser, study.as_uri(), scheme="light")
    rows = """[...document.querySelector('#answer .sortable').tBodies[0].rows].sort(
        (a, b) => a.getBoundingClientRect().top - b.getBoundingClientRect().top).map(
        row => [...row.cells].map(cell => cell.innerText))"""
    labels = "document.querySelectorAll('#answer .sortable label')"
    before = ask(browser, rows)
    browser.execute_script(f"{labels}[1].click()")
    accuracies = [float(row[1]) for row in ask(browser, rows)]
    assert accuracies == sorted(accuracies, reverse=True)
    assert [row[0] for row in ask(browser, rows)] != [row[0] for row in before]
    assert ask(browser, "document.documentElement.scrollWidth") <= 1200
    browser.execute_script(f"{labels}[0].click()")
    assert ask(browser, rows) == before


def test_a_table_can_be_taken_from_the_page(browser: webdriver.Chrome, study: Path) -> None:
    show(browser, study.as_uri(), scheme="light")
    links = ask(
        browser, "[...document.querySelectorAll('.caption a')].map(a => [a.download, a.href])"
    )
    assert len(links) == 2 * ask(browser, "document.querySelectorAll('table').length")
    for name, address in links:
        assert (
            base64.b64decode(address.partition(",")[2])
            == (study.parent / "tables" / name).read_bytes()
        )


@pytest.mark.parametrize("whole", [False, True])
def test_the_answer_prints_on_one_page(browser: webdriver.Chrome, study: Path, whole: bool) -> None:
    show(browser, study.as_uri(), scheme="dark")
    if whole:
        browser.execute_script("document.querySelector('#whole').click()")
    a4 = {"paperWidth": 8.27, "paperHeight": 11.69, "preferCSSPageSize": True}
    printed = browser.execute_cdp_cmd("Page.printToPDF", a4)["data"]
    pages = len(re.findall(rb"/Type\s*/Page\b", base64.b64decode(printed)))
    assert pages > 3 if whole else pages == 1


def test_weights_have_the_colours_of_their_signs(browser: webdriver.Chrome, study: Path) -> None:
    """The browser decodes the picture that we encoded: purple, white, green, and a gap."""
    show(browser, study.as_uri(), scheme="light")
    pixels = ask(
        browser,
        """(async () => {
            const image = new Image();
            image.src = document.querySelector('image.signed').getAttribute('href');
            await image.decode();
            const canvas = document.createElement('canvas');
            [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
            const pen = canvas.getContext('2d');
            pen.drawImage(image, 0, 0);
            const data = pen.getImageData(0, 0, canvas.width, canvas.height).data;
            return [canvas.width, canvas.height, Array.from(data)];
        })()""",
    )
    width, height, data = pixels
    assert (width, height) == (7, 4)  # two tiles of 3 x 4 and a gap between them
    purple, white, green, gap = (64, 0, 75, 255), (247, 247, 247, 255), (0, 68, 27, 255), (0,) * 4
    row = [purple, white, green, gap, purple, white, green]
    assert np.array(data).reshape(height, width, 4).tolist() == [[*map(list, row)]] * 4


@pytest.mark.parametrize("width", [390, pytest.param(1280, marks=pytest.mark.thorough)])
def test_the_energy_bill_fits_the_screen_folded_and_unfolded(
    browser: webdriver.Chrome, priced: Path, width: int
) -> None:
    show(browser, priced.as_uri(), scheme="light", width=width)
    assert browser.get_log("browser") == []
    for unfold in ("", "document.querySelectorAll('details').forEach(d => d.open = true);"):
        browser.execute_script(unfold)
        assert ask(browser, "document.documentElement.scrollWidth") <= width
        charts = "[...document.querySelectorAll('svg:not(:has(image))')]"
        marks = f"{charts}.map(chart => chart.querySelectorAll('path').length)"
        assert min(ask(browser, marks)) >= 3  # each chart has something in it
    assert ask(browser, "document.querySelectorAll('details').length") >= 8


def test_the_winner_is_told_apart_by_colour_and_by_word(
    browser: webdriver.Chrome, priced: Path
) -> None:
    show(browser, priced.as_uri(), scheme="light")
    cells = ask(
        browser,
        """[...document.querySelectorAll('td.tinted.conventional, td.tinted.spiking')].map(cell => [
            cell.classList[1], cell.textContent.trim(), getComputedStyle(cell).backgroundColor])""",
    )
    colours: dict[str, set[str]] = {"conventional": set(), "spiking": set()}
    for role, word, colour in cells:
        assert word.startswith("SNN" if role == "spiking" else ("ANN", "QANN"))
        colours[role].add(colour)
    assert colours["conventional"]
    assert colours["spiking"]
    assert not colours["conventional"] & colours["spiking"]
    assert "rgba(0, 0, 0, 0)" not in colours["conventional"] | colours["spiking"]


@pytest.mark.parametrize("width", [pytest.param(390, marks=pytest.mark.thorough), 1280])
def test_the_names_of_the_front_are_all_there_apart_and_on_the_screen(
    browser: webdriver.Chrome, sweep: Path, width: int
) -> None:
    show(browser, sweep.as_uri(), scheme="light", width=width)
    assert browser.get_log("browser") == []
    assert ask(browser, "document.documentElement.scrollWidth") <= width
    boxes = ask(
        browser,
        """[...document.querySelector('svg[aria-label^="Accuracy against energy of each"]')
            .querySelectorAll('text')].filter(text => text.textContent.includes('  ')).map(text => {
            const box = text.getBoundingClientRect();
            return [text.textContent, box.top, box.bottom, box.right]})""",
    )
    names = {name.split("  ")[1] for name, *_ in boxes}
    assert len(names) == 13  # the ANN and twelve others
    assert {"ANN", "rate, T = 25", "delta, T = 9"} <= names
    boxes.sort(key=lambda box: box[1])
    for (*_, above, _), (_, below, *_) in itertools.pairwise(boxes):
        assert above <= below + 1.0  # a box has the font's leading in it
    assert max(right for *_, right in boxes) <= width


def test_rasters_and_firing_rates_are_drawn(browser: webdriver.Chrome, sweep: Path) -> None:
    show(browser, sweep.as_uri(), scheme="dark")
    drawn = ask(
        browser,
        """[...document.querySelectorAll('svg[aria-label^="The first training image"]')].map(svg => [
            svg.getAttribute('aria-label').split(': ')[1], svg.querySelector('path').getBBox().width,
            getComputedStyle(svg.querySelector('path')).stroke])""",
    )
    # A bounding box knows no stroke: T strokes are T - 1 wide.
    assert drawn == [
        [f"{code}, T = {steps}", steps - 1, "rgb(245, 145, 69)"]
        for code, steps in (("delta", 10), ("latency", 10), ("burst", 10), ("rate", 10))
    ]
    rates = "[...document.querySelectorAll('svg[aria-label^=\"Firing rates\"]')]"
    lines = ask(browser, f"{rates}.map(svg => svg.querySelectorAll('.mark-line path').length)")
    assert lines == [2] * 12  # hidden and output


@pytest.fixture(scope="module")
def algorithms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    points = {"fedavg": 0.0, "fedprox": 3.0, "fedadam": -2.0}
    runs = example.algorithms(points, seeds=8, held=(3,))
    return report.write(example.write(tmp_path_factory.mktemp("runs") / "algorithms", runs))


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_algorithms_stand_side_by_side_with_the_better_one_bold(
    browser: webdriver.Chrome, algorithms: Path, width: int, scheme: str
) -> None:
    show(browser, algorithms.as_uri(), scheme=scheme, width=width)
    assert browser.get_log("browser") == []
    assert ask(browser, "document.documentElement.scrollWidth") <= width
    cells = ask(
        browser,
        """[...document.querySelectorAll('#answer .scroll')][0].querySelector('tbody tr')
            .innerText.split(/[\\t\\n]+/).filter(text => text.trim())""",
    )
    assert [cell.split(" ")[0] for cell in cells[1:]] == [
        "60.0",
        "63.2",
        "+3.1",
        "p",
        "57.9",
        "−2.1",
        "p",
    ]
    assert ask(browser, "[...document.querySelectorAll('td strong')].map(e => e.innerText)") == [
        cells[2]
    ]
    chart = "document.querySelector('svg[aria-label^=\"Differences to fedavg\"]')"
    marks = f"[...{chart}.querySelectorAll('.mark-symbol path')].map(e => e.getBBox().width > 0)"
    assert ask(browser, marks) == [True] * (2 * 8 + 2)
    fills = f"[...{chart}.querySelectorAll('.mark-symbol path')].slice(-2).map(e => getComputedStyle(e).fill)"
    assert len({*ask(browser, fills)}) == 1  # both differences are significant
    assert ask(browser, f"{chart}.getBoundingClientRect().right") <= width


@pytest.fixture(scope="module")
def own_sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three algorithms, four skews, two networks, three seeds; without charts, which are further down."""
    runs = [
        example.priced(
            example.run(
                network,
                None,
                seed,
                rounds=6,
                final_percent=60 + 9 * alpha + 2 * place + seed / 10,
                algorithm=algorithm,
                partition={"kind": "dirichlet", "alpha": alpha},
            )
        )
        for alpha in (1.0, 0.5, 0.3, 0.1)
        for place, algorithm in enumerate(("fedavg", "fedprox", "fedadam"))
        for network in ("ann", "snn")
        for seed in range(3)
    ]
    for run in runs:
        run["name"] = f"{run['name']}-{run['partition']['alpha']}"
    with pytest.MonkeyPatch.context() as patch:
        undraw(patch)
        return report.write(example.write(tmp_path_factory.mktemp("runs") / "own", runs))


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_first_screen_of_a_sweep_has_the_answer_and_the_table(
    browser: webdriver.Chrome, own_sweep: Path, width: int, height: int, scheme: str
) -> None:
    show(browser, own_sweep.as_uri(), scheme=scheme, width=width)
    boxes = ask(
        browser,
        "['.headline', '#answer .table tbody tr:nth-child(3)'].map("
        "name => document.querySelector(name).getBoundingClientRect().bottom)",
    )
    assert max(boxes) <= height
    assert ask(browser, "document.documentElement.scrollWidth") <= width
    empty = """[...document.querySelectorAll('main > section')].filter(section =>
        !section.querySelector('table, svg, pre, li')).map(section => section.id)"""
    assert ask(browser, empty) == []
