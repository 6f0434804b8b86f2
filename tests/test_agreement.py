"""The full network in float32, over 5 seeds: engine and reference agree statistically.

In float32 a sum in another order can flip a spike, and from there whole runs go apart bit by bit, so here
it is the curves of accuracy that are compared. Takes about ten minutes: `make agreement` runs it, `make test`
does not.
"""

import dataclasses
from typing import Any

import numpy as np
import pytest

from fedspike.algorithms import FedAvg
from fedspike.data import load
from fedspike.data.partition import Classes
from fedspike.learning.backpropagation import Adam, Backpropagation
from fedspike.networks import ANN, SNN
from fedspike.parts.codes import Rate
from fedspike.parts.losses import CrossEntropy, SpikeCountMSE
from fedspike.parts.neurons import LIF
from fedspike.reference import federated_learning
from running import devices, simulate

STUDY = DenseLayers((784, 100, 10))
ROUNDS, SEEDS, TEST_IMAGES = 8, 5, 5000
T_95 = 2.776  # Student's t, 95 % two-sided, 4 degrees of freedom


@pytest.mark.agreement
@pytest.mark.parametrize("classes", [10, 3])
@pytest.mark.parametrize(
    "network",
    [ConventionalNetwork(STUDY), SpikingNetwork(STUDY, SNN(50, neuron=LIF(), code=Rate()))],
    ids=["ann", "snn"],
)
def test_accuracies_agree_over_seeds(network: ANN | SNN, classes: int) -> None:
    data = load("fashion-mnist")
    data = dataclasses.replace(
        data, x_test=data.x_test[:TEST_IMAGES], y_test=data.y_test[:TEST_IMAGES]
    )
    loss = SpikeCountMSE() if isinstance(network, SNN) else CrossEntropy()
    differences = np.zeros((SEEDS, ROUNDS))
    for seed in range(SEEDS):
        shards = Classes(classes)(data.y_train, clients=10, seed=seed)
        setting: dict[str, Any] = {
            "network": network,
            "algorithm": FedAvg(),
            "devices": devices(tuple(shards), samples_per_round=256),
            "training": Backpropagation(loss, Adam(), batch_size=32),
            "dataset": data,
            "seed": seed,
            "rounds": ROUNDS,
        }
        engine = [round.accuracy for round in simulate(**setting)]
        reference = [round.accuracy for round in federated_learning(**setting)]
        assert reference[-1] > 0.3, "nothing was learned, so nothing was compared"
        differences[seed] = np.subtract(engine, reference)
    margins = T_95 * differences.std(0, ddof=1) / np.sqrt(SEEDS)
    for round, (mean, margin) in enumerate(zip(differences.mean(0), margins, strict=True), 1):
        print(f"round {round}: {100 * mean:+.2f} +- {100 * margin:.2f} points")
    assert abs(differences[:, -1].mean()) <= max(margins[-1], 1e-12)
    assert 2 * margins[-1] < 0.01, "the interval at the end is wider than a point"
