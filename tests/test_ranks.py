"""Methods over many settings: ranks as published, tests against scipy, and what the page shows."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import report_example as example
from fedspike.energy.estimate import Estimate
from fedspike.report.analysis.ranks import Ranks, over_settings, ranks
from fedspike.report.analysis.side_by_side import side_by_side
from fedspike.report.analysis.significance import holm
from fedspike.report.figures.costs import COSTS_TABLE
from fedspike.report.figures.ranking import RANKS_CHART, RANKS_TABLE
from fedspike.report.rendering.drawing import Panels
from fedspike.report.rendering.tables import Caption, Table

# Demšar 2006, Table 6: areas under the curve of C4.5 and three variants on 14 data sets, in percent. Of
# "voting" it prints the ranks 2 and 3 of numbers that are equal as rounded.
DEMSAR = {
    "C4.5": [76.3, 59.9, 95.4, 62.8, 88.2, 93.6, 66.1, 58.3, 77.5, 100, 94.0, 61.9, 97.2, 95.7],
    "C4.5+m": [76.8, 59.1, 97.1, 66.1, 88.8, 93.1, 66.8, 58.3, 83.8, 100, 96.2, 66.6, 98.1, 97.8],
    "C4.5+cf": [77.1, 59.0, 96.8, 65.4, 88.6, 91.6, 60.9, 56.3, 86.6, 100, 96.5, 61.4, 97.51, 94.6],
    "C4.5+m+cf": [
        79.8,
        56.9,
        96.7,
        65.7,
        89.8,
        93.1,
        68.5,
        62.5,
        87.5,
        100,
        96.2,
        66.9,
        97.5,
        97.0,
    ],
}
METHODS = {"fedavg": 0.0, "fedprox": 3.0, "fedadam": 0.5}


def test_ranks_are_those_that_were_published() -> None:
    """And Friedman's statistic, 9.28 without a correction of ties, is significant as printed."""
    found = ranks({name: [*map(float, values)] for name, values in DEMSAR.items()})
    assert {name: round(rank, 3) for name, rank in found.average.items()} == {
        "C4.5+m+cf": 1.964,
        "C4.5+m": 2.0,
        "C4.5+cf": 2.893,
        "C4.5": 3.143,
    }
    squares = sum(rank**2 for rank in found.average.values())
    statistic = 12 * 14 / (4 * 5) * (squares - 4 * 5**2 / 4)
    assert statistic == pytest.approx(9.28, abs=0.005)
    assert found.p < stats.chi2.sf(statistic, 3) < 0.05  # ties make it a little smaller
    assert found.settings == 14


@settings(max_examples=8)
@given(st.integers(0, 2**32 - 1), st.integers(3, 5), st.integers(8, 14))
def test_pairs_are_scipys(seed: int, methods: int, rows: int) -> None:
    """Of accuracies without ties; Holm's correction is held against statsmodels in test_choices.py."""
    drawn = np.random.default_rng(seed).normal(size=(methods, rows)) + np.arange(methods)[:, None]
    accuracies = {f"m{place}": values.tolist() for place, values in enumerate(drawn)}
    found = ranks(accuracies)
    assert found.p == pytest.approx(stats.friedmanchisquare(*drawn).pvalue)
    if found.p >= 0.05:
        assert not found.pairs
        return
    pairs = [*combinations(accuracies, 2)]
    oracle = [stats.wilcoxon(accuracies[a], accuracies[b], method="exact").pvalue for a, b in pairs]
    assert [found.pairs[frozenset(pair)] for pair in pairs] == pytest.approx(
        holm([*map(float, oracle)])
    )


@given(st.lists(st.booleans(), min_size=15, max_size=15))
def test_cliques_are_all_largest_groups_without_a_difference(differ: list[bool]) -> None:
    """Found by trying every group of six methods."""
    names = "abcdef"
    pairs = [frozenset(pair) for pair in combinations(names, 2)]
    p = {pair: 0.01 if one else 1.0 for pair, one in zip(pairs, differ, strict=True)}
    found = Ranks(dict(zip(names, map(float, range(6)), strict=True)), 9, 0.01, p)
    alike = [
        {*group}
        for size in range(2, 7)
        for group in combinations(names, size)
        if all(p[frozenset(pair)] == 1.0 for pair in combinations(group, 2))
    ]
    largest = [group for group in alike if not any(group < other for other in alike)]
    assert sorted(map(sorted, found.cliques)) == sorted(map(sorted, largest))


def test_methods_that_are_all_alike_have_one_rank() -> None:
    """But for rounding."""
    found = ranks({"a": [0.3] * 9, "b": [0.1 + 0.2] * 9, "c": [0.3] * 9})
    assert (found.average, found.p, found.pairs) == ({"a": 2.0, "b": 2.0, "c": 2.0}, 1.0, {})
    assert found.cliques == [["a", "b", "c"]]


@pytest.mark.parametrize(
    ("methods", "held", "pairs"),
    [
        (METHODS, (10, 9, 8, 7, 6, 5, 4), 3),
        (METHODS, (10, 9, 8, 7, 6, 5), 0),  # three times 2 / 2^6 is no longer below 0.05
        (METHODS, (10, 9), None),
        ({"fedavg": 0.0, "fedprox": 3.0}, (10, 9, 8, 7, 6, 5, 4), None),
    ],
)
def test_few_settings_have_no_tests_of_pairs_and_very_few_no_diagram(
    methods: dict[str, float], held: tuple[int, ...], pairs: int | None
) -> None:
    side = side_by_side(example.summaries(example.algorithms(methods, seeds=1, held=held)))
    assert side is not None
    found = over_settings(side)
    assert (None if found is None else len(found.pairs)) == pairs


def test_settings_that_lack_a_method_are_left_out() -> None:
    runs = example.algorithms(METHODS, seeds=1, held=range(10, 2, -1))
    side = side_by_side(example.summaries(runs[:-1]))
    assert side is not None
    found = over_settings(side)
    assert found is not None
    assert found.settings == 7
    assert found.average == {"fedprox": 1.0, "fedadam": 2.0, "fedavg": 3.0}
    assert [*found.pairs.values()] == pytest.approx([3 * 2 / 2**7] * 3)


@pytest.mark.parametrize("ahead", [3.0, 0.0])
def test_the_diagram_has_a_bar_where_methods_do_not_differ(ahead: float, tmp_path: Path) -> None:
    """Equal accuracies give equal ranks; then nothing is tested pair by pair."""
    points = {"fedavg": 0.0, "fedprox": ahead, "fedadam": 0.0}
    runs = example.algorithms(points, seeds=1, held=range(10, 2, -1))
    results = example.results(tmp_path / "runs", runs)
    found = RANKS_CHART.needs(results)
    assert found.cliques == (
        [["fedavg", "fedadam"]] if ahead else [["fedavg", "fedprox", "fedadam"]]
    )
    drawn = RANKS_CHART.draw(found)
    assert isinstance(drawn, Panels)
    svg = drawn.panels[0].svg
    assert ("1.00" in svg, "2.50" in svg, "2.00" in svg) == (bool(ahead), bool(ahead), not ahead)
    assert not isinstance(RANKS_CHART.caption, Caption)
    (note,) = RANKS_CHART.caption(found).notes
    assert ("no pair is tested" in note) != bool(ahead)
    rows = RANKS_TABLE.draw(RANKS_TABLE.needs(results))
    assert isinstance(rows, Table)
    tested = ["fedprox", "1.00", "–", "0.0234", "0.0234"]  # 3 x 2 / 2^8
    assert rows.body[0] == (tested if ahead else ["fedavg", "2.00"])


def test_the_costs_are_the_runs_own(tmp_path: Path) -> None:
    """A device has a tenth of the bytes of ten; of a loss that is no number there is no mean."""
    runs = example.algorithms({"fedavg": 0.0, "fedprox": 1.0}, seeds=3, held=(3,))
    for place, run in enumerate(runs):
        run |= {"training_loss": [2.0, 0.25 * (place + 1)], "seconds": 90.0 * (place + 1)}
    runs[-1]["training_loss"][-1] = None
    rows = COSTS_TABLE.draw(COSTS_TABLE.needs(example.results(tmp_path / "runs", runs)))
    assert isinstance(rows, Table)
    assert [column.key for column in rows.columns[3:]] == [
        *("training_loss", "up_megabytes", "down_megabytes", "minutes")
    ]
    plain, prox = rows.rows
    exchanged = 79_510 * 4 * 2 / 1e6  # a model each way in each of two rounds
    means = [cell.mean for cell in plain[3:] if isinstance(cell, Estimate)]
    assert means == pytest.approx([0.5, exchanged, exchanged, 3.0])
    assert prox[3] is None
    assert rows.body[1][3:] == ["–", "0.636", "0.636", "7.50 ± 3.73"]
