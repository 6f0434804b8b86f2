"""The full network in float32, over 5 seeds: engine and reference agree statistically.

In float32 a sum in another order can flip a spike, and from there whole runs go apart bit by bit, so here
it is the curves of accuracy that are compared. Takes about ten minutes: `make agreement` runs it, `make test`
does not.
"""

import dataclasses

import numpy as np
import pytest

from fedspike.data import load_data
from fedspike.data.partition import Classes
from fedspike.federation.devices import Fleet
from fedspike.federation.plan import Plan
from fedspike.federation.rounds import rounds
from fedspike.learning import Backpropagation
from fedspike.networks import ANN, SNN, FullyConnected, Network
from fedspike.reference import federated_learning

ROUNDS, SEEDS, TEST_IMAGES = 8, 5, 5000
T_95 = 2.776  # Student's t, 95 % two-sided, 4 degrees of freedom


@pytest.mark.agreement
@pytest.mark.parametrize("classes", [10, 3])
@pytest.mark.parametrize(
    "network",
    [ANN(FullyConnected((100,))), SNN(50, FullyConnected((100,)))],
    ids=["ann", "snn"],
)
def test_accuracies_agree_over_seeds(network: Network, classes: int) -> None:
    data = load_data("fashion-mnist")
    data = dataclasses.replace(
        data, x_test=data.x_test[:TEST_IMAGES], y_test=data.y_test[:TEST_IMAGES]
    )
    differences = np.zeros((SEEDS, ROUNDS))
    for seed in range(SEEDS):
        plan = Plan(
            network=network,
            data=data,
            partition=Classes(classes),
            fleet=Fleet(samples_per_round=256),
            learner=Backpropagation(batch_size=32),
            seed=seed,
            rounds=ROUNDS,
        )
        engine = [round.accuracy for round in rounds(plan)]
        reference = [round.accuracy for round in federated_learning(plan)]
        assert reference[-1] > 0.3, "nothing was learned, so nothing was compared"
        differences[seed] = np.subtract(engine, reference)
    margins = T_95 * differences.std(0, ddof=1) / np.sqrt(SEEDS)
    for round, (mean, margin) in enumerate(zip(differences.mean(0), margins, strict=True), 1):
        print(f"round {round}: {100 * mean:+.2f} +- {100 * margin:.2f} points")
    assert abs(differences[:, -1].mean()) <= max(margins[-1], 1e-12)
    assert 2 * margins[-1] < 0.01, "the interval at the end is wider than a point"
