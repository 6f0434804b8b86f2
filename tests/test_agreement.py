"""The full network in float32, over 5 seeds: engine and reference agree statistically.

In float32 a sum in another order can flip a spike, and from there whole runs go apart bit by bit, so here
it is accuracies that are compared. Takes about two minutes: `make agreement` runs it, `make test` does not.
"""

from typing import Any

import numpy as np
import pytest

from fedspike.algorithms import fedavg
from fedspike.datasets import load
from fedspike.encoding import RateCode
from fedspike.fleet import Fleet
from fedspike.losses import CrossEntropy, SpikeCountMSE
from fedspike.networks import ANN, SNN, Architecture
from fedspike.neurons import LIF
from fedspike.partition import ClassesPerClient
from fedspike.reference import federated_learning
from fedspike.simulation import simulate
from fedspike.training import Adam, LocalTraining

SAMPLE = load("fashion-mnist-sample")
STUDY = Architecture((784, 100, 10))
ROUNDS, SEEDS = 6, 5
T_95 = 2.776  # Student's t, 95 % two-sided, 4 degrees of freedom


@pytest.mark.agreement
@pytest.mark.parametrize("classes", [10, 3])
@pytest.mark.parametrize(
    "network", [ANN(STUDY), SNN(STUDY, LIF(), RateCode(50))], ids=["ann", "snn"]
)
def test_accuracies_agree_over_seeds(network: ANN | SNN, classes: int) -> None:
    loss = SpikeCountMSE(50) if isinstance(network, SNN) else CrossEntropy()
    differences = np.zeros((SEEDS, ROUNDS))
    for seed in range(SEEDS):
        shards = ClassesPerClient(classes)(SAMPLE.y_train, clients=10, seed=seed)
        setting: dict[str, Any] = {
            "network": network,
            "algorithm": fedavg(),
            "fleet": Fleet(tuple(shards)),
            "training": LocalTraining(loss, Adam(), batch_size=32),
            "dataset": SAMPLE,
            "seed": seed,
            "rounds": ROUNDS,
        }
        engine = [round.accuracy for round in simulate(**setting)]
        reference = [round.accuracy for round in federated_learning(**setting)]
        assert reference[-1] > 0.3, "nothing was learned, so nothing was compared"
        differences[seed] = np.subtract(engine, reference)
    final = differences[:, -1]
    margin = T_95 * final.std(ddof=1) / np.sqrt(SEEDS)
    print(f"final difference {100 * final.mean():+.2f} +- {100 * margin:.2f} points")
    assert abs(final.mean()) <= max(margin, 1e-12)
    assert margin < 0.02  # two points: 500 test images resolve 0.2
    assert np.abs(differences.mean(0)).max() < 0.02
