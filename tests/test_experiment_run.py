"""Experiments on the real engine, tiny: what is stored, what is skipped, and that resuming is exact."""

import base64
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

import running
from fedspike import data
from fedspike.energy import meters
from fedspike.energy.meters import Unavailable
from fedspike.errors import InputError
from fedspike.experiment import document, sweep
from fedspike.parts.codes import Address, Rate
from fedspike.records import health, reader
from fedspike.records.events import Finished, Skipped, Started, Trained
from fedspike.records.schema import LARGE

TINY = """\
name = "tiny"
rounds = 3
[data]
kind = "fashion-mnist-sample"
[partition]
kind = "classes"
classes = 3
[fleet]
clients = 4
clients_per_round = 3
samples_per_round = 24
[architecture]
hidden = [6]
[snn]
time_steps = 4
[learner]
batch_size = 10
[sweep]
network = ["ann", "snn"]
"""
NETWORKS = ("ann", "snn")
NPZ = ("data.kind=npz",)
PERFORM = """\
import sys; from pathlib import Path
from fedspike.experiment import document, sweep; from fedspike.experiment.run import load, perform
text, folder = sys.argv[1:]
tiny = sweep.expand(document.parse(text, "tiny.toml"))
for _ in perform(tiny, load(tiny, str), Path(folder), ""):
    pass
"""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def experiment(*options: str, text: str = TINY) -> sweep.Experiment:
    source = document.parse(text, "tiny.toml")
    for option in options:
        source = source.override(*document.parse_option(option), f"--set {option}")
    return sweep.expand(source)


def events(folder: Path, *options: str, text: str = TINY) -> Iterator[Any]:
    return running.events(experiment(*options, text=text), folder)


def perform_all(folder: Path, *options: str, text: str = TINY) -> dict[str, Any]:
    for _ in events(folder, *options, text=text):
        pass
    return read(folder / "summary.json")


def read(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(path.read_bytes())
    return value


def rounds(run: Path) -> list[dict[str, Any]]:
    """A run's lines without their times."""
    lines = [json.loads(line) for line in (run / "rounds.jsonl").read_bytes().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def outcome(folder: Path) -> dict[str, Any]:
    """All of the results that must not depend on when and how they came about."""
    return {
        path.parent.name: (read(path)["model_sha256"], rounds(path.parent))
        for path in sorted(folder.glob("*/summary.json"))
    }


class Mains:
    """A sensor of a made-up machine, which draws 100 W all the time."""

    name = "mains"

    def joules(self) -> dict[str, float]:
        return {"all": 100 * time.monotonic()}


def test_rounds_are_measured_when_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meters, "sensors", lambda: [Mains(), Unavailable("zeus", "not here")])
    monkeypatch.setattr(meters, "IDLE_S", 0.01)
    monkeypatch.setattr(meters, "WINDOW_S", 0.0)
    for _ in running.events(experiment("rounds=8"), tmp_path, measure=True):
        pass
    for run in read(tmp_path / "summary.json")["runs"]:
        figures, missing = run["measured"]
        assert missing == {"sensor": "zeus", "unavailable": "not here"}
        assert (figures["rounds"], figures["windows"]) == (7, 7)
        assert figures["joules"] / figures["seconds"] == pytest.approx(100, rel=0.05)
        # The interval's low end may be below 0 where something else ran beside a round.
        mean, low, high = (figures["joules_per_round"][key] for key in ("mean", "low", "high"))
        assert mean == pytest.approx(figures["joules"] / 7)
        assert low < mean < high


def test_without_being_asked_nothing_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meters, "sensors", lambda: pytest.fail("asked"))
    assert [run["measured"] for run in perform_all(tmp_path, "rounds=1")["runs"]] == [None, None]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny experiment, done without interruption."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    perform_all(folder)
    return folder


def test_a_run_directory_holds_what_the_plan_says(finished: Path) -> None:
    assert sorted(path.name for path in finished.iterdir()) == [
        "agenda.json",
        "ann-classes3-seed0",
        "snn-classes3-seed0",
        "summary.json",
    ]
    for run in finished.glob("*-seed0"):
        assert sorted(path.name for path in run.iterdir()) == [
            "checkpoint",
            "config.toml",
            "environment.json",
            "model.safetensors",
            "rounds.jsonl",
            "summary.json",
        ]


def test_the_summary_holds_what_the_issue_asks(finished: Path) -> None:
    summary = read(finished / "summary.json")
    assert (summary["schema"], summary["name"], summary["command"]) == (7, "tiny", "fedspike run")
    assert summary["dataset"]["train_samples"] == 2000
    for run, network in zip(summary["runs"], ("ann", "snn"), strict=True):
        assert run["network"] == network
        assert run["classes_per_client"] == 3
        assert (run["seed"], run["rounds"], len(run["accuracy"])) == (0, 3, 3)
        assert run["final_accuracy"] == run["accuracy"][-1]
        assert run["final_accuracy_mean_last_10"] == pytest.approx(np.mean(run["accuracy"]))
        assert run["layers"] == [784, 6, 10]
        assert run["parameters"] == 784 * 6 + 6 + 6 * 10 + 10
        assert run["samples_per_round"] == 3 * 24
        # 3 clients send, and are sent, every parameter as 4 bytes.
        assert run["uplink_bytes_per_round"] == 3 * 4 * run["parameters"]
        assert run["downlink_bytes_per_round"] == 3 * 4 * run["parameters"]
        assert run["seconds"] > 0
        assert np.array(run["class_counts"]).shape == (4, 10)
        assert np.array(run["class_counts"]).sum() == 2000
        assert (np.array(run["class_counts"]) > 0).sum(1).tolist() == [3] * 4
        own = read(finished / run["name"] / "summary.json")
        assert own | dict.fromkeys(LARGE) == run


def test_operations_and_energy_are_those_of_the_study(finished: Path) -> None:
    ann, snn = read(finished / "summary.json")["runs"]
    assert ann["forward_operations_per_sample"] == 784 * 6 + 6 * 10
    assert ann["study_energy_mj_per_round"] == pytest.approx(72 * (784 * 6 + 6 * 10) * 3.1e-9)
    steps = [run["network_operations"]["time_steps"] for run in (ann, snn)]
    assert (steps, ann["spikes_per_sample"]) == ([None, 4], {})
    spikes = {
        layer: sum(line["spikes"][layer] for line in rounds(finished / snn["name"]))
        for layer in ("hidden", "output")
    }
    assert snn["operations"] == {"mac": 0, "ac": 6 * spikes["hidden"] + 10 * spikes["output"]}
    assert snn["spikes_per_sample"]["hidden"] == spikes["hidden"] / (3 * 72)


def test_every_round_tells_what_each_client_did(finished: Path) -> None:
    for run in read(finished / "summary.json")["runs"]:
        lines = rounds(finished / run["name"])
        for line in lines:
            assert [int(client) for client in line["activity"]] == line["clients"]
            seen = list(line["activity"].values())
            assert [each["samples"] for each in seen] == [24] * 3
            assert [each["steps"] for each in seen] == [3] * 3  # 10, 10 and 4 samples
            entered = {
                layer: sum(each["events_in"][layer] for each in seen)
                for layer in ("hidden", "output")
            }
            assert line["spikes"] == (entered if run["network"] == "snn" else {})
            assert 0 < entered["output"] < entered["hidden"]
            assert (line["tested"]["samples"], line["tested"]["steps"]) == (500, 0)
        assert run["activity"]["samples"] == 3 * 72
        assert run["activity"]["events_in"]["hidden"] == sum(
            seen["events_in"]["hidden"] for line in lines for seen in line["activity"].values()
        )
        assert run["tested"]["samples"] == 3 * 500


def test_the_summary_has_the_bill(finished: Path) -> None:
    ann, snn = read(finished / "summary.json")["runs"]
    for run in (ann, snn):
        study = run["bill"]["founding-study"]["study"]
        assert study["nominal_mj"] == pytest.approx(run["study_energy_mj_per_round"], rel=1e-14)
        assert study["run"]["nominal_mj"] == pytest.approx(3 * study["nominal_mj"], rel=1e-14)
        assert (run["target_accuracy"], run["rounds_to_target"]) == (0.85, None)
        assert run["measured"] is None
        assert run["neurobench"]["footprint_bytes"] == 4 * run["parameters"]
        sent = run["counts"]["exchange"]["radio"]
        assert sent["uplink_bytes"] == 3 * run["uplink_bytes_per_round"]
    assert (bool(ann["bill_skip_zeros"]), snn["bill_skip_zeros"]) == (True, {})


def test_a_quantised_ann_is_trained_and_billed_beside_the_others(tmp_path: Path) -> None:
    options = ['sweep.network=["ann", "qann"]', "qann.bits=1", "rounds=2"]
    ann, qann = perform_all(tmp_path, *options)["runs"]
    assert (qann["network"], qann["name"]) == ("qann", "qann-classes3-bits1-seed0")
    assert qann["parameters"] == ann["parameters"]
    assert qann["network_operations"]["time_steps"] is None
    for way in ("uplink_bytes_per_round", "downlink_bytes_per_round"):
        assert qann[way] == ann[way]
    dense = [run["bill"]["founding-study"]["study"]["nominal_mj"] for run in (ann, qann)]
    assert dense[0] == dense[1]
    # Of one bit, every pixel below a half is a zero that can be skipped.
    pixels = [run["activity"]["events_in"]["hidden"] for run in (qann, ann)]
    assert 0.3 * pixels[1] < pixels[0] < 0.9 * pixels[1]
    skipping = [run["bill_skip_zeros"]["founding-study"]["study"] for run in (qann, ann)]
    assert skipping[0]["nominal_mj"] < skipping[1]["nominal_mj"]
    assert qann["model_sha256"] != ann["model_sha256"]


def test_a_target_that_is_reached_and_another_one(tmp_path: Path) -> None:
    [run] = perform_all(tmp_path, "network=ann", "target_accuracy=0.02")["runs"]
    assert run["rounds_to_target"] == 1
    entry = run["bill"]["yan22"]["training"]
    assert 0 < entry["to_target"]["high_mj"] < entry["run"]["high_mj"]
    with pytest.raises(InputError, match=r"target_accuracy is 0.02 there and 0.03 here"):
        perform_all(tmp_path, "network=ann", "target_accuracy=0.03")


def test_a_run_of_another_schema_version_is_refused(tmp_path: Path) -> None:
    perform_all(tmp_path, "rounds=1", "network=ann")
    path = tmp_path / "ann-classes3-seed0" / "summary.json"
    path.write_text(json.dumps({**read(path), "schema": 1}))
    with pytest.raises(InputError, match="schema version 1, from another version of fedspike"):
        perform_all(tmp_path, "rounds=1", "network=ann")


def test_a_checkpoint_of_another_schema_version_is_refused(tmp_path: Path) -> None:
    stop_after(tmp_path, 2)
    [home] = tmp_path.glob("*-seed0")
    manifest = next((home / "checkpoint").glob("round-*")) / "manifest.json"
    manifest.write_text(json.dumps({**read(manifest), "schema": 1}))
    with pytest.raises(InputError, match="schema version 1") as caught:
        perform_all(tmp_path)
    assert str(home) in caught.value.fix


def test_the_model_and_its_image_are_the_trained_weights(finished: Path) -> None:
    for run in finished.glob("*-seed0"):
        summary, model = read(run / "summary.json"), load_file(run / "model.safetensors")
        content = (run / "model.safetensors").read_bytes()
        assert hashlib.sha256(content).hexdigest() == summary["model_sha256"]
        image = summary["hidden_weights"]
        small = np.frombuffer(base64.b64decode(image["int8_base64"]), np.int8)
        weights = small.reshape(image["shape"]) * image["scale"]
        assert image["shape"] == [6, 28, 28]
        assert np.abs(weights.reshape(6, 784) - model["hidden.weight"]).max() <= image["scale"] / 2
        assert summary["weights"]["sharpness"] > 0


def test_the_predictions_are_those_of_the_model_in_the_last_test(finished: Path) -> None:
    test = data.load_data("fashion-mnist-sample")
    for network in NETWORKS:
        home = finished / f"{network}-classes3-seed0"
        summary = reader.run(home)
        assert summary is not None
        both = reader.predictions_of(summary)
        assert both is not None
        labels, predicted = both
        assert (labels == test.y_test).all()
        assert (labels == predicted).mean() == summary.final_accuracy
        if network == "ann":  # what plain numpy says of the stored model
            model = load_file(home / "model.safetensors")
            hidden = test.x_test.reshape(-1, 784) @ model["hidden.weight"].T + model["hidden.bias"]
            scores = np.maximum(hidden, 0) @ model["output.weight"].T + model["output.bias"]
            assert (scores.argmax(1) == predicted).mean() > 0.999  # but for ties
        kept = summary.predictions
        assert kept is not None
        assert kept.bytes_each == 1
        other = msgspec.structs.replace(kept, predicted_base64=kept.labels_base64)
        with pytest.raises(InputError, match="another accuracy than the run's"):
            reader.predictions_of(msgspec.structs.replace(summary, predictions=other))
        short = msgspec.structs.replace(kept, predicted_base64=kept.predicted_base64[1:])
        with pytest.raises(InputError, match="predicted holds"):
            reader.predictions_of(msgspec.structs.replace(summary, predictions=short))


def test_the_raster_is_the_first_image_and_what_the_code_makes_of_it(
    finished: Path, tmp_path: Path
) -> None:
    ann, snn = (
        read(finished / f"{network}-classes3-seed0" / "summary.json") for network in NETWORKS
    )
    assert ann["raster"] is None
    assert all(run["raster"] is None for run in read(finished / "summary.json")["runs"])
    raster, image = snn["raster"], data.load_data("fashion-mnist-sample").x_train[0]
    assert (raster["shape"], raster["time_steps"]) == ([28, 28], 4)
    bytes_ = np.frombuffer(base64.b64decode(raster["image_base64"]), np.uint8)
    assert (bytes_ == np.rint(image.reshape(-1) * 255)).all()
    packed = np.frombuffer(base64.b64decode(raster["spikes_base64"]), np.uint8)
    spikes = np.unpackbits(packed).reshape(4, 784)
    address = Address(0, "encode", round=1, clients=(0,), first_samples=(0,))
    expected = Rate().spikes(torch.tensor(image).reshape(1, 1, 784), address, 4)
    assert (spikes == expected[:, 0, 0].numpy()).all()
    [direct] = perform_all(tmp_path, "network=snn", "code.kind=direct", "rounds=1")["runs"]
    assert read(tmp_path / direct["name"] / "summary.json")["raster"] is None


def test_the_summary_says_which_firing_rates_are_ill(finished: Path) -> None:
    ann, snn = read(finished / "summary.json")["runs"]
    assert (ann["firing_rates"], ann["ill_layers"], ann["rate_limits"]) == ({}, {}, {})
    assert [len(rates) for rates in snn["firing_rates"].values()] == [3, 3]
    limits = {state: limit["rate"] for state, limit in snn["rate_limits"].items()}
    assert limits == {"dead": health.DEAD, "saturated": health.SATURATED}
    assert all("neuron." in limit["usual_fix"] for limit in snn["rate_limits"].values())


def test_the_environment_names_versions_and_nobody(finished: Path) -> None:
    text = (finished / "ann-classes3-seed0" / "environment.json").read_text()
    assert json.loads(text).keys() >= {"python", "torch", "numpy", "fedspike", "cpu", "threads"}
    assert str(Path.home()) not in text
    assert str(finished) not in text


def test_the_stored_configuration_is_the_run(finished: Path) -> None:
    for run in experiment().runs:
        home = finished / run.name
        again = sweep.read(str(home / "config.toml"))
        assert [r.plan for r in again.runs] == [run.plan]
        assert (
            tomllib.loads((home / "config.toml").read_text())
            == read(home / "summary.json")["config"]
        )


def test_the_same_seed_gives_the_same_bytes_but_for_times(finished: Path, tmp_path: Path) -> None:
    perform_all(tmp_path)
    assert outcome(tmp_path) == outcome(finished)
    for name in outcome(tmp_path):
        for line in (tmp_path / name / "rounds.jsonl").read_bytes().splitlines():
            assert list(json.loads(line)["seconds"]) == ["training", "aggregation", "evaluation"]


def test_another_seed_gives_another_model(finished: Path, tmp_path: Path) -> None:
    perform_all(tmp_path, "seed=1", "network=ann", "rounds=1")
    [(_, lines)] = outcome(tmp_path).values()
    assert lines[0] != rounds(finished / "ann-classes3-seed0")[0]


def test_what_is_finished_is_skipped(tmp_path: Path) -> None:
    perform_all(tmp_path, "rounds=1")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert [type(event) for event in events(tmp_path, "rounds=1")] == [Skipped, Skipped]
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert after == before
    told = list(events(tmp_path, "rounds=1", "network=ann", "sweep.seed=[0, 1]"))
    assert [type(event) for event in told] == [Skipped, Started, Trained, Finished]
    names = [run["name"] for run in read(tmp_path / "summary.json")["runs"]]
    assert names == ["ann-classes3-seed0", "ann-classes3-seed1"]


def test_the_summary_grows_with_every_finished_run(tmp_path: Path) -> None:
    for event in events(tmp_path, "rounds=1"):
        if isinstance(event, Started) and event.run.startswith("snn") and event.rounds_done:
            assert len(read(tmp_path / "summary.json")["runs"]) == 1


def test_rounds_of_every_variant_come_first_so_that_the_time_left_is_known(
    tmp_path: Path,
) -> None:
    told = events(tmp_path, "rounds=3", "sweep.seed=[0, 1]")
    trained = [event.run for event in told if isinstance(event, Trained)]
    ann, ann1, snn, snn1 = (
        f"{kind}-classes3-seed{seed}" for kind in ("ann", "snn") for seed in (0, 1)
    )
    assert trained == [ann, snn, ann, ann, *3 * [ann1], snn, snn, *3 * [snn1]]


def test_another_experiment_in_the_same_folder_is_refused(finished: Path) -> None:
    before = outcome(finished)
    with pytest.raises(InputError, match="holds the experiment tiny, and this one is other"):
        perform_all(finished, "name=other", "rounds=1")
    assert outcome(finished) == before


def test_other_settings_in_the_same_folder_are_refused(tmp_path: Path) -> None:
    perform_all(tmp_path, "rounds=1")
    before = outcome(tmp_path)
    with pytest.raises(InputError) as caught:
        perform_all(tmp_path, "rounds=2", "neuron.beta=0.8")
    assert "snn-classes3-seed0 holds a run with other settings" in caught.value.passed
    assert "neuron.beta is 0.9 there and 0.8 here" in caught.value.passed
    assert "--output" in caught.value.fix
    assert outcome(tmp_path) == before


def test_an_interrupted_run_with_other_settings_is_refused(tmp_path: Path) -> None:
    stop_after(tmp_path, 2)
    with pytest.raises(InputError, match=r"optimiser.learning_rate is 0.001 there and 0.5 here"):
        perform_all(tmp_path, "optimiser.learning_rate=0.5")


def stop_after(folder: Path, told: int, *options: str) -> None:
    happening = events(folder, *options)
    for _ in range(told):
        next(happening)
    happening.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "algorithm",
    [
        pytest.param(["algorithm.kind=fedavg"], marks=pytest.mark.thorough),
        pytest.param(["algorithm.kind=fedprox"], marks=pytest.mark.thorough),
        ["algorithm.kind=fedadam"],
        ["algorithm.kind=scaffold", "optimiser.kind=sgd", "optimiser.learning_rate=0.05"],
    ],
)
def test_stopped_after_any_round_it_ends_with_the_same_bits(
    algorithm: list[str], tmp_path: Path
) -> None:
    perform_all(tmp_path / "whole", *algorithm)
    for _ in range(20):
        stopped = tmp_path / "stopped"
        happening = events(stopped, *algorithm)
        trained = [event for event, _ in zip(happening, range(2), strict=False)]
        happening.close()  # type: ignore[attr-defined]
        if not any(isinstance(event, Started) for event in trained):
            break  # both runs were finished
    perform_all(stopped, *algorithm)
    assert outcome(stopped) == outcome(tmp_path / "whole")
    assert len(outcome(stopped)) == 2


def test_a_half_written_line_is_dropped(finished: Path, tmp_path: Path) -> None:
    stop_after(tmp_path, 3)  # started and two rounds
    with (tmp_path / "ann-classes3-seed0" / "rounds.jsonl").open("ab") as file:
        file.write(b'{"round": 3, "accuracy": 0.')
    perform_all(tmp_path)
    assert outcome(tmp_path) == outcome(finished)


@pytest.mark.killed
def test_killed_without_mercy_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    """SIGKILL at moments that nobody chose, three times, then to the end."""
    text = TINY.replace("rounds = 3", "rounds = 60").replace('["ann", "snn"]', '["snn"]')
    killed, lines = tmp_path / "killed", tmp_path / "killed" / "snn-classes3-seed0" / "rounds.jsonl"
    for kill in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", PERFORM, text, str(killed)], env=one_thread()
        )
        deadline = time.monotonic() + 60
        seen = None
        while time.monotonic() < deadline and process.poll() is None:
            size = lines.stat().st_size if lines.exists() else 0
            if seen is None:
                seen = size
            if size > seen + 300 * kill + 1:
                break
            time.sleep(0.001)
        assert process.poll() is None, "it finished, or did not begin, before it could be killed"
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    done = len((lines.read_bytes()).splitlines())
    assert 3 <= done < 60
    perform_all(killed, text=text)
    perform_all(tmp_path / "whole", text=text)
    assert outcome(killed) == outcome(tmp_path / "whole")


def one_thread() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def test_a_damaged_checkpoint_stops_the_run_and_deleting_it_goes_on(
    finished: Path, tmp_path: Path
) -> None:
    stop_after(tmp_path, 6)  # both rounds of each network
    newest = tmp_path / "ann-classes3-seed0" / "checkpoint" / "round-000002"
    content = bytearray((newest / "state.safetensors").read_bytes())
    content[-1] ^= 1
    (newest / "state.safetensors").write_bytes(content)
    with pytest.raises(InputError, match=r"state\.safetensors") as caught:
        perform_all(tmp_path)
    assert caught.value.fix.startswith(f"delete {newest} to go on from round-000001")
    for path in newest.iterdir():
        path.unlink()
    newest.rmdir()
    perform_all(tmp_path)
    assert outcome(tmp_path) == outcome(finished)


def test_a_summary_of_another_run_is_refused(tmp_path: Path) -> None:
    perform_all(tmp_path, "rounds=1", "network=ann")
    path = tmp_path / "ann-classes3-seed0" / "summary.json"
    path.write_bytes(running.resealed({**read(path), "settings_sha256": "another"}))
    with pytest.raises(InputError, match="its summary is of another run"):
        perform_all(tmp_path, "rounds=1", "network=ann")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_a_damaged_summary_is_made_again_from_the_checkpoint(
    content: bytes, tmp_path: Path
) -> None:
    perform_all(tmp_path, "rounds=1", "network=ann")
    before = outcome(tmp_path)
    path = tmp_path / "ann-classes3-seed0" / "summary.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"summary\.json") as caught:
        perform_all(tmp_path, "rounds=1", "network=ann")
    assert caught.value.fix.startswith(f"delete {path}")
    path.unlink()
    told = list(events(tmp_path, "rounds=1", "network=ann"))
    assert [type(event) for event in told] == [Started, Finished]  # nothing is trained twice
    assert outcome(tmp_path) == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["partition.classes=11"], ["--set partition.classes=11: ", "at most as many classes"]),
        (["fleet.clients=2001"], ["--set fleet.clients=2001: ", "2000 samples"]),
        (["partition.kind=shards", "partition.shards_per_client=501"], ["shards_per_client=501: "]),
        (["data.kind=fashion-mnist-sampl"], ["--set data.kind=", "did you mean"]),
        (["data.kind=npz", "data.path=no.npz"], ["--set data.path=no.npz: ", "No such file"]),
        (
            ["data.kind=fashion-mnist", "data.data_dir=/nowhere"],
            ["--set data.data_dir=/nowhere: "],
        ),
        (
            ["partition.kind=shared-classes", "fleet.clients=12"],
            ["--set fleet.clients=12: ", "set clients = 9 or less"],
        ),
    ],
)
def test_what_the_data_do_not_allow_is_refused_before_anything_is_written(
    options: list[str], words: list[str], tmp_path: Path
) -> None:
    refuse(tmp_path, options, words)


def refuse(folder: Path, options: list[str], words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        perform_all(folder / "runs", *options)
    assert [word for word in words if word not in str(caught.value)] == []
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ["algorithm.kind=neuron-union", "architecture.hidden=[6, 6]"],
            ["--set algorithm.kind=neuron-union: ", "hidden1, hidden2", "one hidden layer"],
        ),
        # As many time steps as neurons.
        (
            ["algorithm.kind=neuron-matching", "normalisation.kind=bntt", "snn.time_steps=6"],
            ["--set algorithm.kind=neuron-matching: ", "hidden.gamma", "without a normalisation"],
        ),
        (
            ['remedies=[{kind="heterofl"}]', "normalisation.kind=bntt"],
            ["--set normalisation.kind=bntt: ", "narrowed, with bntt"],
        ),
        (
            ['remedies=[{kind="fedrolex"}]', "rule.kind=strongest"],
            [
                "remedies: ",
                "fedrolex with the rule strongest",
                'rule.kind = "mean"',
            ],
        ),
        (
            ["learner.kind=ottt", "neuron.kind=competitive"],
            ["--set learner.kind=ottt: ", "threshold of Competitive", "another kind"],
        ),
        (
            [
                *("learner.kind=stdp", "learner.allotted=true"),
                *("neuron.kind=competitive", "read_out.kind=membrane"),
            ],
            ["tiny.toml, line 13: ", "6 neurons allotted to 10 classes"],
        ),
    ],
)
def test_what_the_network_does_not_allow_is_refused_before_anything_is_written(
    options: list[str], words: list[str], tmp_path: Path
) -> None:
    """Also where it is the last run of many that cannot be."""
    refuse(tmp_path, ["network=snn", *options], words)


def test_an_impossible_last_run_is_refused_before_the_first(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"tiny\.toml, line 20: "):
        perform_all(tmp_path / "runs", text=TINY + '"partition.classes" = [3, 10, 11]\n')
    assert list(tmp_path.iterdir()) == []


def own_data(path: Path, shape: tuple[int, ...] = (5,), fault: str = "") -> Path:
    sample = data.load_data("fashion-mnist-sample")
    x = sample.x_train.reshape(2000, -1)[:, : int(np.prod(shape))].reshape(2000, *shape).copy()
    if fault == "nan":
        x[7] = np.nan
    np.savez(
        path,
        x_train=x[:200],
        y_train=sample.y_train[::10],
        x_test=x[:20],
        y_test=sample.y_test[::25],
    )
    if fault == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    return path


@pytest.mark.parametrize("fault", ["nan", "cut"])
def test_bad_data_are_refused_before_anything_is_written(fault: str, tmp_path: Path) -> None:
    file = own_data(tmp_path / "own.npz", fault=fault)
    with pytest.raises(InputError, match=r"own\.npz"):
        perform_all(tmp_path / "runs", *NPZ, f"data.path={file}", "partition.kind=iid")
    assert list(tmp_path.iterdir()) == [file]


def test_own_data_that_are_no_images_have_no_weight_images(tmp_path: Path) -> None:
    file = own_data(tmp_path / "own.npz")
    options = [*NPZ, f"data.path={file}", "partition.kind=iid", "rounds=1", "network=ann"]
    perform_all(tmp_path / "runs", *options)
    summary = read(tmp_path / "runs" / "ann-iid-seed0" / "summary.json")
    assert summary["layers"] == [5, 6, 10]
    assert (summary["hidden_weights"], summary["weights"]) == (None, {})
    assert summary["classes_per_client"] == 10
    with np.load(file) as arrays:
        np.savez(file, **{**arrays, "x_test": arrays["x_test"] * 0.5})
    with pytest.raises(InputError, match="the data set had other contents"):
        perform_all(tmp_path / "runs", *options)


def test_training_that_diverges_is_told_and_stored(tmp_path: Path) -> None:
    options = [
        "network=ann",
        "optimiser.kind=sgd",
        "optimiser.learning_rate=1e9",
        "architecture.hidden=[6, 6, 6, 6, 6, 6, 6, 6]",
    ]
    summary = perform_all(tmp_path, *options)
    [run] = summary["runs"]
    assert run["training_loss"] == [None] * 3
    # Every client was rejected in every round, so the model is the initial one.
    assert (run["rejected"], run["missing"], run["skipped_rounds"]) == ({"not finite": 9}, 0, 3)
    assert len(set(run["accuracy"])) == 1
    for line in rounds(tmp_path / run["name"]):
        assert [refused["sender"] for refused in line["rejected"]] == line["clients"]
        assert line["skipped"]
        assert all(refused["detail"].endswith("has a value nan") for refused in line["rejected"])


def test_the_baseline_holds_everything_in_one_place(tmp_path: Path) -> None:
    summary = perform_all(tmp_path, "network=ann", "centralised_baseline=true", "rounds=1")
    federated, central = summary["runs"]
    assert [run["centralised"] for run in summary["runs"]] == [False, True]
    assert central["samples_per_round"] == federated["samples_per_round"]
    assert central["class_counts"] == [[200] * 10]
    assert central["classes_per_client"] is None


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        perform_all(tmp_path / "file" / "runs")


def test_a_disk_that_runs_full_leaves_a_run_that_goes_on(tmp_path: Path) -> None:
    """On a real file system of its own, where the machine lets us have one."""
    room = tmp_path / "room"
    room.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", str(room)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        with pytest.raises(InputError, match="No space left on device") as caught:
            perform_all(room / "runs")
        assert "free some space" in caught.value.fix
        assert not list(room.rglob("*.partial"))
        subprocess.run(["mount", "-o", "remount,size=4m", str(room)], check=True)
        perform_all(room / "runs")
        perform_all(tmp_path / "whole")
        assert outcome(room / "runs") == outcome(tmp_path / "whole")
    finally:
        subprocess.run(["umount", str(room)], check=True)


@given(st.integers(1, 12), st.integers(0, 3))
@settings(max_examples=4, deadline=None)
def test_stopped_anywhere_the_line_count_is_the_checkpoint(told: int, more: int) -> None:
    """What was told is stored: `told` events in, the folder holds exactly those rounds."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        happening = events(Path(folder), "rounds=2")
        seen = [event for event, _ in zip(happening, range(told), strict=False)]
        happening.close()  # type: ignore[attr-defined]
        for event in seen:
            if isinstance(event, Trained):
                last = rounds(Path(folder) / event.run)[event.record.round - 1]
                assert last["accuracy"] == event.record.accuracy
        for _ in range(more):
            stop_after(Path(folder), 1, "rounds=2")
        perform_all(Path(folder), "rounds=2")
        assert all(len(lines) == 2 for _, lines in outcome(Path(folder)).values())
