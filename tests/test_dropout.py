"""What dropout leaves out: so much, the same in every engine; and gradients that are cut short."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from dataset_example import refusal
from fedspike import engine
from fedspike.energy.counts import count
from fedspike.layers.activity import Activity
from fedspike.learning import Backpropagation
from fedspike.networks import (
    SNN,
    Conv,
    ConventionalNetwork,
    ConvolutionalLayers,
    Dense,
    DenseLayers,
    Layers,
    SpikingNetwork,
)
from fedspike.networks.dropout import factors
from fedspike.parts.losses import CrossEntropy, SpikeCountMSE
from fedspike.parts.neurons import LIF
from fedspike.parts.optimisers import SGD
from fedspike.parts.read_outs import MembraneSum
from fedspike.randomness import stream
from one_pass_example import assert_one_pass_is_plain_torch, batch_of
from running import devices, sample, simulate

DEEP, WIDE = DenseLayers((30, 20, 17, 4)), DenseLayers((784, 20, 17, 10))
FEW: dict[str, Any] = {
    "devices": devices([np.arange(50), np.arange(50, 90)]),
    "dataset": sample(tested=50),
}
PLANES = ConvolutionalLayers((1, 6, 5), (Conv(5), Dense(9), Dense(20)), 4)
SIZE = {"clients": 3, "batch": 9, "inputs": 30, "outputs": 4, "time": 1, "seed": 5}
COMPILED = pytest.mark.skipif(not engine.ACTIVE, reason=engine.WHY_NOT)


def networks(layers: Layers) -> list[SpikingNetwork | ConventionalNetwork]:
    snn = SNN(70, neuron=LIF(0.5))
    return [
        SpikingNetwork(layers, snn),
        SpikingNetwork(layers, SNN(9, neuron=LIF(0.5), read_out=MembraneSum())),
        ConventionalNetwork(layers),
    ]


def test_so_much_is_left_out_and_the_rest_counts_for_more() -> None:
    batch, _ = batch_of(SIZE)
    assert factors(batch, DEEP.described, 5) == {}
    stays = factors(replace(batch, dropout=0.4), DEEP.described, 200)
    assert {name: own.shape for name, own in stays.items()} == {
        "hidden1": (200, 3, 9, 20),
        "hidden2": (200, 3, 9, 17),
    }
    for own in stays.values():
        assert sorted({*own.flatten().tolist()}) == [0, pytest.approx(1 / 0.6)]
        assert float((own > 0).float().mean()) == pytest.approx(0.6, abs=0.01)
    later = replace(batch, dropout=0.4, address=replace(batch.address, round=3))
    assert not torch.equal(factors(later, DEEP.described, 200)["hidden1"], stays["hidden1"])
    (part, _, _) = replace(batch, dropout=0.4).parts(3)
    assert torch.equal(factors(part, DEEP.described, 200)["hidden2"], stays["hidden2"][:, :, :3])


@COMPILED
@pytest.mark.parametrize("layers", [DEEP, PLANES], ids=["dense", "convolutional"])
def test_kernels_leave_out_what_plain_torch_does(layers: Layers) -> None:
    batch, _ = batch_of(SIZE)
    for network in networks(layers):
        for loss in (CrossEntropy(), SpikeCountMSE()):
            if network.read_out is not None and not network.read_out.counts:
                loss = CrossEntropy()
            dropped = assert_one_pass_is_plain_torch(network, loss, replace(batch, dropout=0.5))
            whole = assert_one_pass_is_plain_torch(network, loss, batch)
            assert not torch.equal(dropped.scores, whole.scores)


@COMPILED
@pytest.mark.parametrize("network", networks(WIDE), ids=["count", "membrane", "ann"])
def test_steps_in_a_row_leave_out_the_same(network: SpikingNetwork | ConventionalNetwork) -> None:
    """All minibatches in one pass of the kernels, or one after the other, with the same bits."""
    models = []
    at_once: Any
    for at_once in ("all", 10_000):  # in parts, of which there is one, nothing goes in a row
        learner = Backpropagation(dropout=0.4, batch_size=16, samples_at_once=at_once)
        *_, last = simulate(network=network, training=learner, rounds=2, **FEW)
        models.append(last.state.server["model"])
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[0])


def test_gradients_longer_than_the_clip_are_shortened() -> None:
    learner = Backpropagation(clip=0.5)
    gradients = {"a": torch.tensor([[3.0], [0.03]]), "b": torch.tensor([[[4.0]], [[0.04]]])}
    shortened = learner.shortened(gradients)
    assert shortened["a"].flatten().tolist() == pytest.approx([0.3, 0.03])
    assert shortened["b"].flatten().tolist() == pytest.approx([0.4, 0.04])
    assert Backpropagation().shortened(gradients) is gradients
    moved = {}
    for clip in (0.0, 1e-3):
        learner = Backpropagation(optimiser=SGD(1.0, momentum=0.0), clip=clip, batch_size=10_000)
        network = ConventionalNetwork(WIDE)
        (only,) = simulate(network=network, training=learner, rounds=1, seed=3, **FEW)
        start = network.init(stream(3, "init"))
        change = {n: w - start[n] for n, w in only.state.server["model"].items()}
        moved[clip] = float(torch.cat([c.flatten() for c in change.values()]).norm())
    assert moved[1e-3] <= 1e-3 * (1 + 1e-5) < moved[0.0]


def test_what_is_drawn_is_billed_and_what_has_no_hidden_layer_is_refused() -> None:
    network = SpikingNetwork(DEEP, SNN(10))
    plain = Backpropagation().trains(network)
    dropped = Backpropagation(dropout=0.3, clip=1.0).trains(network)
    seen = Activity(2, 1, dict.fromkeys(plain.layers, 100), events_out=3)
    counts = [count(one, seen)["neuron"] for one in (plain, dropped)]
    for name, neurons in (("hidden1", 20), ("hidden2", 17), ("output", 0)):
        assert counts[1][name].get("draw", 0) == 2 * 10 * neurons
        assert counts[1][name]["compare"] - counts[0][name]["compare"] == 2 * 10 * neurons
    assert count(dropped, seen, training=False) == count(plain, seen, training=False)
    for operation, more in (("multiply", 2), ("add", 1)):
        taken = [count(one, seen)["optimiser"]["hidden1"][operation] for one in (plain, dropped)]
        assert taken[1] - taken[0] == more * 31 * 20
    with refusal("dropout in a", "torch.nn.Dropout"):
        layers = ConvolutionalLayers((1, 6, 5), (Conv(5),), 4)
        Backpropagation(dropout=0.5).demand_network(ConventionalNetwork(layers))
