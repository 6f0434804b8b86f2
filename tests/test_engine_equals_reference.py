"""The batched engine against the plain loop: same partition, weights and spikes, so the same training.

In float64 the only difference left is the order of sums, about 1e-13 a step; a wrong mask, a wrong slice or a
missed reset shows at 1e-3 and above. 1e-9 keeps clear of both.
"""

import itertools
from typing import Any

import numpy as np
import pytest
import torch

import parts_example
from algorithms_example import CASES, TRAINED
from fedspike.algorithms import Algorithm, FedAvg
from fedspike.data import Dataset
from fedspike.data.partition import Classes
from fedspike.federation.devices import Devices
from fedspike.federation.plan import Plan
from fedspike.federation.rounds import Round, rounds
from fedspike.federation.selections import PowerOfChoice
from fedspike.federation.state import State
from fedspike.learning.backpropagation import Backpropagation
from fedspike.networks import (
    SNN,
    Conv,
    ConventionalNetwork,
    ConvolutionalLayers,
    Dense,
    DenseLayers,
    Parameters,
    Pool,
    SpikingNetwork,
)
from fedspike.parts.losses import Loss
from fedspike.parts.neurons import LIF
from fedspike.parts.optimisers import SGD, Adam
from fedspike.parts.schedules import Cosine, Exponential
from fedspike.reference import federated_learning
from parts_example import LOSSES
from running import devices, plan_for, sample

CALIBRATED = [loss for loss in LOSSES if loss.calibration(torch.ones(1, 10))]
SAMPLE = sample(tested=101)
SMALL = DenseLayers((784, 12, 10))
DEEP = DenseLayers((784, 10, 8, 10))
MAXIMA = ConvolutionalLayers(
    (1, 28, 28), (Conv(3, stride=2), Pool("max"), Conv(6, groups=3), Dense(8)), 10
)
AVERAGES = ConvolutionalLayers((1, 28, 28), (Conv(2, 4, 4, 0), Conv(3, 2, 1, 0), Pool()), 10)

NETWORKS: dict[str, ConventionalNetwork | SpikingNetwork] = {
    "ann": ConventionalNetwork(SMALL),
    "snn": SpikingNetwork(SMALL, SNN(4)),
    "deep-ann": ConventionalNetwork(DEEP),
    "deep-snn-zero-reset": SpikingNetwork(
        DEEP, SNN(3, neuron=LIF(beta=0.8, threshold=0.7, reset="zero"))
    ),
    "convolutional-ann": ConventionalNetwork(MAXIMA),
    "convolutional-ann-averages": ConventionalNetwork(AVERAGES),
    "convolutional-snn": SpikingNetwork(MAXIMA, SNN(3, neuron=LIF(threshold=0.3))),
    "convolutional-snn-averages": SpikingNetwork(AVERAGES, SNN(3, neuron=LIF(0.8, 0.3, "zero"))),
}


def pair(name: str) -> tuple[Algorithm, Adam | SGD]:
    return CASES[name].algorithm, CASES[name].optimiser()


def compare(
    network: ConventionalNetwork | SpikingNetwork,
    algorithm: Algorithm,
    optimiser: Adam | SGD,
    fleet: Devices,
    *,
    dataset: Dataset = SAMPLE,
    **training: Any,
) -> list[Round]:
    plan = plan_for(
        network=network,
        algorithm=algorithm,
        devices=fleet,
        training=Backpropagation(optimiser=optimiser, batch_size=16, **training),
        dataset=dataset,
        seed=3,
        rounds=3,
    )
    return compared(plan)


def compared(plan: Plan) -> list[Round]:
    """The rounds of the engine, each found equal to the plain loop's."""
    engine = list(rounds(plan, dtype=torch.float64))
    for fast, slow in zip(engine, federated_learning(plan, torch.float64), strict=True):
        assert fast.number == slow.number
        assert fast.activity == slow.activity  # integers: equal or wrong
        assert fast.tested == slow.tested
        assert fast.accuracy == slow.accuracy
        ours, theirs = fast.state.clients, slow.memories
        for client, memory in theirs.items() if ours else ():
            torch.testing.assert_close(ours[client], memory, rtol=0, atol=1e-9)
        for name, weight in slow.model.items():
            torch.testing.assert_close(fast.state.model[name], weight, rtol=0, atol=1e-9)
    return engine


def learned(state: State) -> Parameters:
    """The server's model, with what a client keeps in its place."""
    own = (tree.get("own", {}) for tree in state.clients.values())
    return state.model | next((kept for kept in own if kept), {})


def fleet_of(*sizes: int, **settings: Any) -> Devices:
    cuts = np.cumsum(sizes)
    order = np.random.default_rng(0).permutation(2000)
    return devices(tuple(np.split(order[: cuts[-1]], cuts[:-1])), **settings)


@pytest.mark.parametrize(
    ("network", "algorithm"),
    [
        *itertools.product(NETWORKS, ("fedavg", "scaffold")),
        *itertools.product(("ann", "snn"), sorted(TRAINED.keys() - {"fedavg", "scaffold"})),
        *itertools.product(("snn",), sorted(CASES.keys() - TRAINED.keys())),
    ],
)
def test_every_network_and_algorithm(network: str, algorithm: str) -> None:
    shards = Classes(3)(SAMPLE.y_train, clients=5, seed=0)
    fleet = devices(tuple(shards), clients_per_round=4, samples_per_round=40)
    engine = compare(NETWORKS[network], *pair(algorithm), fleet)
    first, last = (learned(engine[i].state) for i in (0, -1))
    moved = [name for name in first if not torch.equal(first[name], last[name])]
    assert moved == list(first), "nothing was learned, so nothing was compared"
    for counts in (engine[-1].activity.values(), [engine[-1].tested]):
        assert all(min(seen.events_in.values()) > 0 for seen in counts), "a layer got no events"


@pytest.mark.parametrize("network", ["ann", "snn", "convolutional-ann", "convolutional-snn"])
@pytest.mark.parametrize(
    ("fleet", "epochs"),
    [
        (fleet_of(50, 7, 33, 16, 1), 1),
        (fleet_of(50, 7, 33, 16, 1), 2),
        (fleet_of(37), 1),
        (fleet_of(1), 2),
        (fleet_of(1, 1, 1), 1),
    ],
    ids=["unequal", "unequal, two epochs", "one client", "one sample", "one sample each"],
)
def test_unequal_and_tiny_clients(network: str, fleet: Devices, epochs: int) -> None:
    engine = compare(NETWORKS[network], *pair("fedavg"), fleet, epochs=epochs)
    assert engine[0].samples == epochs * sum(len(shard) for shard in fleet.shards)


FEW_CLASSES = tuple(
    np.flatnonzero(np.isin(SAMPLE.y_train, classes))[:size]
    for classes, size in (((0, 1, 2), 40), ((3, 4), 17), ((2, 9), 5))
)


@pytest.mark.parametrize(
    ("loss", "network"),
    list(zip(CALIBRATED, itertools.cycle(["ann", "snn"]), strict=False)),
    ids=parts_example.name,
)
def test_losses_that_know_the_clients_classes(network: str, loss: Loss) -> None:
    """Two epochs over some of a client's samples: what counts are those, once."""
    fleet = devices(FEW_CLASSES, samples_per_round=30)
    compare(NETWORKS[network], *pair("fedavg"), fleet, epochs=2, loss=loss)


def test_steps_from_above_on_classes_that_come_equally_often() -> None:
    """FedSAM, over SCAFFOLD's corrections, in two epochs."""
    fleet = devices(FEW_CLASSES, samples_per_round=30)
    compare(NETWORKS["snn"], *pair("scaffold"), fleet, epochs=2, balanced=True, ascent=0.3)


@pytest.mark.parametrize(
    ("network", "training"),
    [
        ("convolutional-ann", {}),
        ("convolutional-snn-averages", {}),
        ("deep-snn-zero-reset", {"epochs": 2, "ascent": 0.3}),
        ("snn", {"samples_at_once": 5, "optimiser_memory": "kept"}),
    ],
)
def test_representations_beside_those_of_other_models(
    network: str, training: dict[str, Any]
) -> None:
    """MOON, of layers of all kinds; in parts of minibatches, too."""
    fleet = fleet_of(50, 7, 33, 1, clients_per_round=3)
    compare(NETWORKS[network], *pair("moon"), fleet, **training)


@pytest.mark.parametrize(
    ("optimiser", "memory"),
    [
        (Adam(weight_decay=0.1, schedule=Cosine(rounds=3, lowest=0.1)), "forgotten"),
        (Adam(schedule=Exponential(0.5, every=2)), "kept"),
        (SGD(0.05, momentum=0.9), "kept"),
        (SGD(0.05, 0.9, nesterov=True, weight_decay=0.1), "kept"),
    ],
    ids=parts_example.name,
)
def test_optimisers_that_decay_and_remember(optimiser: Adam | SGD, memory: str) -> None:
    """Against torch's; clients of unlike sizes, not in every round, have made unlike numbers of steps."""
    fleet = fleet_of(50, 7, 33, clients_per_round=2)
    compare(NETWORKS["ann"], FedAvg(), optimiser, fleet, optimiser_memory=memory)


@pytest.mark.parametrize("algorithm", ["fedavg", "scaffold", "fedbuff", "mifa", "fedper"])
def test_clients_that_drop_out_and_rounds_below_the_quorum(algorithm: str) -> None:
    fleet = fleet_of(50, 7, 33, 16, 1, dropout=0.5, quorum=0.7)
    engine = compare(NETWORKS["snn"], *pair(algorithm), fleet)
    if CASES[algorithm].algorithm.waits_for is None:
        assert [round.skipped for round in engine] == [True, False, True]
    assert all(round.missing for round in engine)


def test_clients_that_are_asked_by_their_losses() -> None:
    """Both know the same losses, or they would ask others."""
    chosen = PowerOfChoice(candidates=4)
    fleet = fleet_of(50, 7, 33, 16, 9, clients_per_round=2, selection=chosen)
    engine = compare(NETWORKS["snn"], *pair("fedavg"), fleet)
    assert len(engine[-1].state.losses) > 2


def test_a_cohort_trained_in_parts_is_the_same_cohort(monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = fleet_of(50, 7, 33, 16, 1)
    whole = compare(NETWORKS["snn"], *pair("scaffold"), fleet)
    monkeypatch.setattr("fedspike.engine.engines.BLOCK_BYTES", 1)
    parts = compare(NETWORKS["snn"], *pair("scaffold"), fleet)
    for a, b in zip(whole, parts, strict=True):
        assert (a.activity, a.operations, a.tested) == (b.activity, b.operations, b.tested)
        assert (a.uplink_bytes, a.downlink_bytes) == (b.uplink_bytes, b.downlink_bytes)
        torch.testing.assert_close(a.state.tensors(), b.state.tensors(), rtol=0, atol=1e-9)
