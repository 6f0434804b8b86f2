"""Real nodes do what the simulator does, with Flower's messages between them and no network."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from fedspike.cohort import samples
from fedspike.deploy.nodes import Nodes
from fedspike.deploy.server import RealDevices
from fedspike.experiment import document, sweep
from fedspike.experiment.run import load, perform
from fleet_in_process import InProcess, dealt_out
from running import events

TINY = """
name = "tiny"
rounds = 3
network = "snn"
[data]
name = "fashion-mnist-sample"
[partition]
kind = "classes"
classes = 3
[fleet]
clients = 4
samples_per_round = 60
[architecture]
hidden = [20]
[snn]
time_steps = 10
[training]
batch_size = 16
"""
SGD = '[optimiser]\nkind = "sgd"\nlearning_rate = 0.05\n'
ALGORITHMS = {
    "fedavg": "",
    "fedprox": '[algorithm]\nkind = "fedprox"\nmu = 0.1\n',
    "scaffold": SGD + '[algorithm]\nkind = "scaffold"\n',
    "fedadam": '[algorithm]\nkind = "fedadam"\n',
}
NOT_THE_SAME = ("seconds", "nodes", "uplink_bytes", "downlink_bytes")


def tiny(more: str = "") -> sweep.Experiment:
    return sweep.expand(document.parse(TINY + more, "tiny.toml"))


def on_the_fleet(experiment: sweep.Experiment, grid: InProcess, folder: Path) -> Any:
    """The same as `events`, on nodes."""
    dataset = load(experiment, lambda _: None)
    nodes = Nodes(grid, folder / "clients.json", dataset.classes, dataset.x_train.shape[1:])
    nodes.wait_for(experiment.runs[0].settings.fleet.clients, say=lambda _: None)
    test_set = samples(dataset.x_test, dataset.y_test)
    devices = RealDevices(nodes, test_set, deadline_s=60.0)
    return perform(experiment, dataset, folder / "run", command="-", devices=devices)


def done(happening: Any) -> list[dict[str, Any]]:
    """All that happens, until its end; the records of its rounds."""
    return [event.record for event in happening if hasattr(event, "record")]


def both(tmp_path: Path, more: str, nodes: int) -> tuple[list[Any], list[Any]]:
    """Records of the simulator and of the fleet, whose final models are the same bits."""
    experiment = tiny(more)
    simulated = done(events(experiment, tmp_path / "simulated"))
    grid = dealt_out(experiment, tmp_path, nodes)
    on_fleet = done(on_the_fleet(experiment, grid, tmp_path))
    (run,) = experiment.runs
    one, other = (
        load_file(tmp_path / home / run.name / "model.safetensors") for home in ("simulated", "run")
    )
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name
    return simulated, on_fleet


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("nodes", [4, 2], ids=["devices", "many-client-nodes"])
def test_a_fleet_is_its_simulation(tmp_path: Path, algorithm: str, nodes: int) -> None:
    """To the bit: float64 sums of float32 updates differ by 1e-16, which rounding to float32 hides."""
    for simulated, on_fleet in zip(*both(tmp_path, ALGORITHMS[algorithm], nodes), strict=True):
        assert [entry["node"] for entry in on_fleet["nodes"]] != []
        same = simulated.keys() - set(NOT_THE_SAME)
        assert {key: simulated[key] for key in same} == {key: on_fleet[key] for key in same}
        if nodes == 4:
            assert simulated["uplink_bytes"] == on_fleet["uplink_bytes"]
            assert simulated["downlink_bytes"] == on_fleet["downlink_bytes"]
