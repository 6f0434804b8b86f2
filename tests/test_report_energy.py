"""The energy bill in the report: verdicts against figures worked out by hand, and what is left unsaid."""

import re
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import pytest

import report_example as example
from fedspike.energy import pairing
from fedspike.energy.profiles import radios, shipped
from fedspike.energy.sensitivity import sensitivity
from fedspike.report import (
    bills,
    comparison,
    drawing,
    energy_charts,
    energy_tables,
    provenance_tables,
    repricing,
)
from fedspike.report.bills import BASELINES, Priced
from fedspike.report.comparison import Comparison
from fedspike.report.tables import to_csv
from test_report import HOSTILE, small, words

DENSE, SKIPPING, QUANTISED = BASELINES
# 11,215.5 spikes meet 100 neurons and 1,077 meet 10; beside 79,400 multiply-accumulates.
ACCUMULATES = 1_121_550 + 10_770


def pair(
    seed: int = 0, classes: int = 3, factor: float = 1.0, rounds: int = 5, **changes: Any
) -> list[Any]:
    """An ANN and an SNN of one seed; the SNN with `factor` times the spikes."""
    ann, snn = (
        example.run(network, classes, seed, rounds=rounds, **changes) for network in ("ann", "snn")
    )
    return [example.priced(ann), example.priced(snn, sample_factor=factor)]


def compared(*runs: dict[str, Any]) -> list[Comparison]:
    return comparison.compare(example.summaries(list(runs)))


def view_of(*runs: dict[str, Any]) -> Priced:
    view = bills.priced(compared(*runs), pairing.compared(example.summaries(list(runs))))
    assert view is not None
    return view


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = [*pair(classes=10), *pair(classes=3), example.priced(example.run("qann", 10, rounds=5))]
    runs[0]["measured"] = [
        {"sensor": "powercap", "unavailable": "no folder /sys/class/powercap"},
        {
            **{"sensor": "zeus", "domain": "gpu-0", "joules": 1234.5, "windows": 5, "seconds": 80},
            **{"joules_per_round": {"mean": 12.3, "low": 12.0, "high": 12.6}, "idle_watts": 9.9},
        },
    ]
    return small(tmp_path_factory.mktemp("energy"), *runs)


def cells(view: Priced, baseline: bills.Baseline = DENSE) -> dict[str, list[str | None]]:
    return {
        row.profile: [None if cell is None else cell.text for cell in row.cells]
        for row in bills.matrix(view, baseline)
    }


def test_the_matrix_has_the_winner_and_the_factor_of_every_cell() -> None:
    found = cells(view_of(*pair()))
    synapses = {profile: texts[0] for profile, texts in found.items()}
    per_mac = ACCUMULATES / 79_400
    assert synapses == {
        "jouppi7-int32": f"SNN {1.51 / (0.03 * per_mac):.2f}×",
        "horowitz45-int32": f"SNN {3.2 / (0.1 * per_mac):.2f}×",
        "founding-study": f"SNN {3.1 / (0.1 * per_mac):.2f}×",
        "jouppi7-int8": f"ANN {0.007 * per_mac / 0.077:.2f}×",
        "horowitz45-int8": f"ANN {0.03 * per_mac / 0.23:.2f}×",
        "horowitz45-fp32": f"ANN {0.9 * per_mac / 4.6:.2f}×",
        "horowitz45-fp16": f"ANN {0.4 * per_mac / 1.5:.2f}×",
        "jouppi7-bf16": f"ANN {0.11 * per_mac / 0.32:.2f}×",
        "cortex-m4": f"ANN {per_mac:.1f}×",
    }
    assert list(found) == list(synapses)  # the kindest to the SNN first
    assert found["cortex-m4"][2:] == [None, None, None]
    assert found["horowitz45-int32"][2] == "ANN 18.4×"  # it flips from level to level


def test_a_dagger_where_work_without_a_price_could_turn_the_verdict() -> None:
    found = {row.profile: row.cells for row in bills.matrix(view_of(*pair()), DENSE)}
    turns = {profile: [cell and cell.turns for cell in of] for profile, of in found.items()}
    assert turns["founding-study"] == [False, True, True, True, True]
    # Both do the optimiser's square roots alike, and the ANN that wins did all else at a price.
    assert turns["horowitz45-int8"] == [False] * 5


def test_no_verdict_and_no_figure_without_a_price_of_the_synaptic_operations() -> None:
    view = view_of(*pair())
    keras = [f"keras-spiking-{device}" for device in ("arm", "cpu", "gpu")]
    none = [*keras, "loihi1-presilicon", "odin28-all-in", "truenorth-all-in", "yan22"]
    assert sorted(bills.without_verdict(view, DENSE)) == none
    table = energy_tables.verdict_table(view)
    keys = [column.key for column in table.columns]
    for row in table.rows:
        values = dict(zip(keys, row, strict=True))
        if values["profile"] in none:
            assert (values["ann_mj"] is None) == (values["profile"] not in keras)
            assert (values["snn_mj"] is None) == (values["profile"] in keras)
            assert values["ratio"] is None
            assert values["winner"] == "no verdict"


def test_the_headline_counts_price_tables() -> None:
    view = view_of(*pair())
    assert bills.headline(view) == (
        "It needs less energy under 3 of 9 price tables counting synaptic operations alone, "
        "under 3 of 9 with all arithmetic, under 1 of 8 with memory and under 1 of 8 with training."
    )


def test_the_other_baselines_have_matrices_of_their_own() -> None:
    runs = pair()
    without = view_of(*runs)
    assert cells(without, QUANTISED) == {}
    view = view_of(*runs, example.priced(example.run("qann", 3, rounds=5)))
    skipping, dense = cells(view, SKIPPING), cells(view)
    half = (392.3 * 100 + 41 * 10) / 79_400  # of the products have an input that is not 0
    ratio = ACCUMULATES / 79_400 * 0.03 / 0.23 / half
    assert skipping["horowitz45-int8"][0] == f"ANN {ratio:.2f}×"
    assert cells(view, QUANTISED) == dense  # the same counts at the same prices
    scores = {str(row[0]): row[1:] for row in energy_tables.baselines_table(view).rows}
    assert scores["Quantised ANN"][1:] == scores["ANN"][1:]
    accuracy = scores["Quantised ANN"][0]
    assert not isinstance(accuracy, str | int | float)
    assert accuracy is not None
    assert accuracy.mean == 81.0
    assert scores["ANN"][1] == "3 of 9"


def test_seeds_have_an_interval_and_may_leave_a_verdict_open() -> None:
    view = view_of(*pair(0, factor=1.0), *pair(1, factor=1.1))
    found = {row.profile: row.cells for row in bills.matrix(view, DENSE)}
    fp32 = found["horowitz45-fp32"][0]
    assert fp32 is not None
    ratio = 0.9 * ACCUMULATES / 79_400 / 4.6
    mean, half = 1.05 * ratio, 12.706 * 0.1 * ratio / 2  # t * s / sqrt(2), s = 0.1 ratio / sqrt(2)
    assert fp32.text == f"ANN {mean:.2f}×"
    assert fp32.span == f"{mean - half:.2f} to {mean + half:.2f}"
    int32 = found["jouppi7-int32"][0]  # where the SNN wins it is the ANN's energy over its own
    assert int32 is not None
    ratio = 0.03 * ACCUMULATES / 79_400 / 1.51
    mean, half = 1.05 * ratio, 12.706 * 0.1 * ratio / 2
    assert int32.text == f"SNN {1 / mean:.2f}×"
    assert int32.span == f"{1 / (mean + half):.2f} to {1 / (mean - half):.2f}"
    int8 = found["jouppi7-int8"][0]
    assert int8 is not None
    assert (int8.winner, int8.text) == ("level", "level")
    assert bills.headline(view).startswith("It needs less energy under 3 of 9 price tables")


def test_settings_with_another_winner_are_named() -> None:
    same = view_of(*pair(classes=10), *pair(classes=3))
    assert list(bills.other_settings(same)) == [
        "The other setting has the same winner in every cell."
    ]
    other = view_of(*pair(classes=10), *pair(classes=3, factor=0.5))
    (sentence,) = bills.other_settings(other)
    assert "SNN with 3 classes under horowitz45-int8 (synaptic operations)" in sentence
    assert "another winner in 2 cells" in sentence


def test_the_radio_is_the_thriftiest() -> None:
    view = view_of(*pair())
    cheapest = min(radios(), key=lambda name: radios()[name].uplink_bit.pj.nominal)
    assert view.radio == cheapest == "bluetooth-le"
    run = next(iter(view.main.groups)).runs[0]
    levels = (run.bill or {})["horowitz45-int8"]
    sent = levels["communication:bluetooth-le"].nominal_mj - levels["training"].nominal_mj
    assert sent == pytest.approx(10 * 79_510 * 32 * 2 * 15e3 * 1e-9, rel=1e-9)


def test_without_the_usual_profile_another_that_judges_is_shown_first() -> None:
    runs = pair()
    for run in runs:
        run["bill"] = {name: run["bill"][name] for name in ("yan22", "jouppi7-int8", "cortex-m4")}
    assert view_of(*runs).profile == "jouppi7-int8"


def test_joules_until_the_target() -> None:
    runs = pair(0, 10, rounds=30, final_percent=86.0) + pair(1, 10, rounds=30, final_percent=84.0)
    view = view_of(*runs)
    table = energy_tables.target_table(view)
    ((_, *values),) = table.rows
    first = view.main.groups[0].runs[0]
    billed = (first.bill or {})["horowitz45-int8"]["training"]
    assert first.rounds_to_target is not None
    assert 5 < first.rounds_to_target < 25
    assert billed.to_target is not None
    ann_rounds, snn_rounds, ann_joule, _ = values
    assert ann_rounds == snn_rounds
    assert not isinstance(ann_joule, str | int | float)
    assert ann_joule is not None
    assert (ann_joule.mean, ann_joule.half_width) == (billed.to_target.nominal_mj / 1000, None)
    share = first.rounds_to_target / 30
    assert billed.to_target.nominal_mj == pytest.approx(share * billed.run.nominal_mj, rel=1e-9)
    assert "10 classes, SNN: reached in 1 of 2 seeds." in table.notes
    never = energy_tables.target_table(view_of(*pair(final_percent=60.0)))
    assert never.rows == (("3 classes", None, None, None, None),)


def test_what_the_verdict_hangs_on_is_priced_from_the_recorded_activity() -> None:
    repriced = repricing.reprice(view_of(*pair()))
    assert repriced is not None
    expected = sensitivity(repriced.ann, repriced.snn, shipped()["horowitz45-int8"], "training")
    assert repriced.sensitivities["horowitz45-int8"] == [s for s in expected if s.swing > 1 + 1e-9]
    assert "cortex-m4" not in repriced.sensitivities  # all-in: no level "training"
    assert "cortex-m4" in repriced.standings
    assert repriced.snn.events_per_synapse == pytest.approx(ACCUMULATES / 79_400, rel=1e-9)
    first = energy_tables.published_table(repriced).rows[0]
    assert first == ("this network", "14.3", "28.5 %", None)


def test_nothing_is_repriced_that_does_not_give_the_bill_again() -> None:
    ann, snn = pair()
    assert repricing.reprice(view_of(ann, snn)) is not None
    assert repricing.reprice(view_of(ann, snn | {"uplink_bytes_per_round": 0})) is None
    halved = snn["activity"] | {"samples": snn["activity"]["samples"] // 2}
    assert repricing.reprice(view_of(ann, snn | {"activity": halved})) is None


def test_the_page_says_when_it_cannot_reprice(tmp_path: Path) -> None:
    ann, snn = pair()
    directory = small(tmp_path, ann, snn | {"activity": example.NOTHING})
    assert "recorded activity does not give their bills again" in words(directory)
    assert not list((directory / "tables").glob("tableE5*"))


def test_the_page_has_the_bill_in_the_readers_order(study: Path) -> None:
    text = words(study)
    order = [
        "Who needs less energy, and under which prices",
        "What this does not say",
        "The energies are modelled, not measured",
        "Against which ANN?",
        "Where the energy goes",
        "What accuracy costs",
        "What the verdict hangs on",
        "Measured: the host simulating",
        "Prices and their sources",
    ]
    places = [text.index(words_) for words_ in order]
    assert places == sorted(places)
    assert "no backward pass" not in text  # what older runs left out
    html = (study / "report.html").read_text("utf-8")
    assert re.search(r'<td class="snn" style="--tint: \d+%">SNN 2.17×', html)
    assert re.search(r'<td class="ann" style="--tint: \d+%">ANN 1.86×', html)
    files = {path.stem for path in (study / "tables").glob("*.csv")}
    assert {f"tableE{n}" for n in range(1, 13)} == {
        name.partition("-")[0] for name in files if name.startswith("tableE")
    }
    drawn = {path.stem for path in (study / "figures").glob("*.svg")}
    names = {"energy-levels", "accuracy-energy", "energy-parts", "sensitivity", "spikes"}
    assert names <= drawn
    labels = re.findall(r'<svg role="img" aria-label="([^"]+)"', html)
    for name in ("The bill of a round", "Accuracy against energy", "One price moved"):
        assert any(label.startswith(name) for label in labels), name


def test_a_waterfall_goes_from_nothing_to_the_whole_bill() -> None:
    view = view_of(*pair(0), *pair(1, factor=1.1))
    for network in ("ann", "snn"):
        *levels, whole = energy_charts.steps(view, network, "horowitz45-int8")
        assert [one.after for one in levels] == [two.before for two in levels[1:]] + [whole.after]
        assert (levels[0].before, whole.before) == (0, 0)
        group = view.main.group(network)
        assert group is not None
        bills_of = [(run.bill or {})["horowitz45-int8"] for run in group.runs]
        for level, step in zip(view.levels, levels, strict=True):
            both = [of[view.key(level)].nominal_mj for of in bills_of]
            assert step.after == pytest.approx(sum(both) / 2, rel=1e-12)


def test_a_waterfall_says_what_each_level_adds_and_its_share() -> None:
    said = [step.said for step in energy_charts.steps(view_of(*pair()), "ann", "horowitz45-int8")]
    synapses, radio = 0.23e-9 * 20_000 * 79_400, 15e3 * 1e-9 * 10 * 79_510 * 32 * 2
    assert said[0] == f"{synapses:.3f} (<1 %)"
    assert said[4] == f"+{radio:.0f} (96 %)"
    assert said[5] == "ANN 798"


def test_a_waterfall_never_takes_what_has_no_price_for_nothing() -> None:
    view = view_of(*pair())
    found = {
        (network, profile): [step.said for step in energy_charts.steps(view, network, profile)]
        for network in ("ann", "snn")
        for profile in ("founding-study", "cortex-m4")
    }
    assert found["snn", "founding-study"][1:3] == ["not priced", "not priced"]
    assert found["ann", "cortex-m4"][1] == "in these prices"
    assert found["snn", "cortex-m4"][1] == "not priced"  # the encoder's random numbers


def test_a_waterfall_can_be_read_where_the_radio_is_all_but_everything() -> None:
    view = replace(view_of(*pair()), radio="lora-sf7")
    said = [step.said for step in energy_charts.steps(view, "snn", "jouppi7-int8")]
    assert said[:4] == ["0.159 (<1 %)", "+0.694 (<1 %)", "+287 (<1 %)", "+0.279 (<1 %)"]
    assert said[4:] == ["+1,373,933 (>99 %)", "SNN 1,374,221"]
    drawn = drawing.to_svg(energy_charts.waterfall_chart(view, "jouppi7-int8"))
    assert all(escape(text) in drawn for text in said)


def test_measured_and_modelled_never_share_a_table(study: Path) -> None:
    measured = (study / "tables" / "tableE9-measured.csv").read_text("utf-8")
    assert "unavailable: no folder /sys/class/powercap" in measured
    assert "12.3,0.3" in measured  # mean and half of the interval
    for path in (study / "tables").glob("*.csv"):
        if path.stem != "tableE9-measured":
            assert "gpu-0" not in path.read_text("utf-8")
            assert "1234.5" not in path.read_text("utf-8")


def test_every_price_stands_with_its_source_and_all_bills_are_in_the_files(study: Path) -> None:
    prices = provenance_tables.prices_table()
    count = sum(
        len(p.price) + len(p.memory) + (p.dram is not None) + len(p.not_used)
        for p in shipped().values()
    )
    assert len(prices.rows) == count + 2 * len(radios())
    sources = {price.source for p in shipped().values() for price in p.price.values()}
    for source in sources:
        assert source in words(study)  # once each, below the table
    table = provenance_tables.bills_table(example.summaries(pair(classes=10)))
    levels = 4 + len(radios())
    all_in = sum(p.scope == "all-in" for p in shipped().values())
    each = levels * (len(shipped()) - all_in) + 2 * all_in
    assert len(table.rows) == 3 * each  # ANN dense and skipping zeros, SNN
    nominal = next(line for line in to_csv(table).splitlines() if "founding-study,study" in line)
    assert "4.9228" in nominal.split(",")


def test_what_is_not_priced_is_listed_for_every_profile() -> None:
    listed = {
        (str(row[0]), str(row[1])): str(row[3])
        for row in provenance_tables.not_priced_table(view_of(*pair())).rows
    }
    assert len(listed) == 2 * len(shipped())
    assert "forward.mac" in listed["truenorth-all-in", "ANN"]
    assert "encode.draw" in listed["horowitz45-int8", "SNN"]
    assert listed["cortex-m4", "ANN"] == "nothing"


def test_one_network_alone_has_no_verdict(tmp_path: Path) -> None:
    (ann, _) = pair()
    directory = small(tmp_path, ann)
    names = {p.stem for p in (directory / "tables").glob("tableE*.csv")}
    assert names == {"tableE8-neurobench", "tableE12-bills"}
    assert "Who needs less energy" not in words(directory)
    assert "Nothing to compare" in words(directory)


def test_what_a_sensor_says_is_only_ever_text(tmp_path: Path) -> None:
    ann, snn = pair()
    for run in (ann, snn):
        run["measured"] = [{"sensor": HOSTILE, "unavailable": HOSTILE}]
        run["bill"] = {"mine<b>": run["bill"]["horowitz45-int8"]} | run["bill"]
    directory = small(tmp_path, ann, snn)
    html = (directory / "report.html").read_text("utf-8")
    assert "<script" not in html
    assert "<b>" not in html
    assert "mine&lt;b&gt;" in html


def test_unknown_metrics_are_dashes() -> None:
    ann, snn = pair()
    snn["neurobench"] |= {"effective_acs": None}
    table = provenance_tables.neurobench_table(compared(ann, snn))
    place = [column.key for column in table.columns].index("effective_acs")
    assert [line[place] for line in table.body] == ["0", "–"]
    two = provenance_tables.neurobench_table(compared(ann, snn, *pair(seed=1)))
    assert [line[place] for line in two.body] == ["0", "–"]  # one seed of two is no mean


def test_a_quantised_ann_alone_is_reported_though_the_study_prints_none(tmp_path: Path) -> None:
    alone = example.priced(example.run("qann", 10, rounds=100))
    text = words(small(tmp_path, alone))
    assert "Nothing to compare" in text
    assert "accuracies here that the founding study prints too" not in text
