"""Experiments with every code, kind of neuron and read-out: what is stored, sent, priced and reported."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from safetensors.numpy import load_file

from counted_example import counted
from fedspike import report
from fedspike.energy import repricing
from fedspike.energy.counts import aggregation, count, merge
from fedspike.layers.activity import Activity
from fedspike.layers.operations import NetworkOperations
from fedspike.layers.shapes import Dense
from fedspike.parts.codes import Burst, Delta, Direct, Latency, Phase, Rate
from fedspike.parts.neurons import LIF, AdaptiveLIF, CurrentBasedLIF
from fedspike.parts.read_outs import FirstSpike, MeanMembrane
from fedspike.parts.surrogates import Sigmoid
from fedspike.records import reader
from running import finish
from undrawn import undraw

CLIENTS, SAMPLES, STEPS, ROUNDS = 3, 16, 4, 2
TINY = f"""\
name = "tiny"
rounds = {ROUNDS}
[data]
kind = "fashion-mnist-sample"
[fleet]
clients = {CLIENTS}
samples_per_round = {SAMPLES}
[architecture]
hidden = [6]
[snn]
time_steps = {STEPS}
[neuron]
threshold = 0.3
[learner]
batch_size = 8
[sweep]
network = ["ann", "snn"]
together = [
    {{ code.kind = "rate", read_out.kind = "first-spike", neuron.learn_threshold = "per-neuron" }},
    {{ code.kind = "latency", read_out.kind = "membrane" }},
    {{ code.kind = "phase", surrogate.kind = "sigmoid", neuron.reset = "zero" }},
    {{ code.kind = "burst", neuron = {{ kind = "adaptive", adaptation = 1.0, rho = 0.9 }} }},
    {{ code.kind = "delta", read_out.kind = "membrane", neuron.learn_beta = "per-layer" }},
    {{ code.kind = "direct", neuron = {{ kind = "current-based", alpha = 0.5 }} }},
]
"""
# Of each code's run: the parts that are counted, and the learned constants of its neurons.
COUNTED: dict[str, tuple[dict[str, Any], int]] = {
    "rate": (
        {
            "code": Rate(),
            "neuron": LIF(learn_threshold="per-neuron"),
            "read_out": FirstSpike(),
        },
        6 + 10,
    ),
    "latency": ({"code": Latency(), "read_out": MeanMembrane()}, 0),
    "phase": ({"code": Phase(), "neuron": LIF(surrogate=Sigmoid(), reset="zero")}, 0),
    "burst": ({"code": Burst(), "neuron": AdaptiveLIF(adaptation=1.0, rho=0.9)}, 0),
    "delta": (
        {
            "code": Delta(),
            "neuron": LIF(learn_beta="per-layer"),
            "read_out": MeanMembrane(),
        },
        1 + 1,
    ),
    "direct": ({"code": Direct(), "neuron": CurrentBasedLIF(alpha=0.5)}, 0),
}
LAYERS = {"hidden": Dense(784, 6), "output": Dense(6, 10)}
WEIGHTS = 784 * 6 + 6 + 6 * 10 + 10


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finish(TINY, tmp_path_factory.mktemp("runs") / "tiny")


def summaries(folder: Path) -> dict[str, dict[str, Any]]:
    """By code; of the conventional network under "ann"."""
    runs = json.loads((folder / "summary.json").read_bytes())["runs"]
    return {run["config"].get("code", {"kind": "ann"})["kind"]: run for run in runs}


def test_a_summary_says_code_neuron_and_read_out(finished: Path) -> None:
    found = summaries(finished)
    assert found.keys() == {"ann", *COUNTED}
    assert not {"code", "neuron", "read_out"} & found["ann"]["config"].keys()
    said = {code: found[code]["config"] for code in COUNTED}
    assert said["phase"]["code"] == {"kind": "phase", "period": STEPS}
    assert said["burst"]["code"] == {"kind": "burst", "most_spikes": 2, "shortest_interval": 2}
    assert {"kind": "adaptive", "adaptation": 1.0, "rho": 0.9}.items() <= said["burst"][
        "neuron"
    ].items()
    assert {code: said[code]["read_out"]["kind"] for code in ("rate", "latency", "phase")} == {
        "rate": "first-spike",
        "latency": "membrane",
        "phase": "count",
    }


@pytest.mark.parametrize("code", COUNTED)
def test_parameters_and_bytes_are_the_models(finished: Path, code: str) -> None:
    run = summaries(finished)[code]
    model = load_file(finished / run["name"] / "model.safetensors")
    parameters = WEIGHTS + COUNTED[code][1]
    assert run["parameters"] == sum(array.size for array in model.values()) == parameters
    assert run["uplink_bytes_per_round"] == run["downlink_bytes_per_round"]
    assert run["uplink_bytes_per_round"] == CLIENTS * 4 * parameters
    assert run["neurobench"]["footprint_bytes"] == 4 * parameters


@pytest.mark.parametrize("code", COUNTED)
def test_counts_are_those_of_the_network_that_was_trained(finished: Path, code: str) -> None:
    run = summaries(finished)[code]
    parts, _ = COUNTED[code]
    network = counted(LAYERS, STEPS, **parts)
    assert msgspec.convert(run["network_operations"], NetworkOperations) == network
    seen = Activity(**run["activity"])
    assert (seen.samples, seen.steps) == (ROUNDS * CLIENTS * SAMPLES, ROUNDS * CLIENTS * 2)
    expected = merge([count(network, seen), aggregation(network, ROUNDS * CLIENTS)])
    assert {phase: run["counts"][phase] for phase in expected if expected[phase]} == {
        phase: layers for phase, layers in expected.items() if layers
    }


def test_pixels_under_the_direct_code_are_no_spikes(finished: Path) -> None:
    found = summaries(finished)
    direct, rate = found["direct"], found["rate"]
    assert direct["spikes_per_sample"].keys() == {"output"}
    assert rate["spikes_per_sample"].keys() == {"hidden", "output"}
    n = ROUNDS * CLIENTS * SAMPLES
    into_output = direct["activity"]["events_in"]["output"]
    assert direct["operations"] == {"mac": n * 784 * 6, "ac": into_output * 10}
    assert direct["neurobench"]["effective_macs"] > 0
    assert rate["operations"]["mac"] == rate["neurobench"]["effective_macs"] == 0
    level = direct["bill"]["founding-study"]["study"]["nominal_mj"]
    assert level == pytest.approx(direct["study_energy_mj_per_round"], rel=1e-12)


def test_finished_runs_are_priced_again_to_the_same_bills(finished: Path) -> None:
    prices = repricing.prices(["horowitz45-int8"], None, "bluetooth-le")
    again = repricing.reprice(reader.with_rounds(finished), prices)
    stored = {summary.name: summary for summary, _ in reader.with_rounds(finished)}
    assert [run.name for run in again.runs] == list(stored)
    for run in again.runs:
        for level, bill in run.bill["horowitz45-int8"].items():
            assert bill == stored[run.name].bill["horowitz45-int8"][level]
    assert len(again.comparisons) == len(COUNTED), "each code beside the ANN"
    layers = {one.setting: [row.layer for row in one.break_even] for one in again.comparisons}
    assert [rows for setting, rows in layers.items() if "direct" in setting] == [["output"]]
    assert sum(rows == ["hidden", "output"] for rows in layers.values()) == 5


def test_the_report_is_made_of_them(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    undraw(monkeypatch)
    text = report.write(finished).read_text(encoding="utf-8")
    for code in COUNTED:
        assert code in text
