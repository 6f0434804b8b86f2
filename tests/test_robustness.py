"""The final model in noise and out of focus: what is disturbed, what is stored, what the page shows."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
import torch
import torch.nn.functional as F

import fedspike as fs
from dataset_example import refusal
from fedspike.cli import main
from fedspike.data.disturbances import blurred, noisy
from fedspike.experiment import sweep
from fedspike.federation.final_tests import disturbed
from fedspike.records import reader
from fedspike.records.events import Trained
from fedspike.report.figures.robustness import ROBUSTNESS_CHART, ROBUSTNESS_TABLE
from fleet_in_process import dealt_out, on_the_fleet
from report_example import results, run
from running import events
from test_outside import summary_of

GREY = np.full((40, 3, 16, 16), 0.5, np.float32)
SIGNS: dict[str, Any] = {
    "name": "signs",
    "network": "snn",
    "rounds": 2,
    "test_noise": [0.1, 0.3],
    "test_blur": [1.5],
    "data": {"kind": "signs", "train_samples": 129, "test_samples": 43},
    "partition": {"kind": "roads"},
    "fleet": {"clients": 3},
    "architecture": {"kind": "convolutional", "features": [4, "pool"], "hidden": [], "pool": "max"},
    "snn": {"time_steps": 3},
    "neuron": {"threshold": 0.3},
    "read_out": {"kind": "membrane"},
    "code": {"kind": "receptive-field", "neurons": 3},
    "learner": {"batch_size": 8},
    "optimiser": {"learning_rate": 0.01},
}


def test_noise_is_normal_addressed_and_the_same_for_all_deviations() -> None:
    once, twice = noisy(GREY, 0.05, seed=3) - 0.5, noisy(GREY, 0.1, seed=3) - 0.5
    assert once.std() == pytest.approx(0.05, rel=0.02)
    assert abs(once.mean()) < 5 * 0.05 / once.size**0.5
    np.testing.assert_allclose(2 * once, twice, atol=1e-6)
    np.testing.assert_array_equal(noisy(GREY[:7], 0.05, seed=3), 0.5 + once[:7])
    assert np.abs(noisy(GREY, 0.05, seed=4) - 0.5 - once).mean() > 0.03
    loud = noisy(GREY, 2.0, seed=0)
    assert (loud.min(), loud.max()) == (0.0, 1.0)
    assert noisy(GREY, 2.0, seed=0, darkest=-1.0).min() == -1.0


@pytest.mark.parametrize("width", [0.4, 1.0, 2.3])
def test_blur_is_a_convolution_with_a_bell_curve(width: float) -> None:
    images = np.random.default_rng(0).random((4, 3, 20, 14)).astype(np.float32)
    reach = int(np.ceil(3 * width))
    bell = torch.exp(-(torch.arange(-reach, reach + 1, dtype=torch.float64) ** 2) / (2 * width**2))
    kernel = torch.outer(bell, bell) / bell.sum() ** 2
    padded = F.pad(torch.tensor(images).double(), (reach,) * 4, mode="replicate")
    expected = F.conv2d(padded.flatten(0, 1).unsqueeze(1), kernel[None, None])
    np.testing.assert_allclose(
        blurred(images, width).reshape(12, 20, 14), expected[:, 0], atol=1e-6
    )
    np.testing.assert_allclose(blurred(GREY, width), GREY, rtol=1e-6)


def test_a_run_of_signs_stores_its_tests_also_after_a_stop(tmp_path: Path) -> None:
    experiment = experiment_in(tmp_path)
    summary = summary_of(events(experiment, tmp_path / "whole"))
    assert [(one.kind, one.amount) for one in summary.disturbed] == [
        *(("noise", 0.1), ("noise", 0.3), ("blur", 1.5))
    ]
    happening: Any = events(experiment, tmp_path / "stopped")
    next(event for event in happening if isinstance(event, Trained))
    happening.close()
    after = summary_of(events(experiment, tmp_path / "stopped"))
    assert after.model_sha256 == summary.model_sha256
    assert after.disturbed == summary.disturbed


@pytest.mark.fleet
# A terminal's stream is none that the tests' checks of types know.
@pytest.mark.usefixtures("capsys")
def test_signs_on_nodes_have_the_same_bits_and_a_page(tmp_path: Path) -> None:
    experiment, whole = experiment_in(tmp_path), tmp_path / "whole"
    assert main(["run", str(tmp_path / "signs.toml"), "--output", str(whole)]) == 0
    assert (whole / "figures" / "robustness.svg").exists()
    assert "Noise and blur" in (whole / "report.html").read_text()
    (summary,) = reader.read(whole).runs
    grid = dealt_out(experiment, tmp_path, nodes=2)
    on_nodes = summary_of(on_the_fleet(experiment, grid, tmp_path))
    assert on_nodes.model_sha256 == summary.model_sha256
    assert on_nodes.disturbed == summary.disturbed


def experiment_in(folder: Path) -> sweep.Experiment:
    file = folder / "signs.toml"
    file.write_text(tomli_w.dumps(SIGNS))
    return sweep.read(str(file))


def test_noise_costs_accuracy_and_none_costs_none() -> None:
    data = fs.FashionMNISTSample().load()
    plan = fs.Plan(
        network=fs.ANN(),
        data=data,
        learner=fs.Backpropagation(batch_size=20),
        fleet=fs.Fleet(clients=2),
        rounds=2,
        test_noise=(1e-9, 1.0),
        test_blur=(0.1, 5.0),
    )
    *_, last = fs.rounds(plan)
    little, much, sharp, soft = (one.accuracy for one in disturbed(plan, plan.site(), last.state))
    assert little == pytest.approx(last.accuracy, abs=0.005)
    assert sharp == pytest.approx(last.accuracy, abs=0.005)
    assert much < last.accuracy - 0.3
    assert soft < last.accuracy - 0.2


def test_what_cannot_be_blurred_is_refused_before_any_work() -> None:
    flat = np.random.default_rng(0).random((20, 6)).astype(np.float32)
    labels = np.arange(20) % 2
    data = fs.Dataset.from_arrays(flat, labels, flat, labels)
    with refusal("test_blur = [1.0]", "images", "leave test_blur out"):
        next(fs.rounds(fs.Plan(network=fs.ANN(), data=data, rounds=1, test_blur=(1.0,))))
    with refusal("test_noise", "> 0"):
        fs.Plan(network=fs.ANN(), data=data, test_noise=(0.0,))


def test_the_page_shows_each_network_from_none_on(tmp_path: Path) -> None:
    def tests(lost: float) -> list[dict[str, Any]]:
        return [{"kind": "noise", "amount": 0.1 * k, "accuracy": 0.8 - lost * k} for k in (1, 2)]

    runs = [
        run("ann", 10, seed, final_percent=80.0, disturbed=tests(0.1 + 0.02 * seed))
        for seed in (0, 1)
    ]
    runs += [run("snn", 10, seed, final_percent=80.0, disturbed=tests(0.05)) for seed in (0, 1)]
    needed: Any = ROBUSTNESS_TABLE.needs(results(tmp_path, runs))
    table: Any = ROBUSTNESS_TABLE.draw(needed)
    cells = [(row[1], row[3], row[4].mean, row[5] and row[5].mean) for row in table.rows]
    assert cells[:3] == [
        ("ANN", 0.0, pytest.approx(80), None),
        ("ANN", 0.1, pytest.approx(69), pytest.approx(-11)),
        ("ANN", 0.2, pytest.approx(58), pytest.approx(-22)),
    ]
    assert [row[4].mean for row in table.rows[3:]] == pytest.approx([80, 75, 70])
    chart: Any = ROBUSTNESS_CHART.draw(needed)
    (panel,) = chart.panels
    assert "ANN 58.0" in panel.svg
    assert "SNN 70.0" in panel.svg
    assert not ROBUSTNESS_TABLE.needs(results(tmp_path / "none", [run("ann"), run("snn")]))
