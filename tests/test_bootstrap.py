"""The BCa interval of differences within a seed: against scipy's, by its laws, and wherever it is shown."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import report_example as example
from fedspike.energy.estimate import Estimate, estimate
from fedspike.report.analysis.bootstrap import ENOUGH, RESAMPLES, _resamples, bca, of_pairs
from fedspike.report.analysis.gaps import Gap
from fedspike.report.figures.accuracy import ACCURACY_TABLE
from fedspike.report.figures.decision import lines
from fedspike.report.rendering.tables import Caption, Column, Table, table, text, to_csv

WHOLE = st.lists(st.integers(-50, 50).map(float), min_size=ENOUGH, max_size=25)
LEANING = (
    0.1,
    0.2,
    0.2,
    0.3,
    0.4,
    0.4,
    0.6,
    0.9,
    1.7,
    3.8,
)  # one difference is far from the others


@settings(max_examples=10)
@given(WHOLE)
def test_of_the_same_resamples_scipy_makes_the_same_interval(values: list[float]) -> None:
    """But where all are alike: scipy has none of those."""
    sample = np.sort(values)
    if not np.ptp(sample):
        return
    drawn = SimpleNamespace(bootstrap_distribution=sample[_resamples(len(values))].mean(1))
    oracle = stats.bootstrap(
        (sample,), np.mean, n_resamples=0, bootstrap_result=drawn, method="BCa"
    ).confidence_interval
    assert bca(tuple(sample.tolist())) == pytest.approx(tuple(oracle), rel=1e-9, abs=1e-9)


def test_of_resamples_of_its_own_scipy_makes_nearly_the_same_interval() -> None:
    """An end is a quantile of 9,999 means: with p = 0.025 its rank scatters by sqrt(p / 9,999), 6 % of p."""
    oracle = stats.bootstrap(
        (LEANING,), np.mean, n_resamples=RESAMPLES, rng=np.random.default_rng(1)
    )
    low, high = bca(LEANING)
    assert (low, high) == pytest.approx(tuple(oracle.confidence_interval), rel=0.05)
    mean = float(np.mean(LEANING))
    assert high - mean > 1.5 * (mean - low)  # it leans as the differences do; Student's does not


@settings(max_examples=10)
@given(values=WHOLE, scale=st.floats(0.01, 10), shift=st.floats(-100, 100))
def test_the_interval_moves_with_its_values(
    values: list[float], scale: float, shift: float
) -> None:
    """Rounding parts means that are alike; they count as alike all the same."""
    before, after = of_pairs(values), of_pairs([scale * value + shift for value in values])
    assert after == of_pairs([scale * value + shift for value in values[::-1]])
    assert before.low <= before.mean <= before.high
    moved = (scale * before.low + shift, scale * before.high + shift)
    assert (after.low, after.high) == pytest.approx(moved, rel=1e-6, abs=1e-6)


def test_fewer_than_ten_have_students_interval() -> None:
    assert of_pairs(LEANING[:9]) == estimate(LEANING[:9])
    assert of_pairs(LEANING).ends == bca(LEANING)
    assert of_pairs(LEANING).half_width is None


def test_differences_that_are_all_alike_have_no_width() -> None:
    """As 0.3 and 0.1 + 0.2 are."""
    alike = of_pairs([0.3] * 6 + [0.1 + 0.2] * 6)
    assert alike.low == alike.high == pytest.approx(0.3)
    assert text(alike, Column("gap", "gap", digits=1)) == "0.3"


def test_both_ends_are_shown_and_stored() -> None:
    column = Column("gap_points", "points", digits=1, signed=True)
    leaning = Estimate(0.86, None, 10, (0.42, 2.04))
    assert text(leaning, column) == "+0.9 (+0.4 to +2.0)"
    assert text(-leaning, column) == "−0.9 (−2.0 to −0.4)"
    assert to_csv(table([(leaning,), (Estimate(1.5, 0.25, 5),)], column)) == (
        "gap_points,gap_points_half_width_95,gap_points_low_95,gap_points_high_95\n"
        "0.86,,0.42,2.04\n1.5,0.25,,\n"
    )


def test_within_a_point_is_decided_by_both_ends() -> None:
    assert Gap(LEANING, Estimate(0.1, None, 10, (-0.5, 0.9)), 0.6).alike
    assert not Gap(LEANING, Estimate(0.1, None, 10, (-0.2, 1.1)), 0.6).alike
    assert not Gap(LEANING[:1], Estimate(0.1, 0.1, 1), 0.6).alike


def test_a_gap_of_ten_seeds_has_its_interval_in_the_table_and_the_answer(tmp_path: Path) -> None:
    runs = [
        example.run(network, 3, seed, rounds=20, accuracy=[share] * 20, final_accuracy=share)
        for seed, ahead in enumerate(LEANING)
        for network, share in (("ann", 0.8), ("snn", 0.8 + ahead / 100))
    ]
    results = example.results(tmp_path / "runs", runs)
    shown = "+0.9 ({:+.1f} to {:+.1f})".format(*bca(LEANING))
    drawn = ACCURACY_TABLE.draw(results)
    assert isinstance(drawn, Table)
    assert drawn.body[0][-1] == shown
    assert not isinstance(ACCURACY_TABLE.caption, Caption)
    assert "BCa bootstrap" in " ".join(ACCURACY_TABLE.caption(results).notes)
    said = lines(results)
    assert f"{shown} points" in said[1]
    assert said[-1] == "Confidence: 10 seeds, 95 % BCa bootstrap intervals, Student’s t."
