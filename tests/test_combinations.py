"""Any code, neuron, read-out, architecture and normalisation make a network that any algorithm trains."""

import itertools
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import pytest
import torch

from algorithms_example import ANYWHERE, Case
from fedspike.energy.counts import count
from fedspike.engine.choice import engine_for
from fedspike.learning import Backpropagation
from fedspike.learning.activities import activities, counted
from fedspike.networks import (
    ANN,
    NETWORKS,
    QANN,
    SNN,
    Architecture,
    Batch,
    Convolutional,
    FullyConnected,
    Network,
)
from fedspike.part import Part
from fedspike.parts.codes import Address, Code
from fedspike.parts.losses import CrossEntropy
from fedspike.parts.read_outs import MeanMembrane
from fedspike.randomness import stream
from parts_example import CODES, NEURONS, NORMALISATIONS, READ_OUTS, name
from running import devices, sample, simulate

SAMPLE = sample(tested=37)
ARCHITECTURES: dict[str, Architecture] = {
    "dense": FullyConnected(hidden=(7,)),
    "maxima": Convolutional(features=(4, "pool"), hidden=(7,), pool="max"),
    "averages": Convolutional(features=(4, "pool", 3), hidden=()),
}
P = TypeVar("P", bound=Part)


def ends(examples: Sequence[P]) -> list[P]:
    """Of each kind the first example and, where there are more, the last, in which most is learned."""
    kinds = dict.fromkeys(type(part) for part in examples)
    alike = [[part for part in examples if type(part) is kind] for kind in kinds]
    return [part for parts in alike for part in dict.fromkeys((parts[0], parts[-1]))]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(
    "code", {code.kind: code for code, _ in reversed(CODES)}.values(), ids=name
)
def test_a_step_of_every_spiking_network(code: Code, architecture: str) -> None:
    """Every loss and gradient is a number, weights move, and the counts are those of such a network."""
    pixels = torch.rand(2, 4, 36)
    pixels[:, 0] = 1.0
    address = Address(0, "encode", 1, (0, 1), (0, 0))
    batch = Batch.of(pixels, address, torch.randint(3, (2, 4)))
    engine = engine_for(pixels.device, pixels.dtype)
    for what in itertools.product(ends(NEURONS), READ_OUTS, NORMALISATIONS[:2]):
        network = SNN(5, ARCHITECTURES[architecture], code, *what).over((6, 6), classes=3)
        models = [network.init(stream(0, "init", client=k)) for k in range(2)]
        parameters = {name: torch.stack([m[name] for m in models]) for name in models[0]}
        running = {name: s.expand(2, *s.shape) for name, s in network.statistics().items()}
        learned = engine.learn(network, CrossEntropy(), parameters | running, batch)
        forward, losses, gradients = learned
        assert losses.isfinite().all(), what
        assert gradients.keys() == parameters.keys(), what
        assert all(slope.isfinite().all() for slope in gradients.values()), what
        first = gradients[f"{network.architecture.names[0]}.weight"]
        assert all(own.any() for own in first), what
        assert forward.statistics.keys() == running.keys(), what
        assert all((s[1] != s[0]).any() for s in forward.statistics.values()), what
        for activity in activities([4, 4], [1, 1], [counted(forward)]):
            count(network.operations(), activity)  # raises where it cannot be of this network


LAYOUTS = (FullyConnected(hidden=(6,)), Convolutional(features=(2, "pool", "pool"), hidden=()))
ALL: list[Network] = [
    *(ANN(layout) for layout in LAYOUTS),
    *(QANN(layout, bits=4) for layout in LAYOUTS),
    *(
        SNN(3, layout, read_out=MeanMembrane(), normalisation=norm)
        for layout, norm in itertools.product(LAYOUTS, NORMALISATIONS)
    ),
]


def test_every_kind_of_network_is_among_them() -> None:
    assert {type(network) for network in ALL} == set(NETWORKS)


# The server's half knows nothing of the network: its kinds are tried with the one that has most groups.
FEW = ("fedavg", "scaffold", "fedper")


@pytest.mark.parametrize(
    ("case", "network"),
    [
        pytest.param(case, network, id=f"{algorithm}-{name(network)}")
        for algorithm, case in ANYWHERE.items()
        for network in ALL
        if algorithm in FEW or network is ALL[5]
    ],
)
def test_a_round_of_every_network_under_every_algorithm(case: Case, network: Network) -> None:
    _, last = simulate(
        network=network.over((28, 28), classes=10),
        algorithm=case.algorithm,
        devices=devices((np.arange(20), np.arange(20, 31), np.arange(31, 32))),
        training=Backpropagation(CrossEntropy(), case.optimiser(), batch_size=8),
        dataset=SAMPLE,
        seed=0,
        rounds=2,
    )
    assert last.training_loss < 10
    assert all(tensor.isfinite().all() for tensor in last.state.tensors().values())
    assert last.operations["mac"] + last.operations["ac"] > 0
