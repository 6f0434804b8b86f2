"""Sizes that no machine has are refused before any work, with the key to lower; what works is not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

import fedspike as fs
from fedspike import machine
from fedspike.cli import main
from fedspike.data import Dataset, Owners
from fedspike.data.events import EventSource
from fedspike.errors import InputError
from fedspike.experiment import sweep
from fedspike.federation import room
from fedspike.federation.plan import Plan

GB = 2**30
BEYOND: dict[str, tuple[str, ...]] = {
    "snn.time_steps": ("snn.time_steps=1000000", "code.kind=latency", "network=snn"),
    "architecture.hidden": ("architecture.hidden=[200000000]",),
    "learner.epochs": ("learner.epochs=2147483647",),
    "rounds": ("rounds=2147483647",),
    "fleet.clients": ("fleet.clients=2147483647",),
}
OTHERS = (
    ("snn.time_steps=2147483647", "network=snn"),
    ("snn.time_steps=2147483647", "network=snn", "normalisation.kind=bntt", "neuron.kind=lif"),
    ("snn.time_steps=1000000", "code.kind=phase", "network=snn"),
    ("architecture.hidden=[2147483647, 2147483647]",),
    ("architecture.kind=convolutional", "architecture.features=[2147483647, 2147483647]"),
    ("fleet.dropout=0.9999999999999", "rounds=10000000"),
)


def fashion(samples: int = 60_000) -> Dataset:
    """Images as large as Fashion-MNIST's, all black."""
    x, y = np.zeros((samples, 28, 28), np.float32), np.arange(samples) % 10
    return Dataset("black", x, y, x[:100], y[:100], 10, "nowhere", {})


@pytest.mark.parametrize("key", BEYOND)
def test_a_size_beyond_any_machine_is_refused_with_its_key(
    key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [word for setting in BEYOND[key] for word in ("--set", setting)]
    assert main(["run", "quickstart", "--output", str(tmp_path / "run"), *words]) == 2
    said = capsys.readouterr().err.partition("fedspike: ")[2]
    assert said.startswith(f"--set {BEYOND[key][0]}: {key} = ") or key == "fleet.clients"
    assert f"lower {key}" in said or "lower clients" in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("settings", OTHERS)
def test_other_sizes_beyond_any_machine(
    settings: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [word for setting in settings for word in ("--set", setting)]
    assert main(["run", "quickstart", "--output", str(tmp_path / "run"), *words]) == 2
    assert settings[0].partition("=")[0].partition(".")[0] in capsys.readouterr().err


@pytest.mark.parametrize("preset", sweep.presets())
def test_no_preset_is_refused_on_a_small_machine(
    preset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "bytes_here", lambda: 2 * GB)
    runs = sweep.read(preset).runs
    data = fashion()
    if isinstance(runs[0].plan.data, fs.Signs):
        data = fs.data.load_data(fs.Signs(train_samples=86, test_samples=43))
    if isinstance(runs[0].plan.data, EventSource):
        trains, labels = np.zeros((800, 140, 2), np.int64), np.arange(800) % 20
        shown: dict[str, Any] = {"x_train": trains, "y_train": labels, "x_test": trains}
        shown |= {"y_test": labels, "owners": Owners.called(str(n % 10) for n in range(800))}
        data = Dataset("words", **shown, classes=20, source="words", sha256={}, time_steps=100)
    for run in runs:
        plan = replace(run.plan, data=data)
        needs = room.training(plan, plan.sized_network(), plan.fleet.cohort_size)
        room.demand([*needs, room.records(plan.rounds)])


@pytest.mark.parametrize(
    "settings",
    [
        {"fleet": fs.Fleet(clients=10_000)},
        {"network": fs.SNN(time_steps=50, architecture=fs.Convolutional()), "rounds": 1000},
        {"network": fs.SNN(time_steps=1000), "learner": fs.Backpropagation(epochs=100)},
        {"network": fs.ANN(architecture=fs.FullyConnected((4096, 4096)))},
    ],
)
def test_what_works_is_not_refused(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "bytes_here", lambda: 8 * GB)
    plan = Plan(**({"network": fs.ANN(), "data": fashion()} | settings))
    needs = room.training(plan, plan.sized_network(), plan.fleet.cohort_size)
    room.demand([*needs, room.records(plan.rounds)])


def test_the_library_refuses_what_a_cohort_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "bytes_here", lambda: GB)
    plan = Plan(network=fs.ANN(), data=fashion(6000), fleet=fs.Fleet(clients=6000))
    with pytest.raises(
        InputError, match=r"^fleet\.clients_per_round = 6000: the training needs 2 GB"
    ):
        next(fs.rounds(plan))
    small = replace(plan, fleet=fs.Fleet(clients=6000, clients_per_round=1))
    assert next(fs.rounds(small)).number == 1


def test_memories_grow_with_the_clients_that_took_part() -> None:
    """Of 10,000 clients with a control variate each, as many as were there; those of FedAvg need nothing."""
    plan = Plan(
        network=fs.ANN(),
        data=fashion(),
        fleet=fs.Fleet(clients=10_000, clients_per_round=10),
        learner=fs.Backpropagation(optimiser=fs.SGD()),
        algorithm=fs.Scaffold(),
        rounds=10_000,
    )
    network, needs = plan.sized_network(), []
    for rounds in (1, 100, 10_000):
        needs.append(room.memories(replace(plan, rounds=rounds), network, 10).bytes)
    assert needs == [int(0.9 * there) * 4 * 79_510 for there in (10, 952.08, 9_999.55)]
    alone = replace(plan, algorithm=fs.FedAvg())
    assert room.memories(alone, network, 10).bytes == 0
    adam = fs.Backpropagation(optimiser=fs.Adam(), optimiser_memory="kept")
    both_moments = room.memories(replace(alone, learner=adam, rounds=1), network, 10)
    assert both_moments.bytes == 2 * needs[0]


def test_a_container_has_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = machine.bytes_here()
    assert here > GB
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text("max\n")
    assert machine.bytes_here() >= here
    (tmp_path / "memory.max").write_text(f"{GB}\n")
    assert machine.bytes_here() == GB
