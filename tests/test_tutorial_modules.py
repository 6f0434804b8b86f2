"""Modules after public tutorials: trained federatedly from a file, and counted as brute force counts them.

Brute force is torch's own: the layer with all weights 1 over an input of ones where there are events.
"""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import torch
from torch import Tensor, nn

from fedspike.cli import main
from fedspike.energy.counts import Counts, count
from fedspike.errors import InputError
from fedspike.experiment import sweep
from fedspike.experiment.kinds import Kinds
from fedspike.layers.activity import Activity
from fedspike.layers.shapes import Pool
from fedspike.layers.sliding import Axis, SlidingPool
from fedspike.learning.activities import activities, counted
from fedspike.networks import Batch, ModuleNetwork
from fedspike.parts.codes import Address, Rate
from fedspike.randomness import stream
from fedspike.records import reader

TUTORIALS = Path(__file__).parent / "modules" / "tutorials.py"
STEPS, SAMPLES = 3, 4
FLAT: dict[str, Any] = {"input": "spikes", "shape": [784]}
TABLES: dict[str, dict[str, Any]] = {
    "ConvAverage": {"input": "step"},
    "ConvMaximum": {"input": "step"},
    "PooledFirst": {"input": "spikes"},
    "Recurrent": FLAT,
    "Elman": FLAT,
    "TwoStates": FLAT,
    "LearnedBeta": {"input": "step", "shape": [784]},
    "OneAxis": {"input": "step"},
    "Overlapping": {"input": "step"},
    "Series": {"input": "step"},
    "Residual": {"input": "step"},
    "Normalised": {"input": "step"},
    "Jelly": {"input": "spikes"},
    "JellyResidual": {"input": "spikes"},
    "Values": {},
    "PooledValues": {},
}
VALUES = ("Values", "PooledValues")
FILE: dict[str, Any] = {
    "name": "tutorials",
    "rounds": 2,
    "data": {"kind": "fashion-mnist-sample"},
    "fleet": {"clients": 2, "samples_per_round": 12},
    "learner": {"batch_size": 6},
    "snn": {"time_steps": STEPS},
    **TABLES,
}


def experiment_of(folder: Path, networks: list[str]) -> Path:
    path = folder / "tutorials.toml"
    path.write_text(tomli_w.dumps({**FILE, "sweep": {"network": networks}}))
    return path


@pytest.mark.thorough
def test_all_train_from_a_file_are_billed_and_reported(tmp_path: Path) -> None:
    file, folder = experiment_of(tmp_path, ["ann", *TABLES]), tmp_path / "run"
    assert main(["run", str(file), "--use", str(TUTORIALS), "--output", str(folder)]) == 0
    runs = {run.network: run for run in reader.read(folder).runs}
    assert runs.keys() == {"ann", *TABLES}
    for name, run in runs.items():
        assert run.network_operations.not_counted == (), name
        assert run.bill["horowitz45-int8"]["training"].run.nominal_mj > 0
        if name not in ("ann", *VALUES):
            assert run.network_operations.time_steps == STEPS
            layers = run.network_operations.layers
            assert run.firing_rates.keys() == {n for n, one in layers.items() if one.fires}, name
            assert not any("Neurons" in str(one) for one in layers)
    assert (folder / "report.html").exists()


class Brute:
    """What hooks see of a module: products with non-zero inputs, normalised values, neurons, spikes."""

    def __init__(self, module: nn.Module) -> None:
        self.products: dict[str, int] = {}
        self.values: dict[str, int] = {}
        self.spikes: dict[str, int] = {}
        self.pools: dict[str, list[int]] = {}
        for name, part in module.named_modules():
            if isinstance(part, nn.Linear | nn.Conv1d | nn.Conv2d):
                part.register_forward_pre_hook(self.weighed(name))
            elif type(part).__module__ == "torch.nn.modules.pooling":
                part.register_forward_hook(self.pooled(name))
            elif type(part).__module__.startswith(
                (
                    "snntorch",
                    "spikingjelly.activation_based.neuron",
                    "torch.nn.modules.normalization",
                )
            ) or (isinstance(part, nn.BatchNorm2d)):
                part.register_forward_hook(self.passed(name))

    def weighed(self, name: str) -> Any:
        def see(part: Any, given: tuple[Tensor, ...]) -> None:
            there, ones = (
                (given[0] != 0).double(),
                torch.ones_like(part.weight, dtype=torch.float64),
            )
            if isinstance(part, nn.Linear):
                met = nn.functional.linear(there, ones)
            else:
                of_axes = {1: nn.functional.conv1d, 2: nn.functional.conv2d}[part.weight.dim() - 2]
                how = (part.stride, part.padding, part.dilation, part.groups)
                met = of_axes(there, ones, None, *how)
            self.products[name] = self.products.get(name, 0) + int(met.sum())

        return see

    def pooled(self, name: str) -> Any:
        def see(part: Any, given: tuple[Tensor, ...], made: Tensor) -> None:
            """Values that are not 0, and all, in each window that they are in; windows, and those not 0."""
            x = given[0].detach().double().requires_grad_()
            axes = x.dim() - 2
            if hasattr(part, "output_size"):
                mean = nn.functional.adaptive_avg_pool2d(x, part.output_size)
                size = x[0, 0].numel() // mean[0, 0].numel()
            else:
                pool: Any = (nn.functional.avg_pool1d, nn.functional.avg_pool2d)[axes - 1]
                mean = pool(x, part.kernel_size, part.stride, part.padding)
                whole = torch.Size(torch.as_tensor(part.kernel_size).flatten().tolist())
                size = whole.numel() ** (axes if len(whole) == 1 else 1)
            (share,) = torch.autograd.grad(
                mean.sum() * size, x
            )  # the windows that each value is in
            there = [int((share * (x != 0)).sum().round()), int(share.sum().round())]
            seen = [*there, made.numel(), int((made != 0).sum())]
            before = self.pools.get(name, [0] * 4)
            self.pools[name] = [sum(both) for both in zip(before, seen, strict=True)]

        return see

    def passed(self, name: str) -> Any:
        def see(part: nn.Module, given: Any, made: Any) -> None:
            del part, given
            first = made[0] if isinstance(made, tuple) else made
            self.values[name] = self.values.get(name, 0) + first.numel()
            self.spikes[name] = self.spikes.get(name, 0) + int((first != 0).sum())

        return see


def seen(kind: str, tmp_path: Path) -> tuple[ModuleNetwork, Counts, Brute]:
    """A network of the file, what its operations say of some samples, and what brute force says."""
    file = experiment_of(tmp_path, [kind])
    (run,) = sweep.read(str(file), kinds=Kinds.used([TUTORIALS])).runs
    network: Any = run.plan.network.over((28, 28), 10)
    weights = network.init(stream(0, "init"))
    x, address = torch.rand(1, SAMPLES, 784), Address(0, "encode", 1, (0,), (0,))
    done = network.run({n: w.unsqueeze(0) for n, w in weights.items()}, Batch.of(x, address))
    (activity,) = activities([SAMPLES], [0], [counted(done)])
    module = network.begin(stream(0, "init"))
    brute = Brute(module)
    if network.code is None:
        module(x.view(SAMPLES, *network.shape))
    else:
        flow = Rate().spikes(x, address, STEPS).reshape(STEPS, SAMPLES, *network.shape)
        [module(now) for now in flow] if network.stepped else module(flow)
    assert isinstance(activity, Activity)
    skip = network.code is None  # an ANN on hardware that skips zeros makes just these products
    return network, count(network.operations(), activity, training=False, skip_zeros=skip), brute


@pytest.mark.parametrize("kind", TABLES)
def test_the_bill_is_what_brute_force_counts(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    network, counts, brute = seen(kind, tmp_path)
    learned = sum(weight.numel() for weight in network.init(stream(0, "init")).values())
    assert network.operations().parameters == learned
    forward = counts["forward"]
    assert {
        n: one.get("ac", 0) + one.get("mac", 0) for n, one in forward.items() if n in brute.products
    } == (brute.products)
    assert min(brute.products.values()) > 0
    # Numbers other than 0 and 1 take a product; spikes do not.
    real = {
        "ConvAverage": set(),
        "Overlapping": {"out"},
        "Residual": {"out"},
        "JellyResidual": {"out"},
        "Normalised": {"net.4"},
    }
    if kind not in VALUES:
        assert {n for n in brute.products if forward[n].get("mac", 0)} == real.get(kind, set())
    if any(name in counts["neuron"] for name in brute.spikes):  # they stand beside their layers
        states = 2 if kind == "TwoStates" else 1
        for name, fired in brute.spikes.items():
            if name in counts["neuron"]:
                own = counts["neuron"][name]
                assert own["multiply"] == states * brute.values[name]
                assert own["write_output"] == fired
    for name in ("net.1", "net.5", "net.10", "norm"):
        if name in counts.get("normalise", {}):
            products = 1 if name == "net.1" else 3
            assert counts["normalise"][name]["multiply"] == products * brute.values[name]


def test_pools_are_those_of_the_layer_whose_values_they_pool(tmp_path: Path) -> None:
    network, _, _ = seen("PooledFirst", tmp_path)
    pools = [name for name in network.trial.layers if "pool" in name]
    assert pools == ["input.pool", "conv1.pool", "conv2.pool"]


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("ConvMaximum", {"net.0.pool": "net.1", "net.3.pool": "net.4"}),
        (
            "Overlapping",
            {"conv1.pool": "of_currents", "conv1.pool2": "of_spikes", "conv2.pool": "of_all"},
        ),
        ("Series", {"conv1.pool": "of_currents", "conv1.pool2": "of_spikes"}),
        ("PooledValues", {"conv.pool": "of_values"}),
    ],
)
def test_windows_join_the_values_that_are_in_them(
    kind: str, names: dict[str, str], tmp_path: Path
) -> None:
    torch.manual_seed(1)
    _, counts, brute = seen(kind, tmp_path)
    assert counts["pool"].keys() == names.keys()
    for pool, name in names.items():
        spikes, values, windows, left = brute.pools[name]
        done = counts["pool"][pool]
        joins = done.get("add", 0) + done.get("compare", 0)
        of_spikes = name in ("of_spikes", "of_all")
        assert joins == (spikes if of_spikes else values - windows) > 0, pool
        assert done.get("multiply", 0) in (0, left if of_spikes else windows)
        if not of_spikes:
            assert done.get("read_potential", done.get("read_input")) == values


def test_gradients_of_windows_that_overlap_are_added() -> None:
    """Of 5 values 2 windows of 3; the one in the middle is in both. Alone, windows are as a Pool's."""
    windows = (Axis(size=5, kernel=3, stride=2),)
    average, maximum = SlidingPool("average", 1, windows), SlidingPool("max", 1, windows)
    assert (average.synapses, average.outputs) == (6, 2)
    shared: dict[str, Any] = {"output and step": {"multiply": 1}, "synapse and step": {"add": 1}}
    assert average.operations(spiking=True)["backward_inputs"] == shared
    assert maximum.operations(spiking=False)["backward_inputs"] == {"output": {"add": 1}}
    sides = (Axis(5, 2, 2), Axis(4, 2, 2))
    for spiking, currents in ((False, False), (True, True)):
        pools = (SlidingPool("average", 3, sides), Pool("average", 3, 5, 4))
        done = []
        for pool in pools:
            rows = replace(pool, currents=currents).operations(spiking=spiking)["pool"]
            how_many = {"synapse": pools[0].synapses, "output": pool.outputs, "input": pool.inputs}
            total: Counter[str] = Counter()
            for per, row in rows.items():
                times = how_many[per.removesuffix(" and step")]
                total.update({operation: times * number for operation, number in row.items()})
            done.append(total)
        assert done[0] == done[1]


def test_spikes_of_neurons_without_a_name_are_no_silent_gap_in_a_bill(tmp_path: Path) -> None:
    file = experiment_of(tmp_path, ["JellyResidual"])
    options = ["JellyResidual.unnamed=true"]
    (run,) = sweep.read(str(file), options, kinds=Kinds.used([TUTORIALS])).runs
    with pytest.raises(InputError, match="neurons of no name behind stem,") as caught:
        run.plan.network.over((28, 28), 10).operations()
    assert 'JellyResidual.not_counted = ["stem", "conv"]' in caught.value.fix


def test_branches_that_meet_are_added(tmp_path: Path) -> None:
    network, counts, _ = seen("Residual", tmp_path)
    sums = {name: one["add"] for name, one in counts["pool"].items()}
    assert sums == dict.fromkeys(("conv1.sum", "conv2.sum"), SAMPLES * STEPS * 196)
    assert network.trial.real >= {"out"}
