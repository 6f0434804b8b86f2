"""Which network to choose: thirteen cases with answers written down before, and the tests behind them."""

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats import contingency_tables, multitest

import report_example as example
from fedspike.energy.estimate import Estimate
from fedspike.records import health
from fedspike.report.analysis.convergence import unsettled
from fedspike.report.analysis.gaps import Gap, mcnemar, student
from fedspike.report.analysis.results import Results
from fedspike.report.analysis.significance import holm
from fedspike.report.figures.decision import answer, lines

ROUNDS = 20
CHEAP, DEAR = 0.001, 3.0  # times the spikes of the study


def one(
    network: str,
    percent: float,
    seed: int = 0,
    spikes: float = 1.0,
    *,
    classes: int = 3,
    shift: int = 0,
    **changes: Any,
) -> dict[str, Any]:
    """A finished run that settled long ago, with a bill."""
    share = round(10 * percent) / 1000
    flat: dict[str, Any] = {
        "accuracy": [share] * ROUNDS,
        "final_accuracy": share,
        "predictions": example.predicted(percent, shift),
    }
    made = example.run(
        network, classes, seed, rounds=ROUNDS, final_percent=percent, **(flat | changes)
    )
    return example.priced(made, sample_factor=spikes)


def both(ann: list[float], snn: list[float], spikes: float = 1.0, classes: int = 3) -> list[Any]:
    """An ANN and an SNN of each seed."""
    return [
        run
        for seed, (a, s) in enumerate(zip(ann, snn, strict=True))
        for run in (
            one("ann", a, seed, classes=classes),
            one("snn", s, seed, spikes, classes=classes),
        )
    ]


def unfit(percent: float, tested: list[int], **rates: list[float | None]) -> dict[str, Any]:
    return {"unfit": health.unfit(percent / 100, [tested], rates)}


EVEN = [100] * 10
FIVE = [80.0, 80.2, 80.4, 80.6, 80.8]
ALIKE = (0.2, -0.1, 0.0, 0.1, -0.2)
RISING: dict[str, Any] = {"accuracy": [0.4 + 0.02 * n for n in range(ROUNDS)]}
CASES: dict[str, tuple[list[Any], str, str]] = {
    "output layer dead": (
        [one("ann", 80), one("snn", 50, **unfit(50, EVEN, output=[0.0]))],
        "undecided",
        "Not decidable, because the SNN does not work (layer output is dead: 0.00% of its neurons",
    ),
    "chance": (
        [one("ann", 11, **unfit(11, EVEN)), one("snn", 60)],
        "undecided",
        "Not decidable, because the ANN does not work (accuracy 11.0% on 1000 test samples",
    ),
    "majority class": (
        [one("ann", 80), one("snn", 71, **unfit(71, [700, 100, 100, 100]))],
        "undecided",
        "naming the most frequent class would do as well (70.0%)",
    ),
    "diverged": (
        [one("ann", 80, training_loss=[0.5] * (ROUNDS - 1) + [None]), one("snn", 70)],
        "undecided",
        "Not decidable, because the ANN diverged (its loss is no longer a number",
    ),
    "not converged": (
        [one("ann", 80), one("snn", 78, **RISING)],
        "undecided",
        "Not decidable, because the SNN still improves (8.0 points more in the last fifth",
    ),
    "within McNemar's interval": (
        [one("ann", 80), one("snn", 81, spikes=CHEAP, shift=100)],
        "undecided",
        "Not decidable, because 1.0 points may be chance (± 2.",
    ),
    "two seeds": (
        both([80, 80.2], [90, 90.1], CHEAP),
        "undecided",
        "Not decidable, because 2 seeds are too few: take 3 or more.",
    ),
    "one seed, surely apart": (
        [one("ann", 85), one("snn", 80, spikes=DEAR)],
        "conventional",
        "Choose the ANN: it is 5.0 points more accurate and needs 1.7 to 104 times less energy, "
        "without the radio, under all 9 h",
    ),
    "alike and cheaper": (
        both(FIVE, [p + d for p, d in zip(FIVE, ALIKE, strict=True)], CHEAP),
        "spiking",
        "Choose the SNN: it is as accurate as the ANN (within 1 point) and needs 3.0 to 70 times less energy",
    ),
    "accuracy against energy": (
        both(FIVE, [p - d for p, d in zip(FIVE, (5.2, 4.9, 5.0, 5.1, 4.8), strict=True)], CHEAP),
        "depends",
        "It depends on whether accuracy or energy counts more: the ANN is 5.0 points more accurate; the SNN ",
    ),
    "hardware": (
        both(FIVE, [p + d for p, d in zip(FIVE, ALIKE, strict=True)], 0.03),
        "depends",
        "It depends on the hardware: both networks are equally accurate (within 1 point); the SNN needs less "
        "energy under 7 of 9 hardware price tables and under 2 of 9 on hardware that skips the zeros",
    ),
    "all but one table": (
        both(FIVE, [p + d for p, d in zip(FIVE, ALIKE, strict=True)], 1.0),
        "conventional",
        "Choose the ANN: it is as accurate as the SNN (within 1 point) and needs 14 to 35 times less energy, "
        "without the radio, under 8 of 9 hardware price tables (all but founding-study)",
    ),
    "skew": (
        [
            *both(FIVE, [p + 3 + p / 100 for p in FIVE], CHEAP, classes=10),
            *both(FIVE, [p - 5 + p / 100 for p in FIVE], CHEAP, classes=3),
        ],
        "spiking depends",
        "It depends on the data: with 10 classes per client choose the SNN (3.8 points more "
        "accurate); with 3 it depends on whether accuracy or energy counts more (the ANN is 4.2 points more "
        "accurate). In all settings the SNN needs 3.0 to 70 times less energy, without the radio, "
        "under all 9 ",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_answer_is_the_one_written_down(case: str, tmp_path: Path) -> None:
    runs, expected, words = CASES[case]
    results = example.results(tmp_path / "runs", runs)
    assert " ".join(choice.answer for choice in results.choices) == expected
    assert words in answer(results.choices)
    assert lines(results)[0] == answer(results.choices)
    assert len(lines(results)) in (3, 4)


def test_settings_with_one_answer_are_named_together(tmp_path: Path) -> None:
    """What can be decided comes first, and settings with one reason stand together."""
    runs = [
        run
        for classes, percent in ((10, 80.4), (7, 80.5), (5, 80.3), (3, 75.0))
        for run in (one("ann", 80, classes=classes), one("snn", percent, classes=classes, shift=9))
    ]
    said = answer(example.results(tmp_path / "runs", runs).choices)
    assert said.startswith(
        "It depends on the data: with 3 classes per client choose the ANN (5.0 points more accurate); it is "
        "not decidable with 10, 7 and 5 (the difference may be chance). In all settings "
    )


@pytest.mark.parametrize("decided", [True, False])
def test_the_factor_of_the_energy_is_that_of_all_settings(decided: bool, tmp_path: Path) -> None:
    """It is said once, and goes from the least to the most of any setting under any table that agrees."""
    seeds = FIVE if decided else FIVE[:2]
    runs = [
        *both(seeds, [p + 3 + p / 100 for p in seeds], CHEAP, classes=10),
        *both(seeds, [p - 5 + p / 100 for p in seeds], 3 * CHEAP, classes=3),
    ]
    results = example.results(tmp_path / "runs", runs)
    ratios = [
        one.ratio or 0.0
        for choice in results.choices
        for one in choice.tables[0].verdicts
        if one.winner == "spiking"
    ]
    alone, least = (min(1 / r for r in of) for of in (ratios[: len(ratios) // 2], ratios))
    assert least < 0.9 * alone
    (factor,) = re.findall(r"needs ([\d.]+) to ([\d.]+) times less", " ".join(lines(results)))
    assert [*map(float, factor)] == pytest.approx([least, max(1 / r for r in ratios)], rel=0.03)


def test_without_both_networks_there_is_nothing_to_choose(tmp_path: Path) -> None:
    results = example.results(tmp_path / "runs", [one("snn", 80)])
    assert not results.choices
    (said,) = lines(results)
    assert said.startswith("Not decidable, because no setting has a finished run of both networks")


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.95), st.floats(0.05, 0.95))
def test_mcnemar_is_the_exact_binomial_test(seed: int, p: float, q: float) -> None:
    """Both tails of the binomial distribution of the samples that one alone has right, summed up."""
    random = np.random.default_rng(seed)
    right, other = random.random(300) < p, random.random(300) < q
    b, c = int((right & ~other).sum()), int((~right & other).sum())
    tail = sum(math.comb(b + c, k) for k in range(min(b, c) + 1)) / 2 ** (b + c)
    half, found = mcnemar(right, other)
    assert found == pytest.approx(min(1.0, 2 * tail), rel=1e-9)
    differences = right.astype(float) - other
    assert half == pytest.approx(196 * differences.std() / math.sqrt(300), rel=1e-9)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=80))
def test_mcnemar_is_statsmodels(right: list[tuple[bool, bool]]) -> None:
    one, other = np.array(right).T
    table = [[((one == a) & (other == b)).sum() for b in (True, False)] for a in (True, False)]
    expected = contingency_tables.mcnemar(table, exact=True).pvalue
    assert mcnemar(one, other)[1] == pytest.approx(float(expected), rel=1e-9)


@pytest.mark.thorough
@settings(max_examples=10)  # statsmodels takes 60 ms for each
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_statsmodels(ps: list[float]) -> None:
    assert holm(ps) == pytest.approx(multitest.multipletests(ps, method="holm")[1], abs=1e-12)


@given(st.lists(st.floats(-10, 10), min_size=3, max_size=12))
def test_students_p_is_scipys(differences: list[float]) -> None:
    if np.std(differences) < 1e-6:
        return
    expected = stats.ttest_1samp(differences, 0.0).pvalue
    assert student(differences) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_how_many_seeds_would_do() -> None:
    """Seeds that scatter by 2 around 1: t(0.975, n-1) 2/sqrt(n) < 1 first holds with 18."""
    values = (-1.0, 1.0, 3.0)
    gap = Gap(values, Estimate(1.0, 4.97, 3), p=0.48)
    assert gap.seeds_for_an_answer == 18
    assert (
        stats.t.ppf(0.975, 17) * 2 / math.sqrt(18) < 1 < stats.t.ppf(0.975, 16) * 2 / math.sqrt(17)
    )
    assert Gap((1.0,), Estimate(1.0, 2.0, 1), 0.3).seeds_for_an_answer is None


@pytest.mark.parametrize(
    ("accuracy", "expected"),
    [
        ([0.5] * 20, ""),
        ([0.5 + 0.001 * n for n in range(20)], ""),  # 0.4 points a fifth
        ([0.4 + 0.01 * n for n in range(20)], "still improves (4.0 points more"),
        ([0.8] * 12 + [0.6] * 8, "has forgotten (20 points less"),
        ([0.1, 0.5, 0.6], "has had 3 rounds, too few"),
        ([0.5 + 0.1 * (n % 2) for n in range(20)], ""),  # no more than the rounds scatter
    ],
)
def test_a_curve_has_settled_or_not(accuracy: list[float], expected: str, tmp_path: Path) -> None:
    run = example.run("ann", rounds=len(accuracy), accuracy=accuracy, final_accuracy=accuracy[-1])
    (network,) = example.results(tmp_path / "runs", [run]).networks
    assert unsettled(network).startswith(expected)
    assert bool(unsettled(network)) == bool(expected)


def test_predictions_of_other_samples_are_not_compared(tmp_path: Path) -> None:
    """Then the interval is that of two independent tests, which is wider."""
    runs = [one("ann", 80), one("snn", 81, predictions=None)]
    (gap,) = Results.gaps.func(example.results(tmp_path / "runs", runs))  # type: ignore[attr-defined]
    assert gap.estimate.half_width == pytest.approx(
        196 * math.sqrt((0.8 * 0.2 + 0.81 * 0.19) / 10_000)
    )


def test_the_answer_is_for_every_skew_of_a_fleet(tmp_path: Path) -> None:
    """Whether it is one of classes per client or another, but not for training in one place."""
    partitions: list[dict[str, Any]] = [
        {"kind": "classes", "classes": 3},
        {"kind": "dirichlet", "alpha": 0.1},
        {"kind": "centralised"},
    ]
    runs = [
        example.run(network, partition.get("classes"), partition=partition, final_percent=80)
        for network in ("ann", "snn")
        for partition in partitions
    ]
    results = example.results(tmp_path / "runs", runs)
    kinds = [one.setting.first_run.config["partition"]["kind"] for one in results.leading]
    assert sorted(kinds) == ["classes", "dirichlet"]
