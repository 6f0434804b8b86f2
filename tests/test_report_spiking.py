"""Many spiking networks in one report: which win, at what price, how they spike and whether they still do."""

import csv
import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import report_example as example
from fedspike import report
from fedspike.energy.estimate import Estimate
from fedspike.errors import InputError
from fedspike.report import (
    comparison,
    figures,
    pareto,
    raster,
    spiking_charts,
    spiking_figures,
    spiking_tables,
)
from fedspike.report.comparison import Comparison
from fedspike.report.pareto import Point
from test_report import HOSTILE, small, words

CODES, STEPS, READ_OUTS = ("rate", "latency"), (5, 10), ("count", "membrane")
# 11,215.5 spikes meet 100 neurons and 1,077 meet 10, over 79,400 synapses.
SPIKES_PER_SYNAPSE = (1_121_550 + 10_770) / 79_400


def sweep(*, rounds: int = 3, seeds: int = 1) -> list[dict[str, Any]]:
    """Eight spiking networks beside an ANN, on even data and with 3 classes; the longer the better."""
    runs = []
    for partition, classes in (({"kind": "iid"}, 10), ({"kind": "classes", "classes": 3}, 3)):
        for seed in range(seeds):
            setting: dict[str, Any] = {"rounds": rounds, "partition": partition}
            ann = example.run("ann", classes, seed, final_percent=80.0 + seed, **setting)
            runs.append(example.priced(ann))
            for code in CODES:
                for time_steps in STEPS:
                    for read_out in READ_OUTS:
                        final = 70.0 + time_steps + (code == "rate") + 2 * (read_out == "membrane")
                        snn = example.run("snn", classes, seed, final_percent=final, **setting)
                        snn = example.variant(
                            snn | {"hidden_weights": None}, code, time_steps, read_out
                        )
                        factor = time_steps / 50 * (1 if code == "rate" else 0.2)
                        runs.append(example.watched(example.priced(snn, sample_factor=factor)))
    return runs


def compared(runs: list[dict[str, Any]]) -> list[Comparison]:
    return comparison.compare(example.summaries(list(runs)))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small(tmp_path_factory.mktemp("sweep"), *sweep())


def test_every_network_has_a_name_that_says_what_sets_it_apart() -> None:
    found = compared(sweep())
    assert [c.variant for c in found[:8]] == [
        *("rate, T = 10, membrane", "latency, T = 10, membrane", "rate, T = 10, count"),
        *("latency, T = 10, count", "rate, T = 5, membrane", "latency, T = 5, membrane"),
        *("rate, T = 5, count", "latency, T = 5, count"),
    ]
    assert [c.label for c in comparison.leading(found)] == [
        "IID, rate, T = 10, membrane",
        "3 classes, rate, T = 10, membrane",
    ]
    assert len({id(c.ann) for c in found}) == 2
    assert len(comparison.groups_of(found)) == 18


def test_what_follows_from_another_key_is_not_said() -> None:
    """The loss follows from the read-out; two networks with one code do not say which."""
    snn = example.run("snn", rounds=2)
    runs = [example.variant(snn, "burst", 10, read_out) for read_out in READ_OUTS]
    assert [c.variant for c in compared(runs)] == list(READ_OUTS)
    for run, spikes in zip(runs, (3, 5), strict=True):
        run["config"]["code"] = {"kind": "burst", "most_spikes": spikes}
        run["config"]["snn"]["read_out"] = "count"
        run["config"]["loss"] = {"kind": "spike-count"}
    assert [c.variant for c in compared(runs)] == ["code most spikes 3", "code most spikes 5"]


def points(pairs: list[tuple[float, float]]) -> list[Point]:
    return [Point("", "snn", energy, Estimate(accuracy, None, 1)) for energy, accuracy in pairs]


FEW = st.sampled_from([1.0, 2.0, 3.0, 5.0, 8.0])


@given(st.lists(st.tuples(FEW, FEW), min_size=1, max_size=30))
def test_no_point_beats_one_of_the_front_and_each_other_is_beaten(
    pairs: list[tuple[float, float]],
) -> None:
    found = points(pairs)
    best = [(point.energy_mj, point.accuracy.mean) for point in pareto.front(found)]

    def beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
        return one != other and one[0] <= other[0] and one[1] >= other[1]

    for pair in pairs:
        assert (pair in best) == (not any(beats(other, pair) for other in pairs))
    assert best == sorted(best)
    assert pareto.front(found[::-1]) == pareto.front(found)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=20), st.floats(0.1, 5))
def test_names_are_a_line_apart_and_in_the_order_of_their_points(
    values: list[float], distance: float
) -> None:
    places = spiking_charts._below(100.0, values, distance)
    assert max(places) <= 100
    ordered = sorted(zip(values, places, strict=True))
    for (low, below), (high, above) in itertools.pairwise(ordered):
        assert abs(above - below) >= distance * (1 - 1e-9)
        assert low == high or above > below


def test_a_point_is_what_a_round_costs_with_training() -> None:
    runs = sweep(seeds=2)
    even = comparison.by_setting(compared(runs))
    (own, _) = even.values()
    found = {point.name: point for point in pareto.points(own, "horowitz45-int8")}
    assert len(found) == 9
    ann, *_ = [run for run in runs if run["network"] == "ann"]
    assert found["ANN"].energy_mj == pytest.approx(
        ann["bill"]["horowitz45-int8"]["training"]["nominal_mj"], rel=1e-12
    )
    # 80 and 81 %: t(0.975, 1) = 12.706 times half a point.
    assert found["ANN"].accuracy.mean == pytest.approx(80.5)
    assert found["ANN"].accuracy.half_width == pytest.approx(12.706 / 2)
    assert pareto.points(own, "keras-spiking-cpu") == [
        point for point in pareto.points(own, "keras-spiking-cpu") if point.network == "ann"
    ]  # no price for a spike, so no point
    all_in = {point.name for point in pareto.points(own, "cortex-m4")}
    assert all_in == set(found)  # priced up to all arithmetic, which is all it has


def test_the_chart_names_the_front_and_the_ann(page: Path) -> None:
    svg = (page / "figures" / "pareto.svg").read_text("utf-8")
    first = svg.split("3 classes, horowitz45-int8")[0]
    named = set(re.findall(r">\d\d\.\d  ([^<]+)<", first))
    own, _ = comparison.by_setting(compared(sweep())).values()
    best = {point.name for point in pareto.front(pareto.points(own, "horowitz45-int8"))}
    assert len(best) > 2
    assert named == best | {"ANN"}
    html = (page / "report.html").read_text("utf-8")
    assert html.count('aria-label="Accuracy and its price') == figures.MOST_PANELS
    assert "22 more panels, at other prices" in html


def test_two_networks_make_no_chart_and_three_do() -> None:
    two = [example.priced(example.run(network, rounds=2)) for network in ("ann", "snn")]
    assert list(spiking_figures.pareto_figure(compared(two))) == []
    three = [*two, example.priced(example.run("qann", rounds=2))]
    (drawn,) = spiking_figures.pareto_figure(compared(three))
    assert len(drawn.panels) == 1
    assert [run["bill"].pop("horowitz45-int8") for run in three]
    (drawn,) = spiking_figures.pareto_figure(compared(three))
    assert "horowitz45-int8" not in drawn.title
    for run in three:
        run["bill"] = None
    assert list(spiking_figures.pareto_figure(compared(three))) == []


def test_the_table_of_all_networks_is_what_was_counted_and_priced(page: Path) -> None:
    with (page / "tables" / "tableS1-variants.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 18
    assert [row["setting"] for row in rows] == ["IID"] * 9 + ["3 classes"] * 9
    by_accuracy = [float(row["last_round_percent"]) for row in rows[:9]]
    assert by_accuracy == sorted(by_accuracy, reverse=True)
    by_name = {row["network"]: row for row in rows[:9]}
    latency = by_name["latency, T = 10, membrane"]
    spikes = SPIKES_PER_SYNAPSE * 10 / 50 * 0.2
    assert float(latency["last_round_percent"]) == 82
    assert float(latency["spikes_per_synapse"]) == pytest.approx(spikes, rel=1e-6)
    # 20,000 samples, 79,400 synapses, 0.03 pJ an accumulate of 8 bits.
    assert float(latency["study_mj_per_round"]) == pytest.approx(
        20_000 * 79_400 * spikes * 0.03e-9, rel=1e-6
    )
    assert float(latency["memory_mj_per_round"]) > 100 * float(latency["study_mj_per_round"])
    assert (by_name["ANN"]["spikes_per_synapse"], by_name["ANN"]["last_round_percent"]) == (
        "",
        "80",
    )
    assert float(by_name["ANN"]["study_mj_per_round"]) == pytest.approx(
        20_000 * 79_400 * 0.23e-9, rel=1e-9
    )
    best = {row["network"] for row in rows[:9] if row["front"] == "yes"}
    own, _ = comparison.by_setting(compared(sweep())).values()
    assert best == {p.name for p in pareto.front(pareto.points(own, "horowitz45-int8"))}


def test_a_table_without_bills_has_no_prices_but_the_founding_rules() -> None:
    runs = [run | {"bill": {}, "activity": example.NOTHING} for run in sweep()]
    table = spiking_tables.variants_table(compared(runs), "horowitz45-int8")
    cells = dict(zip([column.key for column in table.columns], table.body[0], strict=True))
    assert cells["founding_mj_per_round"] == "2.292"
    assert cells["spikes_per_synapse"] == "0.0"
    for key in ("study_mj_per_round", "memory_mj_per_round", "front"):
        assert cells[key] == "–"


def test_the_page_speaks_of_the_best_and_says_that_it_was_chosen(page: Path) -> None:
    text = words(page).replace("\xa0", " ")
    assert (
        "With “IID” data the most accurate of 8 spiking networks (rate, T = 10, membrane) is 3.0 "
        "points ahead (83.0 % against 80.0 %); with 3 classes per client it is 3.0 points ahead"
    ) in text
    assert "The spiking networks reach 75.0 to 83.0 % with “IID” data (8 of them), 75.0 to" in text
    assert "it was chosen by the very test accuracy that it is shown with" in text
    assert "code: latency instead of rate; read-out: membrane instead of count" in text
    assert "Diamonds" not in text
    html = (page / "report.html").read_text("utf-8")
    assert html.count('aria-label="Test accuracy') == 16
    assert html.count(">4 more networks<") == 2  # the curves of each setting
    assert html.count(">12 more networks<") == 1  # the firing rates of 16
    assert len(re.findall(r"<td[^>]*>multiply-accumulate<", html)) == 2  # each ANN once


def spikes_of(path: str, time_steps: int, rows: int) -> np.ndarray:
    """What a raster's strokes say, read back."""
    seen = np.zeros((time_steps, rows), bool)
    for step, start, length in re.findall(r"M(\d+)\.5 (\d+)v(\d+)", path):
        assert not seen[int(step), int(start) : int(start) + int(length)].any()
        seen[int(step), int(start) : int(start) + int(length)] = True
    return seen


@given(st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_a_raster_shows_each_spike_of_each_pixel_from_the_brightest_down(
    time_steps: int, seed: int
) -> None:
    random = np.random.Generator(np.random.PCG64(seed))
    image = random.integers(0, 4, (3, 4), dtype=np.uint8)
    spikes = (random.random((time_steps, 12)) < 0.4) & (image.reshape(-1) > 0)
    drawn = raster.raster("rate", image, spikes)
    assert drawn.rows == max(1, (image > 0).sum())
    order = sorted(range(12), key=lambda pixel: -int(image.flat[pixel]))[: drawn.rows]
    assert (spikes_of(drawn.path, time_steps, drawn.rows) == spikes[:, order]).all()
    assert drawn.said[0] == f"{spikes.sum() / 12:.2f} spikes"


def pictured(time_steps: int, code: str, fill: bool = True) -> dict[str, Any]:
    one = example.variant(example.run("snn", rounds=2), code, time_steps)
    image = np.arange(6).reshape(2, 3)
    return example.pictured(one, np.full((time_steps, 6), fill), image)


def test_each_code_is_drawn_once_with_the_time_steps_nearest_to_ten(tmp_path: Path) -> None:
    runs = [pictured(25, "burst"), pictured(9, "burst"), pictured(5, "rate"), pictured(12, "phase")]
    directory = small(tmp_path, *runs)
    html = (directory / "report.html").read_text("utf-8")
    drawn = re.findall(r'aria-label="Spikes of one image: ([^"]+)"', html)
    assert sorted(drawn) == ["burst, T = 9", "phase, T = 12", "rate, T = 5"]
    files = {path.stem for path in (directory / "figures").glob("raster-*.svg")}
    assert files == {"raster-burst", "raster-phase", "raster-rate"}
    assert (directory / "figures" / "raster-burst.pdf").stat().st_size > 2_000
    assert 'stroke="var(--snn)"' in html
    assert html.count("M0.5 0v5M1.5 0v5") == 3  # five pixels are not black


def test_a_run_without_a_raster_and_an_old_one_have_none(tmp_path: Path) -> None:
    runs = [example.run("snn", rounds=2) | {"raster": None}, example.run("ann", rounds=2)]
    directory = small(tmp_path, *runs)
    assert not list((directory / "figures").glob("raster*"))
    assert 'id="spiking"' not in (directory / "report.html").read_text("utf-8")


def test_a_raster_that_does_not_fill_its_shape_is_refused(tmp_path: Path) -> None:
    run = pictured(10, "rate")
    run["raster"]["time_steps"] = 11
    with pytest.raises(InputError, match="raster holds 8 numbers"):
        report.write(example.write(tmp_path / "runs", [run]))


def test_the_name_of_a_code_is_only_ever_text(tmp_path: Path) -> None:
    codes = (HOSTILE, "../../rate")
    runs = [pictured(4, code) | {"name": f"run-{n}"} for n, code in enumerate(codes)]
    directory = small(tmp_path, *runs)
    html = (directory / "report.html").read_text("utf-8")
    assert "<script" not in html
    assert not {path.name for path in tmp_path.iterdir()} - {"small"}
    assert len(list((directory / "figures").glob("raster-*.svg"))) == 2


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
    directory = small(tmp_path, *runs)
    text = words(directory).replace("\xa0", " ")
    assert (
        f"A layer was dead in 2 of 4 spiking runs, above all “hidden” of {runs[2]['name']}, in 7 of 9 "
        "rounds. Usual fix: lower snn.threshold."
    ) in text
    assert "A layer was saturated in 1 of 4 spiking runs" in text
    assert (
        "dead, under 0.1 % of a layer’s neurons spike at a step, and saturated, over 90 %" in text
    )
    html = (directory / "report.html").read_text("utf-8")
    labels = re.findall(r'aria-label="How often the neurons fire: ([^"]+)"', html)
    assert labels[-1] == "10 classes, rate"  # the ill ones come first
    svg = (directory / "figures" / "firing-rates.svg").read_text("utf-8")
    assert svg.count(">dead<") == svg.count(">saturated<") == 3


def test_healthy_layers_are_drawn_and_not_talked_of(page: Path) -> None:
    text = words(page)
    assert "A layer was" not in text
    assert "How often the neurons fire" in text


def test_rates_without_limits_are_drawn_without_zones(tmp_path: Path) -> None:
    run = example.watched(example.run("snn", rounds=4)) | {"rate_limits": {}}
    directory = small(tmp_path, run)
    svg = (directory / "figures" / "firing-rates.svg").read_text("utf-8")
    assert ">hidden<" in svg
    assert ">dead<" not in svg
