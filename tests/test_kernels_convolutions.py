"""Convolutions in one compiled pass against plain torch: kernels, strides, groups and pools."""

from dataclasses import replace
from functools import partial
from typing import Literal

import pytest
import torch
from torch import Tensor

from fedspike import engine
from fedspike.engine import one_pass
from fedspike.engine.normalisations import OwnNorms
from fedspike.networks import (
    SNN,
    Conv,
    ConventionalNetwork,
    ConvolutionalLayers,
    Dense,
    Pool,
    SizedNetwork,
    SpikingNetwork,
)
from fedspike.parts.codes import Burst, Code, Delta, Direct, Latency, Phase, Rate
from fedspike.parts.losses import CrossEntropy, SpikeCountMSE
from fedspike.parts.neurons import LIF, AdaptiveLIF, CurrentBasedLIF
from fedspike.parts.neurons.leaky import Leaky
from fedspike.parts.optimisers import Adam, Step
from fedspike.parts.read_outs import FirstSpike, MeanMembrane, ReadOut, SpikeCount
from fedspike.parts.surrogates import FastSigmoid, Sigmoid, Triangular
from fedspike.randomness import stream
from one_pass_example import (
    ENGINE,
    PLAIN,
    assert_one_pass_is_plain_torch,
    assert_same_bits,
    batch_of,
    stacked,
)

pytestmark = pytest.mark.skipif(not engine.ACTIVE, reason=engine.WHY_NOT)

MEAN, MAXIMUM = Pool("average", 2, cuts=True), Pool("max", 2, cuts=True)
SMALL_VGG = ConvolutionalLayers((1, 8, 8), (Conv(16), Pool(), Conv(32), Pool(), Dense(20)), 10)
LAYERS = [
    SMALL_VGG,
    ConvolutionalLayers((2, 8, 7), (Conv(5), MEAN, Conv(40), MEAN, Dense(9), Dense(12)), 10),
    ConvolutionalLayers((2, 6, 6), (Conv(5), Pool("average", 3), Conv(7, 2, 1, 0)), 3),
    ConvolutionalLayers((3, 9, 7), (Conv(35, 5, 2, 2), MEAN, Conv(70, 1, 1, 0), Dense(33)), 10),
    ConvolutionalLayers((3, 9, 7), (Conv(5, 4, 3, 1), MAXIMUM, Dense(33)), 10),
    ConvolutionalLayers((1, 9, 11), (Conv(3, 7, 1, 3), MAXIMUM, Conv(6, 6, 2, 5)), 10),
    ConvolutionalLayers((1, 5, 19), (Conv(4), Conv(6)), 10),
    ConvolutionalLayers((1, 9, 9), (Conv(4, 7, 1, 6), Pool("average", 7, cuts=True)), 10),
    # Strides larger than a kernel or an image; then groups: small ones, some across panels, single channels.
    ConvolutionalLayers((1, 9, 10), (Conv(5, 2, 3, 1), Conv(35, 7, 4, 6)), 4),
    ConvolutionalLayers(
        (4, 7, 6), (Conv(6, groups=2), MEAN, Conv(12, 3, 2, groups=3), Dense(9)), 4
    ),
    ConvolutionalLayers(
        (1, 5, 5), (Conv(42, 2, 1, 0), Conv(63, groups=21), Conv(63, 1, 2, 0, 3)), 4
    ),
    ConvolutionalLayers((3, 8, 7), (Conv(3, 5, 2, 2, 3), Conv(9, 1), MEAN, Conv(9, groups=9)), 4),
    ConvolutionalLayers(
        (1, 7, 7), (Conv(37), MAXIMUM, Conv(37, 2, 2, 1, 37), Conv(6, 1), Dense(9)), 4
    ),
]


NAMES = [" ".join(map(str, layers.described)) + f" {i}" for i, layers in enumerate(LAYERS)]
CODES: list[tuple[Code, int]] = [
    *((Rate(), 10), (Rate(0.3), 65), (Direct(), 6), (Burst(), 9), (Phase(), 16), (Latency(), 8)),
    (Delta(), 8),
]


def size_of(layers: ConvolutionalLayers, batch: int = 9, clients: int = 3) -> dict[str, int]:
    inputs, outputs = layers.layers[0], layers.classes
    shape = {"inputs": inputs, "outputs": outputs, "time": 1, "seed": 5}
    return {"clients": clients, "batch": batch, **shape}


@pytest.mark.parametrize("layers", LAYERS, ids=NAMES)
def test_spiking_convolutions_in_one_pass_are_plain_torch(layers: ConvolutionalLayers) -> None:
    """Pixels and weights are multiples of powers of 2; a third of a window is none, so there it is close."""
    batch, _ = batch_of(size_of(layers))
    for loss in (CrossEntropy(), SpikeCountMSE()):
        network = SpikingNetwork(layers, SNN(10, neuron=LIF(0.5)))
        forward = assert_one_pass_is_plain_torch(network, loss, batch)
        parameters = stacked(layers, batch.address.clients, scale=4)
        tested = ENGINE.forward(network, parameters, batch)
        learned = ENGINE.learn(network, loss, parameters, batch).forward
        assert torch.equal(learned.scores, tested.scores)
    assert all(events.min() > 0 for events in forward.events_in.values()), "nothing fired"


@pytest.mark.parametrize("read_out", [SpikeCount(), MeanMembrane()], ids=["count", "membrane"])
@pytest.mark.parametrize(("code", "steps"), CODES, ids=[f"{c.kind} {t}" for c, t in CODES])
def test_every_code_and_read_out_drives_convolutions(
    code: Code, steps: int, read_out: ReadOut
) -> None:
    layers = ConvolutionalLayers((2, 6, 6), (Conv(5), MAXIMUM, Conv(18), MEAN), 4)
    batch, _ = batch_of(size_of(layers))
    batch = replace(batch, pixels=(batch.pixels * 255).round() / 256)
    resets: tuple[Literal["subtract", "zero", "none"], ...] = ("subtract", "zero", "none")
    for reset in resets:
        snn = SNN(steps, neuron=LIF(0.5, 1.0, reset), code=code, read_out=read_out)
        assert_one_pass_is_plain_torch(SpikingNetwork(layers, snn), CrossEntropy(), batch)


NEURONS: list[Leaky] = [
    CurrentBasedLIF(0.75, alpha=0.5, surrogate=Sigmoid(5.0)),
    CurrentBasedLIF(0.5, 1.0, "zero", alpha=0.75, surrogate=Triangular(0.5)),
    AdaptiveLIF(0.5, adaptation=0.5, rho=0.75, surrogate=FastSigmoid(5.0)),
    AdaptiveLIF(0.75, 1.0, "zero", adaptation=2.0, rho=0.5),
    LIF(0.5, learn_beta="per-neuron", learn_threshold="per-layer"),
    LIF(0.5, 1.0, "zero", learn_threshold="per-neuron", surrogate=Triangular(0.5)),
    CurrentBasedLIF(0.75, alpha=0.5, learn_alpha="per-neuron", learn_beta="per-layer"),
    AdaptiveLIF(0.5, 1.0, adaptation=0.5, rho=0.75, learn_rho="per-layer", learn_beta="per-neuron"),
]


@pytest.mark.parametrize(
    "neuron", NEURONS, ids=[f"{n.kind} {n.reset} {[*n.initial(1)]}" for n in NEURONS]
)
def test_every_neuron_behind_convolutions(neuron: Leaky) -> None:
    layers = ConvolutionalLayers((2, 6, 6), (Conv(5), MAXIMUM, Conv(18), MEAN, Dense(9)), 4)
    batch, _ = batch_of(size_of(layers))
    for read_out in (SpikeCount(), MeanMembrane(), FirstSpike()):
        network = SpikingNetwork(layers, SNN(6, neuron=neuron, read_out=read_out))
        forward = assert_one_pass_is_plain_torch(network, CrossEntropy(), batch)
    assert forward.events_in["output"].min() > 0, "nothing fired, so nothing was compared"


@pytest.mark.parametrize("layers", LAYERS, ids=NAMES)
def test_conventional_convolutions_in_one_pass_are_plain_float64(
    layers: ConvolutionalLayers,
) -> None:
    """With more images than a block has."""
    batch, _ = batch_of(size_of(layers, batch=70, clients=2))
    network, parameters = ConventionalNetwork(layers), stacked(layers, batch.address.clients, 2)
    forward, losses, gradients = ENGINE.learn(network, CrossEntropy(), parameters, batch)
    assert losses.dtype == torch.float64, "it did not go through in one pass"
    exact = {name: weight.double() for name, weight in parameters.items()}
    wide = replace(batch, pixels=batch.pixels.double())
    plain, expected, slopes = PLAIN.learn(network, CrossEntropy(), exact, wide)
    there = batch.present
    found = forward.scores[there].double()
    torch.testing.assert_close(found, plain.scores[there].detach(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(losses, expected, rtol=1e-5, atol=1e-6)
    for name, events in plain.events_in.items():
        assert torch.equal(forward.events_in[name], events)
    for name, synapses in plain.synapses_met.items():
        assert torch.equal(forward.synapses_met[name], synapses)
    for name, slope in slopes.items():
        scale = max(float(slope.abs().max()), 1e-3)
        torch.testing.assert_close(gradients[name].double(), slope, rtol=0, atol=1e-5 * scale)


def test_what_no_pass_has_goes_layer_by_layer() -> None:
    """A kernel of 8 x 8, and a pool behind a pool."""
    for stages in ((Conv(3, 8, 1, 0),), (Conv(3), MEAN, MEAN)):
        layers = ConvolutionalLayers((1, 8, 8), stages, 4)
        network = SpikingNetwork(layers, SNN(5))
        assert not one_pass.has(network)
        batch, _ = batch_of(size_of(layers))
        parameters = stacked(layers, batch.address.clients, scale=4)
        ours = ENGINE.learn(network, CrossEntropy(), parameters, batch)
        plain = PLAIN.learn(network, CrossEntropy(), parameters, batch)
        torch.testing.assert_close(ours.losses, plain.losses)


SMALL = ConvolutionalLayers((2, 5, 5), (Conv(5), Pool("max", 2, cuts=True), Conv(33), MEAN), 4)
SEPARABLE = ConvolutionalLayers(
    (2, 8, 7), (Conv(33, 3, 2), MEAN, Conv(33, groups=33), Conv(6, 1, groups=3)), 4
)
NETWORKS = [
    SpikingNetwork(SMALL, SNN(20)),
    SpikingNetwork(SMALL, SNN(5, code=Direct())),
    ConventionalNetwork(SMALL),
    SpikingNetwork(SEPARABLE, SNN(20)),
    SpikingNetwork(
        SEPARABLE, SNN(6, neuron=AdaptiveLIF(adaptation=0.5, rho=0.75, learn_rho="per-neuron"))
    ),
    ConventionalNetwork(SEPARABLE),
]


@pytest.mark.parametrize(
    "network", NETWORKS, ids=["spikes", "direct", "ann", "apart", "own", "ann apart"]
)
def test_neither_threads_nor_instruction_sets_change_a_bit(
    network: SizedNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with one client, whose samples are dealt to the threads."""
    assert_same_bits(partial(bits_of_a_step, network), monkeypatch)


def bits_of_a_step(network: SizedNetwork, clients: int) -> list[Tensor]:
    layers = network.architecture
    assert isinstance(layers, ConvolutionalLayers)
    batch, _ = batch_of(size_of(layers, batch=20, clients=clients))
    own = network.init(stream(0, "init"))  # with the constants of neurons
    parameters = {name: torch.stack(clients * [numbers]) for name, numbers in own.items()}
    parameters |= stacked(layers, batch.address.clients, scale=3)
    forward, losses, gradients = ENGINE.learn(network, network.usual_loss, parameters, batch)
    ENGINE.step(Adam(), Step(parameters, gradients, Adam().start(parameters), 1))
    counts = [*forward.events_in.values(), *forward.synapses_met.values()]
    return [forward.scores, losses, *counts, *gradients.values(), *parameters.values()]


@pytest.mark.parametrize(
    "changed",
    [
        *((0, 5), (5, 4), (5, 5, 8), (5, 5, 3, 0), (5, 5, 3, 1, 3)),
        *((5, 5, 3, 1, 1, 0), (5, 5, 3, 1, 1, 2), (5, 5, 3, 1, 1, 5), (5, 5, 3, 1, 1, 1, 6)),
    ],
)
def test_wrong_convolutions_are_errors_and_no_crash(changed: tuple[int, ...]) -> None:
    usual = (5, 5, 3, 1, 1, 1, 2)  # rows, columns, kernel, stride, padding, groups, window
    geometry = changed + usual[len(changed) :]
    batch, _ = batch_of(size_of(SMALL))
    parameters = stacked(SMALL, batch.address.clients, scale=1)
    kernels = [
        one_pass._weights(name, one_pass.OwnConstants({}, {}, {}), OwnNorms(), parameters)
        for name in SMALL.names
    ]
    with pytest.raises(ValueError, match="does not fit"):
        engine.compiled.Pass(
            batch.pixels.numpy(),
            batch.positions.numpy(),
            kernels[1:],
            None,
            torch.empty(3, 9, 4).numpy(),
            torch.empty(5, 3, dtype=torch.int64).numpy(),
            [engine.compiled.Convolution(kernels[0], *geometry, False)],
        )
