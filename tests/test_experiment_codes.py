"""Experiments with every code, kind of neuron and read-out: what is stored, sent, priced and reported."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from safetensors.numpy import load_file

from fedspike.energy.counts import Activity, Dense, Network, Neurons, aggregation, count, merge
from fedspike.experiment import document, repricing, sweep
from fedspike.experiment.run import load, perform
from fedspike.records.events import Skipped
from fedspike.report import page

CLIENTS, SAMPLES, STEPS, ROUNDS = 3, 16, 4, 2
TINY = f"""\
name = "tiny"
rounds = {ROUNDS}
[data]
name = "fashion-mnist-sample"
[fleet]
clients = {CLIENTS}
samples_per_round = {SAMPLES}
[architecture]
hidden = [6]
[snn]
time_steps = {STEPS}
threshold = 0.3
[training]
batch_size = 8
[sweep]
network = ["ann", "snn"]
together = [
    {{ code.kind = "rate", snn.read_out = "first-spike", snn.learn_threshold = "per-neuron" }},
    {{ code.kind = "latency", snn.read_out = "membrane" }},
    {{ code.kind = "phase", snn.surrogate = "sigmoid", snn.reset = "zero" }},
    {{ code.kind = "burst", neuron = {{ kind = "adaptive", adaptation = 1.0, rho = 0.9 }} }},
    {{ code.kind = "delta", snn.read_out = "membrane", snn.learn_beta = "per-layer" }},
    {{ code.kind = "direct", neuron = {{ kind = "current-based", alpha = 0.5 }} }},
]
"""
# Of each code's run: how it is counted, and the learned constants of its neurons.
COUNTED: dict[str, tuple[dict[str, Any], int]] = {
    "rate": ({"neurons": Neurons(learn_threshold="per-neuron")}, 6 + 10),
    "latency": ({"readout": "membrane"}, 0),
    "phase": ({"neurons": Neurons(surrogate="sigmoid", reset="zero")}, 0),
    "burst": ({"neurons": Neurons(kind="adaptive")}, 0),
    "delta": ({"readout": "membrane", "neurons": Neurons(learn_beta="per-layer")}, 1 + 1),
    "direct": ({"neurons": Neurons(kind="current-based"), "current_cached": True}, 0),
}
LAYERS = {"hidden": Dense(784, 6), "output": Dense(6, 10)}
WEIGHTS = 784 * 6 + 6 + 6 * 10 + 10


def ignore(text: str) -> None:
    del text


def tiny() -> sweep.Experiment:
    return sweep.expand(document.parse(TINY, "tiny.toml"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    for _ in perform(tiny(), load(tiny(), ignore), folder, command="fedspike run tiny.toml"):
        pass
    return folder


def summaries(folder: Path) -> dict[str, dict[str, Any]]:
    """By code; of the conventional network under "ann"."""
    runs = json.loads((folder / "summary.json").read_bytes())["runs"]
    return {run["code"]["kind"] if run["code"] else "ann": run for run in runs}


def test_a_summary_says_code_neuron_and_read_out(finished: Path) -> None:
    found = summaries(finished)
    assert found.keys() == {"ann", *COUNTED}
    assert [found["ann"][key] for key in ("code", "neuron", "read_out")] == [None, None, None]
    assert found["phase"]["code"] == {"kind": "phase", "period": STEPS}
    assert found["burst"]["code"] == {"kind": "burst", "most_spikes": 2}
    assert found["burst"]["neuron"] == {"kind": "adaptive", "adaptation": 1.0, "rho": 0.9}
    assert {code: found[code]["read_out"] for code in ("rate", "latency", "phase")} == {
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
    how, _ = COUNTED[code]
    network = Network(LAYERS, STEPS, code=code, **how)  # type: ignore[arg-type]
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
    again = repricing.reprice(finished, prices)
    found = {run["name"]: run for run in summaries(finished).values()}
    assert len(again["runs"]) == len(found)
    for told in again["runs"]:
        for level, entry in told["bill"]["horowitz45-int8"].items():
            assert entry == found[told["name"]]["bill"]["horowitz45-int8"][level]
    assert len(again["comparisons"]) == len(COUNTED), "each code beside the ANN"
    layers = {
        one["setting"]: [row["layer"] for row in one["break_even"]] for one in again["comparisons"]
    }
    assert [rows for setting, rows in layers.items() if "direct" in setting] == [["output"]]
    assert sum(rows == ["hidden", "output"] for rows in layers.values()) == 5


def test_the_report_is_made_of_them(finished: Path) -> None:
    text = page.write(finished).read_text(encoding="utf-8")
    for code in COUNTED:
        assert code in text


def test_a_folder_of_before_there_were_codes_holds_the_same_runs(tmp_path: Path) -> None:
    """Its configuration does not say what was the only one then."""
    text = TINY[: TINY.index("[sweep]")] + '[sweep]\nnetwork = ["ann", "snn"]\n'
    one = sweep.expand(document.parse(text, "tiny.toml"))
    data = load(one, ignore)
    for _ in perform(one, data, tmp_path, command=""):
        pass
    file = tmp_path / "snn-iid-seed0" / "config.toml"
    settings = tomllib.loads(file.read_text())
    del settings["code"], settings["neuron"], settings["loss"]["kind"]
    for key in ("surrogate", "read_out", "learn_beta", "learn_threshold"):
        del settings["snn"][key]
    file.write_text(tomli_w.dumps(settings))
    told = list(perform(one, data, tmp_path, command=""))
    assert [type(event) for event in told] == [Skipped, Skipped]
