"""Many spiking networks in one report: which win, at what price, how they spike and whether they still do."""

import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import report_example as example
from fedspike.energy.estimate import Estimate
from fedspike.errors import InputError
from fedspike.report.analysis.results import Results
from fedspike.report.analysis.settings import settings
from fedspike.report.figures import variants
from fedspike.report.figures.accuracy import curves
from fedspike.report.figures.answer import FINDINGS, LIMITS, VARIANTS
from fedspike.report.figures.decision import IN_SHORT
from fedspike.report.figures.firing_rates import FIRING_RATES
from fedspike.report.figures.spike_rasters import SPIKE_RASTERS, Raster, strokes
from fedspike.report.figures.variants import PARETO_CHART, VARIANTS_TABLE, Point, front, points
from report_example import READ_OUTS
from test_report_numbers import rows, sentences

# 11,215.5 spikes meet 100 neurons and 1,077 meet 10, over 79,400 synapses.
SPIKES_PER_SYNAPSE = (1_121_550 + 10_770) / 79_400
PROFILE = "horowitz45-int8"


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return example.results(tmp_path_factory.mktemp("runs") / "sweep", example.sweep())


def test_every_network_has_a_name_that_says_what_sets_it_apart(sweep: Results) -> None:
    even, skewed = sweep.settings
    assert [network.variant for network in even.spiking] == [
        *("rate, T = 10, membrane", "latency, T = 10, membrane", "rate, T = 10, count"),
        *("latency, T = 10, count", "rate, T = 5, membrane", "latency, T = 5, membrane"),
        *("rate, T = 5, count", "latency, T = 5, count"),
    ]
    assert [one.label for one in sweep.leading] == [
        f"{setting.label}, rate, T = 10, membrane" for setting in (even, skewed)
    ]
    assert len(sweep.networks) == 18


def test_what_follows_from_another_key_is_not_said() -> None:
    """The loss follows from the read-out; two networks with one code do not say which."""

    def variants(runs: list[dict[str, Any]]) -> list[str]:
        (setting,) = settings(example.summaries(runs))
        return [network.variant for network in setting.spiking]

    snn = example.run("snn", rounds=2)
    runs = [example.variant(snn, "burst", 10, read_out) for read_out in READ_OUTS]
    assert variants(runs) == list(READ_OUTS)
    for run, spikes in zip(runs, (3, 5), strict=True):
        run["config"] = example.variant(snn, "burst", 10)["config"]
        run["config"]["code"] = {"kind": "burst", "most_spikes": spikes}
    assert variants(runs) == ["code most spikes 3", "code most spikes 5"]


FEW = st.sampled_from([1.0, 2.0, 3.0, 5.0, 8.0])


@given(st.lists(st.tuples(FEW, FEW), min_size=1, max_size=30))
def test_no_point_beats_one_of_the_front_and_each_other_is_beaten(
    pairs: list[tuple[float, float]],
) -> None:
    cloud = [Point("", True, energy, Estimate(accuracy, None, 1)) for energy, accuracy in pairs]
    best = [(point.energy_mj, point.accuracy.mean) for point in front(cloud)]

    def beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
        return one != other and one[0] <= other[0] and one[1] >= other[1]

    for pair in pairs:
        assert (pair in best) == (not any(beats(other, pair) for other in pairs))
    assert best == sorted(best)
    assert front(cloud[::-1]) == front(cloud)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=20), st.floats(0.1, 5))
def test_names_are_a_line_apart_and_in_the_order_of_their_points(
    values: list[float], distance: float
) -> None:
    places = variants.below(100.0, values, distance)
    assert max(places) <= 100
    ordered = sorted(zip(values, places, strict=True))
    for (low, below), (high, above) in itertools.pairwise(ordered):
        assert abs(above - below) >= distance * (1 - 1e-9)
        assert low == high or above > below


def test_a_point_is_what_a_round_costs_with_training(tmp_path: Path) -> None:
    results = example.results(tmp_path / "runs", example.sweep(seeds=2))
    networks = results.settings[0].networks
    cloud = {point.name: point for point in points(networks, PROFILE)}
    assert len(cloud) == 9
    ann = networks[0].runs[0]
    assert cloud["ANN"].energy_mj == pytest.approx(ann.bill[PROFILE]["training"].nominal_mj)
    accuracy = cloud["ANN"].accuracy  # 80 and 81 %
    assert accuracy.mean == pytest.approx(80.5)
    assert accuracy.half_width is None
    # No price for a spike, so no point; and priced up to all arithmetic, which is all there is.
    assert not any(point.is_spiking for point in points(networks, "keras-spiking-cpu"))
    assert {point.name for point in points(networks, "cortex-m4")} == set(cloud)


def test_the_chart_names_all_of_few_networks(sweep: Results) -> None:
    panels = PARETO_CHART.draw(PARETO_CHART.needs(sweep)[:1])
    named = {*re.findall(r">\d\d\.\d  ([^<]+)<", panels.panels[0].svg)}  # type: ignore[union-attr]
    assert named == {point.name for point in points(sweep.settings[0].networks, PROFILE)}


def test_the_chart_names_the_front_and_the_conventional_network(
    sweep: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedspike.report.figures.variants.MOST_NAMED", 7)
    panels = PARETO_CHART.draw(PARETO_CHART.needs(sweep)[:1])
    named = set(re.findall(r">\d\d\.\d  ([^<]+)<", panels.panels[0].svg))  # type: ignore[union-attr]
    best = {point.name for point in front(points(sweep.settings[0].networks, PROFILE))}
    assert len(best) > 2
    assert named == best | {"ANN"}


def test_two_networks_make_no_chart_and_three_do(tmp_path: Path) -> None:
    runs = [example.priced(example.run(n, rounds=2)) for n in ("ann", "snn", "qann")]
    assert not PARETO_CHART.needs(example.results(tmp_path / "two", runs[:2]))
    (cloud, *_) = PARETO_CHART.needs(example.results(tmp_path / "three", runs))
    assert cloud.profile == PROFILE
    bare = [run | {"bill": {}} for run in runs]
    assert not PARETO_CHART.needs(example.results(tmp_path / "bare", bare))


def test_the_table_of_all_networks_is_what_was_counted_and_priced(sweep: Results) -> None:
    table = rows(VARIANTS_TABLE, sweep)
    assert [row["setting"] for row in table] == ["IID"] * 9 + ["3 classes"] * 9
    by_accuracy = [row["last_round_percent"] for row in table[:9]]
    assert by_accuracy == sorted(by_accuracy, reverse=True)
    by_name = {row["network"]: row for row in table[:9]}
    latency, ann = by_name["latency, T = 10, membrane"], by_name["ANN"]
    spikes = SPIKES_PER_SYNAPSE * 10 / 50 * 0.2
    assert latency["last_round_percent"] == pytest.approx(82)
    assert latency["spikes_per_synapse"] == pytest.approx(spikes, rel=1e-6)
    # 20,000 samples, 79,400 synapses, 0.03 pJ an accumulate of 8 bits.
    millijoule = 20_000 * 79_400 * spikes * 0.03e-9
    assert latency["study_mj_per_round"] == pytest.approx(millijoule, rel=1e-6)
    assert latency["memory_mj_per_round"] > 100 * latency["study_mj_per_round"]
    assert (ann["spikes_per_synapse"], ann["last_round_percent"]) == (None, 80)
    assert ann["study_mj_per_round"] == pytest.approx(20_000 * 79_400 * 0.23e-9, rel=1e-9)
    best = {row["network"] for row in table[:9] if row["front"] == "yes"}
    assert best == {p.name for p in front(points(sweep.settings[0].networks, PROFILE))}


def test_the_answer_is_about_the_best_and_says_that_it_was_chosen(sweep: Results) -> None:
    short = sentences(IN_SHORT, sweep)
    assert "with “IID”, SNN (rate, T = 10, membrane) 83.0 % against 80.0 % of the ANN" in short
    assert "75.0 to 83.0 % with “IID” (8 networks)" in sentences(FINDINGS, sweep)
    assert VARIANTS in sentences(LIMITS, sweep)
    shown = curves(sweep.comparisons)
    assert (len(shown.comparisons), shown.shown) == (16, 4)


@given(st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_a_raster_shows_each_spike_of_each_pixel_from_the_brightest_down(
    time_steps: int, seed: int
) -> None:
    random = np.random.Generator(np.random.PCG64(seed))
    image = random.integers(0, 4, (3, 4), dtype=np.uint8)
    spikes = (random.random((time_steps, 12)) < 0.4) & (image.reshape(-1) > 0)
    raster = Raster("rate", image, spikes)
    bright = max(1, int((image > 0).sum()))
    order = sorted(range(12), key=lambda pixel: -int(image.flat[pixel]))[:bright]
    drawn = np.zeros((time_steps, bright), bool)
    for step, start, length in re.findall(r"M(\d+)\.5 (\d+)v(\d+)", strokes(raster.shown)):
        assert not drawn[int(step), int(start) : int(start) + int(length)].any()
        drawn[int(step), int(start) : int(start) + int(length)] = True
    assert (drawn == spikes[:, order]).all()


def test_each_code_is_drawn_once_with_the_time_steps_nearest_to_ten(tmp_path: Path) -> None:
    steps_of = [("burst", 25), ("burst", 9), ("rate", 5), ("phase", 12)]
    runs = [
        example.pictured(
            example.variant(example.run("snn", rounds=2), code, steps),
            np.full((steps, 6), True),
            np.arange(6).reshape(2, 3),
        )
        for code, steps in steps_of
    ]
    rasters = SPIKE_RASTERS.needs(example.results(tmp_path / "runs", runs))
    assert [(one.code, len(one.spikes)) for one in rasters] == [steps_of[n] for n in (1, 2, 3)]
    assert strokes(rasters[1].shown).startswith("M0.5 0v5M1.5 0v5")  # five pixels are not black
    runs[2]["raster"]["time_steps"] = 11
    with pytest.raises(InputError, match="raster holds"):
        SPIKE_RASTERS.needs(example.results(tmp_path / "broken", runs[2:]))


def test_dead_and_saturated_layers_are_told_with_what_helps(tmp_path: Path) -> None:
    runs = [
        example.watched(example.variant(example.run("snn", seed=seed, rounds=9), code, 10), *how)
        for code, seed, how in (
            ("rate", 0, (0.12, "", 0)),
            ("delta", 0, (0.0004, "dead", 3)),
            ("delta", 1, (0.0, "dead", 7)),
            ("direct", 0, (0.95, "saturated", 9)),
        )
    ]
    results = example.results(tmp_path / "runs", runs)
    text = sentences(FINDINGS, results)
    assert f"“hidden” of {runs[2]['name']}: 7 of 9 rounds. Usual fix: lower snn.thresh" in text
    assert "dead in 2 of 4 spiking runs" in text
    assert "saturated in 1 of 4 spiking runs" in text
    rates = FIRING_RATES.needs(results)
    assert rates[-1].label == "10 classes, rate"  # those with a dead or saturated layer come first
    panels = FIRING_RATES.draw(rates).panels  # type: ignore[union-attr]
    assert all(">dead<" in panel.svg and ">saturated<" in panel.svg for panel in panels)


def test_healthy_layers_are_drawn_and_not_talked_of(sweep: Results, tmp_path: Path) -> None:
    assert "A layer was" not in sentences(FINDINGS, sweep)
    run = example.watched(example.run("snn", rounds=4)) | {"rate_limits": {}}
    rates = FIRING_RATES.needs(example.results(tmp_path / "runs", [run]))
    (panel,) = FIRING_RATES.draw(rates).panels  # type: ignore[union-attr]
    assert ">hidden<" in panel.svg
    assert ">dead<" not in panel.svg  # no limits, no zones
