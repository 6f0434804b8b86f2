"""Any code, neuron, read-out, architecture and normalisation make a network that any algorithm trains."""

import itertools

import numpy as np
import pytest
import torch

from algorithms_example import CASES
from fedspike.data import load
from fedspike.energy import counts
from fedspike.learning.backpropagation import Backpropagation, activities, counted, learn
from fedspike.networks import (
    SNN,
    Batch,
    Conv,
    ConventionalNetwork,
    ConvolutionalLayers,
    DenseLayers,
    Pool,
    Quantiser,
    SizedNetwork,
    SpikingNetwork,
)
from fedspike.networks import Dense as Hidden
from fedspike.networks.architecture import Layers
from fedspike.parts.codes import (
    Address,
    Burst,
    Code,
    Delta,
    Direct,
    Latency,
    Phase,
    Rate,
)
from fedspike.parts.losses import CrossEntropy
from fedspike.parts.neurons import LIF, AdaptiveLIF, CurrentBasedLIF, Neuron
from fedspike.parts.normalisations import BNTT, Unnormalised
from fedspike.parts.read_outs import FirstSpike, MeanMembrane, ReadOut, SpikeCount
from fedspike.randomness import stream
from running import devices, simulate

STEPS = 9
CODES: tuple[Code, ...] = (
    Rate(),
    Latency(),
    Phase(),
    Burst(),
    Delta(),
    Direct(),
)
NEURONS: tuple[Neuron, ...] = (
    LIF(threshold=0.3),
    LIF(threshold=0.3, reset="zero", learn_beta="per-layer", learn_threshold="per-neuron"),
    CurrentBasedLIF(alpha=0.5, threshold=0.3),
    AdaptiveLIF(adaptation=0.5, rho=0.9, threshold=0.3),
)
READ_OUTS: tuple[ReadOut, ...] = (SpikeCount(), MeanMembrane(), FirstSpike())
ARCHITECTURES: dict[str, Layers] = {
    "dense": DenseLayers((36, 7, 3)),
    "maxima": ConvolutionalLayers((1, 6, 6), (Conv(4), Pool("max"), Hidden(7)), 3),
    "averages": ConvolutionalLayers((1, 6, 6), (Conv(4), Pool("average"), Conv(3, 3, 3)), 3),
}
NORMALISATIONS = (Unnormalised(), BNTT())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("code", CODES, ids=lambda code: type(code).__name__)
def test_a_step_of_every_spiking_network(code: Code, architecture: str) -> None:
    """Every loss and gradient is a number, weights move, and the counts are those of such a network."""
    pixels = torch.rand(2, 4, 36)
    pixels[:, 0] = 1.0
    address = Address(0, "encode", 1, (0, 1), (0, 0))
    batch = Batch.of(pixels, address, torch.randint(3, (2, 4)))
    for neuron, read_out, norm in itertools.product(NEURONS, READ_OUTS, NORMALISATIONS):
        network = SpikingNetwork(
            ARCHITECTURES[architecture],
            SNN(STEPS, neuron=neuron, code=code, read_out=read_out, normalisation=norm),
        )
        models = [network.init(stream(0, "init", client=k)) for k in range(2)]
        parameters = {name: torch.stack([m[name] for m in models]) for name in models[0]}
        running = {name: s.expand(2, *s.shape) for name, s in network.statistics().items()}
        forward, losses, gradients = learn(network, CrossEntropy(), parameters, batch, running)
        what = (neuron, read_out, norm)
        assert losses.isfinite().all(), what
        assert gradients.keys() == parameters.keys(), what
        assert all(slope.isfinite().all() for slope in gradients.values()), what
        first = gradients[f"{network.architecture.names[0]}.weight"]
        assert all(own.any() for own in first), what
        assert forward.statistics.keys() == running.keys(), what
        assert all((s[1] != s[0]).any() for s in forward.statistics.values()), what
        for activity in activities([4, 4], [1, 1], [counted(forward)]):
            counts.count(
                network.operations(), activity
            )  # raises where it cannot be of this network


def networks() -> dict[str, SizedNetwork]:
    found: dict[str, SizedNetwork] = {}
    shapes: dict[str, Layers] = {
        "dense": DenseLayers((784, 6, 10)),
        "convolution": ConvolutionalLayers((1, 28, 28), (Conv(2, 4, 4, 2), Pool()), 10),
    }
    for name, shape in shapes.items():
        found |= {
            f"{name} ann": ConventionalNetwork(shape),
            f"{name} qann": ConventionalNetwork(shape, Quantiser(bits=4)),
        }
        for norm in (Unnormalised(), BNTT(), BNTT("local")):
            how = f" {norm.statistics}" if isinstance(norm, BNTT) else ""
            found[f"{name} snn{how}"] = SpikingNetwork(
                shape,
                SNN(3, neuron=LIF(), code=Rate(), read_out=MeanMembrane(), normalisation=norm),
            )
    return found


@pytest.mark.parametrize("network", networks())
@pytest.mark.parametrize("algorithm", CASES)
def test_a_round_of_every_network_under_every_algorithm(algorithm: str, network: str) -> None:
    case = CASES[algorithm]
    _, last = simulate(
        network=networks()[network],
        algorithm=case.algorithm,
        devices=devices((np.arange(20), np.arange(20, 31), np.arange(31, 32))),
        training=Backpropagation(CrossEntropy(), case.optimiser(), batch_size=8),
        dataset=load("fashion-mnist-sample"),
        seed=0,
        rounds=2,
    )
    assert last.training_loss < 10
    assert all(tensor.isfinite().all() for tensor in last.state.tensors().values())
    assert last.operations["mac"] + last.operations["ac"] > 0
