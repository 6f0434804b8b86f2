"""Convolutions and batch normalisation in an experiment's file: from the table to the bill and the report."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import tomli_w
from safetensors.numpy import load_file

from fedspike import report
from fedspike.energy.counts import count
from fedspike.errors import InputError
from fedspike.experiment import document, sweep
from fedspike.experiment.plans import toml_of
from fedspike.layers.activity import Activity
from fedspike.layers.operations import NetworkOperations
from fedspike.layers.shapes import Convolution
from fedspike.networks import Conv, Convolutional, ConvolutionalLayers
from fedspike.networks import Pool as PoolStage
from fedspike.parts.normalisations import BNTT, Unnormalised
from fedspike.records.events import Trained
from running import asked, events, finish
from test_experiment_spiking import network_of, only
from undrawn import undraw

TINY = """\
name = "tiny"
rounds = 2
[data]
kind = "fashion-mnist-sample"
[fleet]
clients = 2
samples_per_round = 12
[architecture]
kind = "convolutional"
features = [2, "pool"]
hidden = [5]
[snn]
time_steps = 3
[neuron]
threshold = 0.2
[read_out]
kind = "membrane"
[learner]
batch_size = 4
[sweep]
network = ["ann", "snn"]
normalisation = [{ kind = "none" }, { kind = "bntt" }, { kind = "bntt", statistics = "local" }]
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finish(TINY, tmp_path_factory.mktemp("runs") / "tiny")


def summaries(folder: Path) -> dict[str, dict[str, Any]]:
    return {
        path.parent.name: json.loads(path.read_text()) for path in folder.glob("*/summary.json")
    }


def layers_of(text: str, shape: tuple[int, ...] = (28, 28), classes: int = 10) -> object:
    return network_of(only(text)).over(shape, classes).architecture


def test_a_table_says_the_stages() -> None:
    usual = layers_of('[architecture]\nkind = "convolutional"')
    assert usual == Convolutional().over((28, 28), classes=10)
    text = '[architecture]\nkind = "convolutional"\nfeatures = [3, "pool", 4]\nhidden = []\npool = "max"'
    stages = (Conv(3), PoolStage("max"), Conv(4))
    assert layers_of(text) == ConvolutionalLayers((1, 28, 28), stages, 10)


SEPARABLE = """\
features = [4, "pool", "depthwise", { channels = 6, kernel = 1 }, { channels = 9, stride = 2, groups = 3 }]
"""


def test_a_table_in_the_list_says_all_of_a_convolution() -> None:
    text = f'[architecture]\nkind = "convolutional"\nhidden = []\n{SEPARABLE}'
    stages = (*(Conv(4), PoolStage(), Conv(4, groups=4)), Conv(6, 1), Conv(9, 3, 2, groups=3))
    assert layers_of(text) == ConvolutionalLayers((1, 28, 28), stages, 10)
    assert layers_of(text.replace("1 }", '1, padding = "half" }')) == layers_of(text)
    plan = only(text)
    again = sweep.expand(document.parse(tomli_w.dumps(toml_of(plan)), "again.toml"))
    assert [run.plan for run in again.runs] == [plan]


def test_a_table_says_the_normalisation() -> None:
    assert network_of(only("")).normalisation == Unnormalised()
    text = '[normalisation]\nkind = "bntt"\nstatistics = "local"\nmomentum = 0.2'
    assert network_of(only(text)).normalisation == BNTT("local", momentum=0.2)


def test_a_file_that_says_the_defaults_is_the_same_run() -> None:
    said = '[architecture]\nkind = "dense"\nhidden = [100]\n[normalisation]\nkind = "none"\n'
    [[silent], [loud]] = [
        sweep.expand(document.parse(f'name = "x"\nnetwork = "snn"\n{text}', "x")).runs
        for text in ("", said)
    ]
    assert loud.settings_sha256 == silent.settings_sha256


def test_images_of_any_channels_and_nothing_else() -> None:
    """Channels first, whatever is larger; flat samples are refused with the cure."""
    text = '[architecture]\nkind = "convolutional"\nfeatures = [2]\nhidden = []'
    assert layers_of(text, (28, 28), 2) == ConvolutionalLayers((1, 28, 28), (Conv(2),), 2)
    assert layers_of(text, (3, 8, 6), 2) == ConvolutionalLayers((3, 8, 6), (Conv(2),), 2)
    assert layers_of(text, (8, 6, 3), 2) == ConvolutionalLayers((8, 6, 3), (Conv(2),), 2)
    with pytest.raises(InputError, match="convolutions over samples of shape"):
        layers_of(text, (64,))
    odd = '[architecture]\nkind = "convolutional"\nfeatures = [2, "pool", 2, "pool", 2, "pool"]'
    with pytest.raises(InputError, match="2 x 2 over 7 x 7 values"):
        layers_of(odd)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[architecture]\nkind = "convolutional"\nfeatures = ["pool", 2]', "first a Conv"),
        ('[architecture]\nkind = "convolutional"\nfeatures = [2, "M"]', '"pool" or "depthwise"'),
        (
            '[architecture]\nkind = "convolutional"\nfeatures = [4, { channels = 6, groups = 4 }]',
            "a convolution of 4 to 6 channels in 4 groups",
        ),
        (
            '[architecture]\nkind = "convolutional"\nfeatures = [{ channels = 6, group = 2 }]',
            "a table of channels, kernel, stride, padding, groups",
        ),
        (
            '[architecture]\nkind = "convolutional"\nfeatures = [{ channels = 6, kernel = 0 }]',
            "a table of channels, kernel, stride, padding, groups",
        ),
        ("[architecture]\nfeatures = [2]", 'set architecture.kind = "convolutional"'),
        ('[normalisation]\nkind = "bntt"\nmomentum = 0', "> 0"),
        ('[normalisation]\nkind = "batch"', '"none", "bntt"'),
    ],
)
def test_what_cannot_be_is_said(text: str, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        layers_of(text)


def test_layers_are_told_apart_and_billed(finished: Path) -> None:
    """Operations by hand, from the events that the rounds saw."""
    runs = summaries(finished)
    assert len(runs) == 4  # the ANN once: it has no such normalisation
    first = Convolution(1, 2, 3, 28, 28, 1, 1)
    sizes = {"conv1": (784, 1568), "pool1": (1568, 392), "hidden": (392, 5), "output": (5, 10)}
    norms = {"conv1_norm": (1568, 1568), "hidden_norm": (5, 5)}
    for run in runs.values():
        network = msgspec.convert(run["network_operations"], NetworkOperations)
        layers = {name: (layer.inputs, layer.outputs) for name, layer in network.layers.items()}
        assert layers == sizes | (norms if normalised(run) else {})
        assert network.layers["conv1"].synapses == first.synapses
        seen = Activity(**run["activity"])
        assert seen.samples == 2 * 2 * 12
        assert seen.synapses_met.keys() == {"conv1"}
        count(network, seen)  # raises where it cannot be of this network
        mac, ac = (run["operations"][kind] for kind in ("mac", "ac"))
        if run["network"] == "ann":
            assert (mac, ac) == (seen.samples * (first.synapses + 392 * 5 + 5 * 10), 0)
        else:  # behind the average are real values
            assert ac == seen.synapses_met["conv1"] + seen.events_in["output"] * 10
            assert mac == seen.events_in["hidden"] * 5
        priced = run["bill"]["horowitz45-int8"]["study"]["run"]["nominal_mj"]
        assert priced == pytest.approx((0.23 * mac + 0.03 * ac) * 1e-9, rel=1e-12)


def test_statistics_are_sent_only_if_they_are_pooled(finished: Path) -> None:
    """Words on the wire: gammas for 3 steps in place of biases, and means and variances if pooled."""
    weights, channels = 2 * 9 + 392 * 5 + 5 * 10, 2 + 5
    words = {
        "none": weights + channels + 10,
        "local": weights + 3 * channels,
        "pooled": weights + 3 * 3 * channels,
    }
    spiking = [run for run in summaries(finished).values() if run["network"] == "snn"]
    for run in spiking:
        kept = run["config"]["normalisation"].get("statistics", "none")
        assert run["uplink_bytes_per_round"] == 2 * 4 * words[kept]
        models = run["counts"]["aggregation"]["conv1"]["mac"] / (2 * 9 + 2 * (not normalised(run)))
        assert models == 2 * 2  # clients x rounds
        tensors = load_file(finished / run["name"] / "model.safetensors")
        assert ("conv1.variance" in tensors) == (kept == "pooled")
    assert len(spiking) == 3


def test_finished_runs_are_priced_again(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = asked(capsys, "energy", finished, "--profile", "horowitz45-int8")
    for run in found["runs"]:
        stored = summaries(finished)[run["name"]]["bill"]["horowitz45-int8"]
        for level in ("study", "compute", "memory", "training"):
            again = run["bill"]["horowitz45-int8"][level]["nominal_mj"]
            assert again == stored[level]["nominal_mj"]
    assert len(found["comparisons"]) == 3


def test_a_killed_run_goes_on_with_the_same_bits(finished: Path, tmp_path: Path) -> None:
    """Statistics, pooled on the server or kept by the clients, are in the checkpoint."""
    experiment = sweep.expand(document.parse(TINY, "tiny.toml"))
    for _ in experiment.runs:  # stopped after the next run's first round, each time
        for event in events(experiment, tmp_path):
            if isinstance(event, Trained) and event.record.round == 1:
                break
    for _ in events(experiment, tmp_path):
        pass
    hashes = [{n: r["model_sha256"] for n, r in summaries(f).items()} for f in (finished, tmp_path)]
    assert hashes[0] == hashes[1]


def test_the_report_has_them(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    undraw(monkeypatch)
    page = Path(report.write(finished)).read_text("utf-8")
    assert "no normalisation" in page
    assert "statistics local" in page


def normalised(run: dict[str, Any]) -> bool:
    return run["network"] == "snn" and "bntt" in run["config"]["normalisation"].values()
