"""The energy bill in the report: verdicts against figures worked out by hand, and what is left unsaid."""

from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import pytest

import report_example as example
from fedspike.energy.profiles import radios, shipped
from fedspike.energy.sensitivity import sensitivity
from fedspike.report.analysis import other_prices
from fedspike.report.analysis.energy_view import EnergyView
from fedspike.report.analysis.results import Results
from fedspike.report.figures.decision import lines
from fedspike.report.figures.energy_shares import ENERGY_LEVELS, steps
from fedspike.report.figures.energy_spent import TARGET_TABLE
from fedspike.report.figures.measured import MEASURED_TABLE
from fedspike.report.figures.price_tables import NOT_PRICED_TABLE
from fedspike.report.figures.thresholds import THRESHOLDS_TABLE
from fedspike.report.figures.verdicts import OTHER_RIVALS, PRICE_MATRIX, RIVALS_TABLE, VERDICT_TABLE
from fedspike.report.rendering.tables import Tinted
from report_example import pair
from test_report_numbers import rows

# 11,215.5 spikes meet 100 neurons and 1,077 meet 10; beside 79,400 multiply-accumulates.
ACCUMULATES = 1_121_550 + 10_770
PER_MAC = ACCUMULATES / 79_400
NONE = (
    *(f"keras-spiking-{device}" for device in ("arm", "cpu", "gpu")),
    *("loihi1-presilicon", "odin28-all-in", "truenorth-all-in", "yan22"),
)


@pytest.fixture
def results(tmp_path: Path) -> Any:
    """The results of runs, in a folder of their own."""
    return lambda *runs: example.results(tmp_path / str(len(list(tmp_path.iterdir()))), list(runs))


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return example.results(tmp_path_factory.mktemp("runs") / "pair", pair())


def view_of(results: Results) -> EnergyView:
    assert results.energy is not None
    return results.energy


def cells(results: Results, figure: Any = PRICE_MATRIX) -> dict[str, list[Tinted | None]]:
    levels = view_of(results).levels
    return {row["profile"].text: [row[level] for level in levels] for row in rows(figure, results)}


def texts(cells: list[Tinted | None]) -> list[str | None]:
    return [cell.text if cell else None for cell in cells]


def test_the_matrix_has_the_winner_and_the_factor_of_every_cell(one: Results) -> None:
    matrix = cells(one)
    synapses = {profile: texts(row)[0] for profile, row in matrix.items()}
    assert synapses == {
        "jouppi7-int32": f"SNN {1.51 / (0.03 * PER_MAC):.2f}×",
        "horowitz45-int32": f"SNN {3.2 / (0.1 * PER_MAC):.2f}×",
        "founding-study": f"SNN {3.1 / (0.1 * PER_MAC):.2f}×",
        "jouppi7-int8": f"ANN {0.007 * PER_MAC / 0.077:.2f}×",
        "horowitz45-int8": f"ANN {0.03 * PER_MAC / 0.23:.2f}×",
        "horowitz45-fp32": f"ANN {0.9 * PER_MAC / 4.6:.2f}×",
        "horowitz45-fp16": f"ANN {0.4 * PER_MAC / 1.5:.2f}×",
        "jouppi7-bf16": f"ANN {0.11 * PER_MAC / 0.32:.2f}×",
        "cortex-m4": f"ANN {PER_MAC:.1f}×",
    }
    assert list(matrix) == list(synapses)  # the kindest to the SNN first
    assert matrix["cortex-m4"][2:] == [None, None, None]
    assert texts(matrix["horowitz45-int32"])[2] == "ANN 18.4×"  # it flips from level to level
    roles = {cell.text[:3]: cell.role for row in matrix.values() for cell in row if cell}
    assert roles == {"ANN": "conventional", "SNN": "spiking"}


def test_a_dagger_where_work_without_a_price_could_turn_the_verdict(one: Results) -> None:
    daggers = {
        profile: [cell and cell.text.endswith("†") for cell in row]
        for profile, row in cells(one).items()
    }
    assert daggers["founding-study"] == [False, True, True, True, True]
    # Both do the optimiser's square roots alike, and the ANN that wins did all else at a price.
    assert daggers["horowitz45-int8"] == [False] * 5


def test_no_verdict_and_no_figure_without_a_price_of_the_synaptic_operations(one: Results) -> None:
    assert PRICE_MATRIX.caption(one.energy).notes[-1].startswith(f"No verdict under {NONE[0]}")  # type: ignore[operator]
    silent = [row for row in rows(VERDICT_TABLE, one) if row["profile"] in NONE]
    assert {row["profile"] for row in silent} == set(NONE)
    for row in silent:
        spikes_only = "keras" not in row["profile"]
        assert (row["ann_mj"] is None) == spikes_only
        assert (row["snn_mj"] is None) == (not spikes_only)
        assert (row["ratio_ann"], row["winner"]) == (None, "no verdict")


def test_the_headline_counts_price_tables(one: Results) -> None:
    assert lines(one)[2].startswith(
        "Energy: the ANN needs 14 to 35 times less energy, without the radio, under 8 of 9 hardware price "
        "tables (all but founding-study); by synaptic operations alone the SNN needs less under 3 of 9. With"
    )


def test_every_rival_has_a_matrix_of_its_own(results: Any) -> None:
    both = results(*pair(), example.priced(example.run("qann", 3, rounds=5)))
    stacked = rows(OTHER_RIVALS, both)
    dense = [texts(row) for row in cells(both).values()]
    levels = view_of(both).levels
    against = [row for row in stacked if row["rival"] == "QANN"]
    quantised = [[row[level] and row[level].text for level in levels] for row in against]
    # The same counts at the same prices.
    assert [[text and text.replace("QANN", "ANN") for text in row] for row in quantised] == dense
    half = (392.3 * 100 + 41 * 10) / 79_400  # of the products have an input that is not 0
    skipping = {r["profile"].text: r["study"].text for r in stacked if "zeros" in r["rival"]}
    assert skipping["horowitz45-int8"] == f"ANN {PER_MAC * 0.03 / 0.23 / half:.2f}×"
    scores = {row["network"]: row for row in rows(RIVALS_TABLE, both)}
    assert scores["ANN"]["spiking_cheaper_study"] == "3 of 9"
    assert scores["QANN"]["spiking_cheaper_study"] == "3 of 9"
    assert scores["QANN"]["last_round_percent"] == 81.0


def test_seeds_have_an_interval_and_may_leave_a_verdict_open(results: Any) -> None:
    seeds = [*pair(0, factor=0.8), *pair(1, factor=1.05), *pair(2, factor=1.3)]
    matrix = cells(results(*seeds))
    # t * s / sqrt(3) with s = 0.25 ratio
    ratio = 0.9 * PER_MAC / 4.6
    mean, half = 1.05 * ratio, 4.303 * 0.25 * ratio / 3**0.5
    fp32 = matrix["horowitz45-fp32"][0]
    assert fp32
    assert (fp32.text, fp32.below) == (
        f"ANN {mean:.2f}×",
        f"{mean - half:.2f} to {mean + half:.2f}",
    )
    ratio = 0.03 * PER_MAC / 1.51  # where the SNN wins it is the ANN's energy over its own
    mean, half = 1.05 * ratio, 4.303 * 0.25 * ratio / 3**0.5
    int32 = matrix["jouppi7-int32"][0]
    assert int32
    assert int32.text == f"SNN {1 / mean:.2f}×"
    assert int32.below == f"{1 / (mean + half):.2f} to {1 / (mean - half):.2f}"
    int8 = matrix["jouppi7-int8"][0]
    assert int8
    assert (int8.role, int8.text) == ("", "no difference")


def test_settings_with_another_winner_are_named(results: Any) -> None:
    same = view_of(results(*pair(classes=10), *pair(classes=3)))
    assert same.other_settings() == (1, [])
    other = view_of(results(*pair(classes=10), *pair(classes=3, factor=0.5)))
    count, differing = other.other_settings()
    assert count == 1
    assert len(differing) == 2
    assert "SNN with 3 classes under horowitz45-int8 (synaptic operations)" in differing


def test_the_radio_is_the_one_with_the_least_energy(one: Results) -> None:
    view = view_of(one)
    cheapest = min(radios(), key=lambda name: radios()[name].uplink_bit.pj.nominal)
    assert view.radio == cheapest == "bluetooth-le"
    levels = one.runs[0].bill["horowitz45-int8"]
    sent = levels["communication:bluetooth-le"].nominal_mj - levels["training"].nominal_mj
    assert sent == pytest.approx(10 * 79_510 * 32 * 2 * 15e3 * 1e-9, rel=1e-9)


def test_without_the_usual_profile_another_that_judges_is_shown_first(results: Any) -> None:
    runs = pair()
    for run in runs:
        run["bill"] = {name: run["bill"][name] for name in ("yan22", "jouppi7-int8", "cortex-m4")}
    assert results(*runs).profile == "jouppi7-int8"


def test_joules_until_the_target(results: Any) -> None:
    runs = pair(0, 10, rounds=30, final_percent=86.0) + pair(1, 10, rounds=30, final_percent=84.0)
    reached = results(*runs)
    (row,) = rows(TARGET_TABLE, reached)
    first = reached.runs[0]
    billed = first.bill["horowitz45-int8"]["training"]
    assert 5 < first.rounds_to_target < 25
    assert row["ann_rounds"] == row["snn_rounds"] == first.rounds_to_target
    assert row["ann_joule"] == billed.to_target.nominal_mj / 1000
    share = first.rounds_to_target / 30
    assert billed.to_target.nominal_mj == pytest.approx(share * billed.run.nominal_mj, rel=1e-9)
    notes = TARGET_TABLE.caption(reached.energy).notes  # type: ignore[operator]
    assert "10 classes, SNN: reached with 1 of 2 seeds." in notes
    (never,) = rows(TARGET_TABLE, results(*pair(final_percent=60.0)))
    assert [value for key, value in never.items() if key != "setting"] == [None] * 4


def test_what_the_verdict_depends_on_is_priced_from_the_recorded_activity(one: Results) -> None:
    other = one.other_prices
    assert other is not None
    ann, snn = (other_prices.of_run(run) for run in one.runs)
    assert ann
    assert snn
    expected = sensitivity(ann, snn, shipped()["horowitz45-int8"], "training")
    assert other.sensitivities["horowitz45-int8"] == [s for s in expected if s.swing > 1 + 1e-9]
    assert "cortex-m4" not in other.sensitivities  # all-in: no level "training"
    assert "cortex-m4" in other.standings
    assert other.spiking.events_per_synapse == pytest.approx(PER_MAC, rel=1e-9)
    first, *_ = rows(THRESHOLDS_TABLE, one)
    assert (first["spikes"], first["rate"]) == ("14.3", "28.5 %")


@pytest.mark.parametrize("change", ["nothing trained", "nothing sent", "half the samples"])
def test_nothing_is_priced_again_that_does_not_give_the_bill_again(
    results: Any, change: str
) -> None:
    ann, snn = pair()
    halved = snn["activity"] | {"samples": snn["activity"]["samples"] // 2}
    changes: dict[str, Any] = {
        "nothing trained": {"activity": example.NOTHING},
        "nothing sent": {"uplink_bytes_per_round": 0},
        "half the samples": {"activity": halved},
    }
    doubtful = results(ann, snn | changes[change])
    assert doubtful.energy is not None
    assert doubtful.other_prices is None
    assert not THRESHOLDS_TABLE.needs(doubtful)


def test_a_waterfall_goes_from_nothing_to_the_whole_bill(results: Any) -> None:
    view = view_of(results(*pair(0), *pair(1, factor=1.1)))
    for network in view.twins:
        *levels, whole = steps(view, network, "horowitz45-int8")
        assert [one.after for one in levels] == [two.before for two in levels[1:]] + [whole.after]
        assert (levels[0].before, whole.before) == (0, 0)
        for level, step in zip(view.levels, levels, strict=True):
            name = view.key(level)
            both = [run.bill["horowitz45-int8"][name].nominal_mj for run in network.runs]
            assert step.after == pytest.approx(sum(both) / 2, rel=1e-12)


def test_a_waterfall_says_what_each_level_adds_and_its_share(one: Results) -> None:
    view = view_of(one)
    words = [step.text for step in steps(view, view.reference, "horowitz45-int8")]
    synapses, radio = 0.23e-9 * 20_000 * 79_400, 15e3 * 1e-9 * 10 * 79_510 * 32 * 2
    assert words[0] == f"{synapses:.3f} (<1 %)"
    assert words[4] == f"+{radio:.0f} (96 %)"
    assert words[5] == "ANN 798"


def test_a_waterfall_never_takes_what_has_no_price_for_nothing(one: Results) -> None:
    view = view_of(one)
    words = {
        (network.title, profile): [step.text for step in steps(view, network, profile)]
        for network in view.twins
        for profile in ("founding-study", "cortex-m4")
    }
    assert words["SNN", "founding-study"][1:3] == ["not priced", "not priced"]
    assert words["ANN", "cortex-m4"][1] == "in these prices"
    assert words["SNN", "cortex-m4"][1] == "not priced"  # the encoder's random numbers


def test_a_waterfall_can_be_read_where_the_radio_is_all_but_everything(one: Results) -> None:
    view = replace(view_of(one), radio="lora-sf7")
    words = [step.text for step in steps(view, view.spiking, "jouppi7-int8")]
    assert words[:4] == ["0.159 (<1 %)", "+0.694 (<1 %)", "+287 (<1 %)", "+0.279 (<1 %)"]
    assert words[4:] == ["+1,373,933 (>99 %)", "SNN 1,374,221"]
    panels = ENERGY_LEVELS.draw(view).panels  # type: ignore[union-attr]
    (panel,) = (panel for panel in panels if panel.label == "jouppi7-int8")
    assert all(escape(text) in panel.svg for text in words)


def test_measured_and_modelled_never_share_a_table(tmp_path: Path) -> None:
    measured = example.results(tmp_path / "runs", example.on_nodes())
    unavailable, zeus = rows(MEASURED_TABLE, measured)
    assert unavailable["note"] == "unavailable: no folder /sys/class/powercap"
    assert (zeus["sensor"], zeus["joule_per_round"]) == ("zeus", 12.3)


def test_what_is_not_priced_is_listed_for_every_profile(one: Results) -> None:
    listed = {(row["profile"], row["network"]): row for row in rows(NOT_PRICED_TABLE, one)}
    assert len(listed) == 2 * len(shipped())
    assert "forward.mac" in listed["truenorth-all-in", "ANN"]["not_priced"]
    assert "encode.draw" in listed["horowitz45-int8", "SNN"]["not_priced"]
    assert listed["cortex-m4", "ANN"]["not_priced"] == "nothing"


@pytest.mark.parametrize("network", ["ann", "qann", "snn"])
def test_one_network_alone_has_no_verdict(results: Any, network: str) -> None:
    alone = results(example.priced(example.run(network, 10, rounds=3)))
    assert alone.energy is None
    assert alone.leading == []
