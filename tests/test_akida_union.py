"""The comparison of benchmarks/akida_union.py: its ways to join, and, where akida is installed, all of it."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "akida_union.py"


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location("akida_union", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def with_akida(script: Any) -> Any:
    reason = "akida is not installed: pip install akida==2.19.3, if its licence suits you"
    pytest.importorskip("akida", reason=reason)
    return script


def held(script: Any, holders: int, devices: int) -> Any:
    """Neurons of 6 connections among 20 features, as drawn."""
    setting = script.Setting(devices, neurons=5, connections=6, start="own")
    starts = [script.started(setting, 20, 42, device)[0] for device in range(holders)]
    uses = np.arange(5 * holders).reshape(holders, 5)
    noise = np.random.default_rng(0).random((5, 20))
    return script.Held(np.stack(starts), uses, devices, noise)


def test_forms_of_an_average(script: Any) -> None:
    one, two = (pair := held(script, 2, 2)).weights
    assert (one.sum(1) == 6).all()
    assert (one != two).any()
    assert (script.cut(pair) == one * two).all()
    assert (script.rounded(pair) == np.maximum(one, two)).all()
    assert (script.maximum(pair) == np.maximum(one, two)).all()
    assert (script.exact(pair) == one + two).all()
    kept = script.strongest(pair)
    assert (kept.sum(1) == 6).all()
    assert (kept >= script.cut(pair)).all()
    assert (kept <= script.maximum(pair)).all()


@pytest.mark.parametrize("devices", [2, 4])
def test_a_class_on_one_device_stays_as_it_is(script: Any, devices: int) -> None:
    alone = held(script, 1, devices)
    for way, (tested, _) in script.WAYS.items():
        joined = tested(alone) // (devices if way == "average, exact" else 1)
        assert sorted(map(bytes, joined)) == sorted(
            map(bytes, alone.weights[0].astype(joined.dtype))
        )


def test_a_union_has_everybodys_neurons(script: Any) -> None:
    three = held(script, 3, 3)
    everybody = three.weights.reshape(15, 20)
    assert (script.union(three) == everybody).all()
    assert (script.as_large(three) == everybody[:9:-1]).all()  # the last were used most
    three.weights[2, 3] = three.weights[2, 4]
    none_twice = everybody[[14, 12, 11, 10, 9]]
    assert (script.as_large(three) == none_twice).all()
    three.weights[:] = three.weights[0, :1]
    assert script.as_large(three).shape == (5, 20)  # twice where there are no others


def test_selection_takes_the_neuron_with_more_weights(script: Any) -> None:
    pair = held(script, 2, 2)
    pair.weights[0, 3] = 0
    assert (
        script.selected(pair) == [*pair.weights[0, :3], pair.weights[1, 3], pair.weights[0, 4]]
    ).all()


def test_devices_hold_the_protocols_samples(script: Any) -> None:
    data = script.pooled(script.load_data("fashion-mnist-sample"))
    devices, test = script.dealt(data, script.Setting(), 42)
    counts = np.array([np.bincount(device.labels, minlength=3) for device in devices])
    assert sorted(counts.sum(0)) == [50, 50, 100]
    assert (counts.sum(1) == 100).all()
    assert np.bincount(test.labels).tolist() == [50, 50, 50]
    assert test.features.shape == (150, 64)


def test_akida_answers_with_the_sum_of_weights(with_akida: Any) -> None:
    pair = held(with_akida, 2, 2)
    features = np.random.default_rng(1).integers(0, 2, (30, 20), dtype=np.uint8)
    for weights in (with_akida.cut(pair), with_akida.exact(pair)):
        answers = with_akida.potentials(weights, features)
        assert (answers == features.astype(int) @ weights.T.astype(int)).all()


def test_akida_learns_the_classes_that_it_is_shown(with_akida: Any) -> None:
    setting = with_akida.Setting()
    data = with_akida.pooled(with_akida.load_data("fashion-mnist-sample"))
    device, _ = with_akida.dealt(data, setting, 42)[0]
    start = with_akida.started(setting, 64, 42, 0)
    end = with_akida.learned(start, device, setting)
    assert (end == with_akida.learned(start, device, setting)).all()
    changed = [bool((end[one] != start[one]).any()) for one in range(3)]
    assert changed == [one in device.labels for one in range(3)]


@pytest.mark.usefixtures("with_akida")
def test_the_whole_comparison() -> None:
    asked = [sys.executable, str(SCRIPT), "--seeds", "2", "--rounds", "2", "--devices", "3"]
    asked += ["--data", "fashion-mnist-sample"]
    answer = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
    assert answer.count("±") == 8 * 3
    assert answer.count("  to average, ") == 2 * 4
    assert "n = 2 seeds" in answer
