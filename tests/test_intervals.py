"""Intervals over seeds, of five that were really trained: one by hand, and wherever else it is shown."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from fedspike import report
from fedspike.cli import main
from fedspike.cli.bills import _reached
from fedspike.energy import repricing
from fedspike.energy.estimate import Estimate, ends
from fedspike.energy.pairing import compared
from fedspike.records import reader
from fedspike.report.rendering.tables import Column, text
from running import asked, finish
from undrawn import undraw

SEEDS = range(5)
TINY = """\
name = "seeds"
rounds = 3
[data]
kind = "fashion-mnist-sample"
[fleet]
clients = 3
samples_per_round = 200
[architecture]
hidden = [20]
[learner]
batch_size = 10
[optimiser]
learning_rate = 0.01
[snn]
time_steps = 4
[sweep]
network = ["ann", "snn"]
seed = [0, 1, 2, 3, 4]
"""
MAC_PJ, AC_PJ = 0.23, 0.03  # of horowitz45-int8


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = finish(TINY, tmp_path_factory.mktemp("runs") / "seeds")
    with pytest.MonkeyPatch.context() as patch:
        undraw(patch)
        report.write(folder)
    return folder


@pytest.fixture(scope="module")
def by_hand(finished: Path) -> tuple[float, float]:
    """SNN over ANN at the founding rule's level, from what the rounds say was done: mean and half width.

    mean +- 2.776 s / sqrt(5): Student's 97.5 % quantile for four degrees of freedom.
    """

    def done(network: str, seed: int, operation: str) -> int:
        lines = (finished / f"{network}-iid-seed{seed}" / "rounds.jsonl").read_text().splitlines()
        return sum(json.loads(line)["operations"][operation] for line in lines)

    ratios = [
        done("snn", seed, "ac") * AC_PJ / (done("ann", seed, "mac") * MAC_PJ) for seed in SEEDS
    ]
    mean = sum(ratios) / 5
    variance = sum((ratio - mean) ** 2 for ratio in ratios) / 4
    assert len(set(ratios)) == 5  # each seed has spikes of its own
    return mean, 2.776 * math.sqrt(variance) / math.sqrt(5)


def row(comparison: dict[str, Any]) -> dict[str, Any]:
    (one,) = (
        each
        for each in comparison["verdicts"]
        if (each["profile"], each["level"]) == ("horowitz45-int8", "study")
    )
    found: dict[str, Any] = one
    return found


def check(comparison: dict[str, Any], by_hand: tuple[float, float]) -> None:
    """The interval of a comparison with its n; the SNN wins, so its factor is one over the ratio."""
    mean, half = by_hand
    assert comparison["seeds"] == list(SEEDS)
    one = row(comparison)
    assert (one["winner"], one["seeds"]) == ("spiking", 5)
    expected = [mean, mean - half, mean + half]
    assert [one["ratio"], one["ratio_low"], one["ratio_high"]] == pytest.approx(expected, rel=1e-9)
    assert one["factor"] == pytest.approx(1 / mean, rel=1e-9)
    assert one["interval"] == pytest.approx([1 / (mean + half), 1 / (mean - half)], rel=1e-9)


def test_the_summary_has_the_interval(finished: Path, by_hand: tuple[float, float]) -> None:
    summary = json.loads((finished / "summary.json").read_bytes())
    (comparison,) = summary["comparisons"]
    check(comparison, by_hand)
    levels = {each["level"] for each in comparison["verdicts"]}
    assert levels == {level for run in summary["runs"] for level in run["bill"]["jouppi7-int8"]}


def test_the_command_has_the_interval(
    finished: Path, by_hand: tuple[float, float], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["energy", str(finished), "--profile", "horowitz45-int8", "--level", "study"]
    (comparison,) = asked(capsys, *words)["comparisons"]
    check(comparison, by_hand)
    assert main(words) == 0
    text = capsys.readouterr().out
    assert "SNN beside ANN, 5 seeds" in text
    assert "with their 95 % interval over the seeds" in text
    mean, half = by_hand
    assert f"{1 / mean:.3g} ({ends(1 / (mean + half), 1 / (mean - half))})" in text


def test_the_report_has_the_interval(finished: Path, by_hand: tuple[float, float]) -> None:
    mean, half = by_hand
    page = (finished / "report.html").read_text("utf-8")
    shown = ends(1 / (mean + half), 1 / (mean - half))
    assert f"SNN {1 / mean:.2f}×<span>{shown}</span>" in page
    with (finished / "tables" / "tableE2-verdict.csv").open(newline="") as file:
        (line,) = (
            line
            for line in csv.DictReader(file)
            if (line["profile"], line["level"]) == ("horowitz45-int8", "synaptic operations")
        )
    assert [float(line["ratio_ann"]), float(line["ratio_ann_half_width_95"])] == pytest.approx(
        [mean, half], rel=1e-9
    )


def test_a_profile_that_one_run_has_no_bill_of_is_left_out(finished: Path) -> None:
    runs = list(reader.read(finished).runs)
    fewer = {name: levels for name, levels in runs[3].bill.items() if name != "jouppi7-int8"}
    (comparison,) = compared([*runs[:3], replace(runs[3], bill=fewer), *runs[4:]])
    assert {one.profile for one in comparison.verdicts} == runs[0].bill.keys() - {"jouppi7-int8"}
    assert {one.seeds for one in comparison.verdicts} == {5}


@given(
    mean=st.floats(-1e6, 1e6),
    half=st.floats(1e-5, 1e6),
    digits=st.integers(0, 4),
    signed=st.booleans(),
)
def test_an_interval_is_never_written_as_zero(
    mean: float, half: float, digits: int, signed: bool
) -> None:
    column = Column("energy", "energy", digits=digits, signed=signed)
    written, _, shown = text(Estimate(mean, half, 5), column).partition(" ± ")
    assert float(shown.replace(",", "")) > 0
    assert len(shown.partition(".")[2]) == len(written.partition(".")[2])
    assert float(shown.replace(",", "")) == pytest.approx(half, rel=0.5, abs=10.0**-digits)


def test_a_bill_shows_small_intervals(finished: Path) -> None:
    prices = repricing.prices(["horowitz45-int8"], None, "bluetooth-le")
    repriced = repricing.reprice(reader.with_rounds(finished), prices)
    alike = zip(repriced.runs, (0.5, 0.5001, 0.5, 0.5001, 0.5), strict=False)
    runs = [replace(run, final_accuracy=accuracy) for run, accuracy in alike]
    assert _reached(runs).startswith("accuracy 50.004% ± 0.007% after 3 rounds")
