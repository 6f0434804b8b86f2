"""Convolutions and batch normalisation in an experiment's file: from the table to the bill and the report."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from fedspike import report
from fedspike.data import load
from fedspike.energy.counts import Activity, BatchNorm, Convolution, Dense, Pool
from fedspike.energy.recorded import layers_of
from fedspike.errors import InputError
from fedspike.experiment import build, document, sweep
from fedspike.networks import BNTT, Conv, Convolutional, small_vgg
from fedspike.networks import Pool as PoolStage
from fedspike.records.events import Trained
from running import asked, events, finish
from test_experiment_spiking import network_of, only

TINY = """\
name = "tiny"
rounds = 2
[data]
name = "fashion-mnist-sample"
[fleet]
clients = 2
samples_per_round = 12
[architecture]
kind = "convolutional"
features = [2, "pool"]
hidden = [5]
[snn]
time_steps = 3
threshold = 0.2
read_out = "membrane"
[training]
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


def test_a_table_says_the_stages() -> None:
    usual = network_of(only('[architecture]\nkind = "convolutional"')).architecture
    assert usual == small_vgg((1, 28, 28), classes=10)
    text = '[architecture]\nkind = "convolutional"\nfeatures = [3, "pool", 4]\nhidden = []\npool = "max"'
    stages = (Conv(3), PoolStage("max"), Conv(4))
    assert network_of(only(text)).architecture == ConvolutionalLayers((1, 28, 28), stages, 10)


def test_a_table_says_the_normalisation() -> None:
    assert network_of(only("")).normalisation is None
    text = '[normalisation]\nkind = "bntt"\nstatistics = "local"\nmomentum = 0.2'
    assert network_of(only(text)).normalisation == BNTT("local", momentum=0.2)


def test_runs_of_before_are_the_same_runs() -> None:
    """A file that says what was the only way has the hash of one that says nothing."""
    said = '[architecture]\nkind = "dense"\nhidden = [100]\n[normalisation]\nkind = "none"\n'
    [[before], [now]] = [
        sweep.expand(document.parse(f'name = "x"\nnetwork = "snn"\n{text}', "x")).runs
        for text in ("", said)
    ]
    assert now.settings_sha256 == before.settings_sha256
    assert sweep.identity(now.settings)["architecture"] == {"hidden": (100,)}


def test_images_of_any_channels_and_nothing_else(tmp_path: Path) -> None:
    """Channels first; flat samples, and channels last, are refused with the cure."""
    settings = only('[architecture]\nkind = "convolutional"\nfeatures = [2]\nhidden = []')
    sample = load("fashion-mnist-sample")

    def on(shape: tuple[int, ...]) -> Convolutional:
        x = np.zeros((20, *shape), np.float32)
        labels = np.arange(20) % 2
        np.savez(tmp_path / "own.npz", x_train=x, y_train=labels, x_test=x, y_test=labels)
        made = build.network(settings, load(str(tmp_path / "own.npz"))).architecture
        assert isinstance(made, Convolutional)
        return made

    assert isinstance(build.network(settings, sample).architecture, Convolutional)
    assert on((3, 8, 6)).image == (3, 8, 6)
    for shape in ((64,), (8, 6, 3)):
        with pytest.raises(InputError, match="convolutions over samples of shape"):
            on(shape)
    odd = only(
        '[architecture]\nkind = "convolutional"\nfeatures = [2, "pool", 2, "pool", 2, "pool"]'
    )
    with pytest.raises(InputError, match="size=2"):
        build.network(odd, sample)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[architecture]\nkind = "convolutional"\nfeatures = ["pool", 2]', "first a Conv"),
        ('[architecture]\nkind = "convolutional"\nfeatures = [2, "M"]', 'or "pool"'),
        ("[architecture]\nfeatures = [2]", 'set architecture.kind = "convolutional"'),
        ('[normalisation]\nkind = "bntt"\nmomentum = 0', "> 0"),
        ('[normalisation]\nkind = "batch"', '"none", "bntt"'),
    ],
)
def test_what_cannot_be_is_said(text: str, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        network_of(only(text))


def test_layers_are_told_apart_and_billed(finished: Path) -> None:
    """Operations by hand, from the events that the rounds saw."""
    runs = summaries(finished)
    assert len(runs) == 4  # the ANN once: it has no such normalisation
    first, pool = Convolution(1, 2, 3, 28, 28, 1, 1), Pool("average", 2, 28, 28)
    for run in runs.values():
        layers = layers_of(run["shapes"])
        if normalised(run):
            kinds = [Convolution, BatchNorm, Pool, Dense, BatchNorm, Dense]
            assert [type(layer) for layer in layers.values()] == kinds
        else:
            assert list(layers.values()) == [first, pool, Dense(392, 5), Dense(5, 10)]
        seen = Activity(**run["activity"])
        assert seen.samples == 2 * 2 * 12
        assert seen.synapses_met.keys() == {"conv1"}
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
        kept = run["normalisation"].get("statistics", "none")
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
            if isinstance(event, Trained) and event.record["round"] == 1:
                break
    for _ in events(experiment, tmp_path):
        pass
    hashes = [{n: r["model_sha256"] for n, r in summaries(f).items()} for f in (finished, tmp_path)]
    assert hashes[0] == hashes[1]


def test_the_report_has_them(finished: Path) -> None:
    page = Path(report.write(finished)).read_text("utf-8")
    assert "no normalisation" in page
    assert "statistics local" in page


def normalised(run: dict[str, Any]) -> bool:
    return bool((run["normalisation"] or {}).get("kind") == "bntt")
