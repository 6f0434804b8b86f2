"""Batch normalisation through time in the compiled pass against plain torch."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from fedspike import engine
from fedspike.engine import one_pass
from fedspike.engine.engines import Learned
from fedspike.networks import (
    SNN,
    Batch,
    Conv,
    ConvolutionalLayers,
    Dense,
    DenseLayers,
    Forward,
    Layers,
    Parameters,
    Pool,
    SpikingNetwork,
)
from fedspike.parts.codes import Code, Direct, Rate
from fedspike.parts.losses import CrossEntropy, Loss, SpikeCountMSE
from fedspike.parts.neurons import LIF, AdaptiveLIF, CurrentBasedLIF
from fedspike.parts.neurons.leaky import Leaky
from fedspike.parts.normalisations import BNTT
from fedspike.parts.read_outs import FirstSpike, MeanMembrane, ReadOut, SpikeCount
from fedspike.randomness import stream
from one_pass_example import ENGINE, PLAIN, assert_same_bits, batch_of
from parts_example import LOSSES

pytestmark = pytest.mark.skipif(not engine.ACTIVE, reason=engine.WHY_NOT)

DENSE = DenseLayers((40, 33, 20, 6))
IMAGES = ConvolutionalLayers(
    (2, 7, 6), (Conv(5), Pool("average", 2, cuts=True), Conv(40, 5, 1, 1), Dense(20)), 6
)
LAYERS: list[Layers] = [
    DENSE,
    DenseLayers((40, 65, 6)),
    IMAGES,
    ConvolutionalLayers((1, 8, 8), (Conv(20), Pool("max", 2), Conv(3), Pool()), 5),
    ConvolutionalLayers((1, 9, 8), (Conv(18), Conv(18, groups=18), Conv(6, stride=2)), 5),
]
IDS = [" ".join(map(str, layers.layers)) for layers in LAYERS]


def batch_for(layers: Layers, clients: int = 3, samples: int = 13) -> Batch:
    """The last of three clients has one sample, which has no variance."""
    sizes = {"inputs": layers.layers[0], "outputs": layers.layers[-1], "time": 1, "seed": 5}
    batch, _ = batch_of({"clients": clients, "batch": samples, **sizes})
    positions = batch.positions.clone()
    positions[2:, 1:] = -1
    return replace(batch, positions=positions, pixels=(batch.pixels * 255).round() / 256)


def parameters_of(
    network: SpikingNetwork, clients: tuple[int, ...], *, running: bool
) -> Parameters:
    """Weights are multiples of a power of 2, so that no current is rounded."""
    generator = torch.Generator().manual_seed(1)
    models = [network.init(stream(0, "init", client=k)) for k in clients]
    parameters = {}
    for name in models[0]:
        numbers = torch.stack([model[name] for model in models])
        parameters[name] = (numbers * 128).round() / 32 if name.endswith(".weight") else numbers
        if name.endswith(".gamma"):
            parameters[name] = 0.5 + torch.rand(numbers.shape, generator=generator)
    if running:
        for name, start in network.statistics().items():
            parameters[name] = start + torch.rand(len(clients), *start.shape, generator=generator)
    return parameters


def learned(
    network: SpikingNetwork, loss: Loss, batch: Batch, *, running: bool = True
) -> tuple[Learned, Parameters]:
    """What the compiled pass learns; plain torch has the same counts, gradients and statistics."""
    parameters = parameters_of(network, batch.address.clients, running=running)
    assert one_pass.has(network)
    ours = ENGINE.learn(network, loss, parameters, batch)
    plain = PLAIN.learn(network, loss, parameters, batch)
    assert ours.losses.dtype == torch.float64, "it did not go through in one pass"
    assert_same_forward(ours.forward, plain.forward, batch)
    torch.testing.assert_close(ours.losses.float(), plain.losses, rtol=1e-5, atol=1e-6)
    assert ours.gradients.keys() == plain.gradients.keys()
    for name, slope in plain.gradients.items():
        scale = max(float(slope.abs().max()), 1e-3)
        torch.testing.assert_close(ours.gradients[name], slope, rtol=0, atol=1e-5 * scale)
    return ours, parameters


def assert_same_forward(one: Forward, other: Forward, batch: Batch) -> None:
    there = batch.present
    torch.testing.assert_close(one.scores[there], other.scores[there])
    assert torch.equal(one.events_out, other.events_out)
    for found, counted in (
        (one.events_in, other.events_in),
        (one.synapses_met, other.synapses_met),
    ):
        assert found.keys() == counted.keys()
        assert all(torch.equal(found[name], number) for name, number in counted.items())
    assert one.statistics.keys() == other.statistics.keys()
    for name, numbers in other.statistics.items():
        torch.testing.assert_close(one.statistics[name], numbers, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("read_out", [SpikeCount(), MeanMembrane(), FirstSpike()], ids=str)
@pytest.mark.parametrize("code", [Rate(), Direct()], ids=str)
@pytest.mark.parametrize("layers", LAYERS, ids=IDS)
def test_a_normalised_network_in_compiled_layers_is_plain_torch(
    layers: Layers, code: Code, read_out: ReadOut
) -> None:
    """With running statistics and without; in training and in a test."""
    snn = SNN(7, code=code, neuron=LIF(0.5), read_out=read_out, normalisation=BNTT())
    network, batch = SpikingNetwork(layers, snn), batch_for(layers)
    for running in (True, False):
        ours, parameters = learned(network, CrossEntropy(), batch, running=running)
        assert all(events[:2].min() > 0 for events in ours.forward.events_in.values()), "none fired"
        tested, expected = (e.forward(network, parameters, batch) for e in (ENGINE, PLAIN))
        assert_same_forward(tested, expected, batch)
        assert tested.statistics.keys() == (network.statistics().keys() if running else set())
        assert all(torch.equal(own, parameters[name]) for name, own in tested.statistics.items())


NEURONS: list[tuple[Layers, Leaky]] = [
    *(
        (layers, LIF(0.5, 1.0, "zero", learn_beta="per-neuron", learn_threshold="per-layer"))
        for layers in (DENSE, IMAGES)
    ),
    *((layers, CurrentBasedLIF(0.5, alpha=0.75)) for layers in (DENSE, IMAGES)),
    *((layers, AdaptiveLIF(0.5, adaptation=0.5, rho=0.75)) for layers in (DENSE, IMAGES)),
]


@pytest.mark.parametrize(("layers", "neuron"), NEURONS, ids=lambda part: type(part).__name__)
def test_every_neuron_behind_a_normalisation(layers: Layers, neuron: Leaky) -> None:
    network = SpikingNetwork(layers, SNN(66, neuron=neuron, normalisation=BNTT("local", 0.5, 0.01)))
    learned(network, SpikeCountMSE(), batch_for(layers))


@pytest.mark.parametrize("layers", [DENSE, IMAGES], ids=["dense", "convolution"])
def test_a_penalty_sees_the_minibatchs_own_statistics(layers: Layers) -> None:
    loss = next(loss for loss in LOSSES if loss.penalises)
    network = SpikingNetwork(layers, SNN(5, neuron=LIF(0.5), normalisation=BNTT()))
    learned(network, loss, batch_for(layers))


@pytest.mark.parametrize("layers", [DENSE, IMAGES], ids=["dense", "convolution"])
def test_neither_threads_nor_instruction_sets_change_a_bit(
    layers: Layers, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_same_bits(partial(bits_of_a_step, layers), monkeypatch)


def bits_of_a_step(layers: Layers, clients: int) -> list[Tensor]:
    network = SpikingNetwork(layers, SNN(9, normalisation=BNTT()))
    batch = batch_for(layers, clients, samples=33)
    parameters = parameters_of(network, batch.address.clients, running=True)
    forward, losses, gradients = ENGINE.learn(network, network.usual_loss, parameters, batch)
    tested = ENGINE.forward(network, parameters, batch)
    statistics = [*forward.statistics.values(), *gradients.values()]
    return [forward.scores, tested.scores, losses, *forward.events_in.values(), *statistics]


def test_wrong_normalisations_are_errors_and_no_crash() -> None:
    gamma, by_batch = np.ones((2, 4, 5), np.float32), np.zeros(2, bool)
    right = [gamma, gamma.copy(), gamma.copy(), by_batch, 1e-4, gamma.copy()]
    pixels, positions = np.zeros((6, 64), np.float32), np.arange(6).reshape(2, 3)
    weights = [np.zeros((2, 5, inputs), np.float32) for inputs in (64, 5)]
    bias, neuron = np.zeros((2, 5), np.float32), ("lif", 0.9, 1.0, "none", "atan", 2.0)
    fields = ("rate", 4, 1, (0, 1), (0, 0))

    def passed(first: list[object] | None, second: list[object] | None, steps: int = 4) -> None:
        layers = []
        for weight, norm in zip(weights, (first, second), strict=True):
            own = None if norm is None else engine.compiled.Normalisation(*norm)
            layers.append(engine.compiled.Weights(weight, bias, weight, bias, norm=own))
        scores, events = np.zeros((2, 3, 5), np.float32), np.zeros((3, 2), np.int64)
        taken = engine.compiled.Pass(pixels, positions, layers, None, scores, events)
        code = engine.compiled.Encoding(fields[0], steps, *fields[2:])
        engine.kernels.spiking(taken, code, engine.compiled.Neuron(*neuron), "count", 1)
        engine.kernels.conventional(taken, 1)

    passed(None, None)
    with pytest.raises(ValueError, match="fit the steps"):
        passed(right, None)
    for wrong in ([gamma[:1].copy(), *right[1:]], [*right[:3], by_batch[:1].copy(), *right[4:]]):
        with pytest.raises(ValueError, match="a normalisation does not fit"):
            passed(wrong, None)
    with pytest.raises(ValueError, match="steps"):
        passed(right, None, steps=5)
    with pytest.raises(ValueError, match="do not fit"):
        passed(right, right)
