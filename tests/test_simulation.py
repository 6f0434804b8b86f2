import dataclasses

import numpy as np
import pytest
import torch

from fedspike.algorithms import FedAvg
from fedspike.data import Dataset, load_data
from fedspike.data.partition import Centralised, Classes
from fedspike.errors import InputError
from fedspike.federation.devices import Devices
from fedspike.federation.rounds import Round
from fedspike.learning.backpropagation import Backpropagation
from fedspike.networks import (
    SNN,
    ConventionalNetwork,
    DenseLayers,
    Quantiser,
    SizedNetwork,
    SpikingNetwork,
)
from fedspike.parts.codes import Rate
from fedspike.parts.losses import CrossEntropy, SpikeCountMSE
from fedspike.parts.neurons import LIF
from fedspike.parts.optimisers import Adam
from running import devices, sample, simulate

SAMPLE, FEW = load_data("fashion-mnist-sample"), sample(tested=37)
SPIKING = SpikingNetwork(DenseLayers((784, 20, 10)), SNN(10, neuron=LIF(), code=Rate()))
NETWORKS: dict[str, SizedNetwork] = {
    "snn": SPIKING,
    "ann": ConventionalNetwork(SPIKING.architecture),
    "qann": ConventionalNetwork(SPIKING.architecture, Quantiser(bits=4)),
}
FLEET = devices(tuple(Classes(5)(SAMPLE.y_train, clients=10, seed=0)))


def play(
    network: SizedNetwork = SPIKING,
    fleet: Devices = FLEET,
    rounds: int = 2,
    dataset: Dataset = SAMPLE,
) -> list[Round]:
    training = Backpropagation(network.usual_loss, Adam(5e-3), batch_size=32)
    return list(
        simulate(
            network=network,
            algorithm=FedAvg(),
            devices=fleet,
            training=training,
            dataset=dataset,
            seed=0,
            rounds=rounds,
        )
    )


def test_the_same_seed_gives_the_same_bits() -> None:
    for a, b in zip(play(), play(), strict=True):
        assert (a.accuracy, a.training_loss) == (b.accuracy, b.training_loss)
        assert (a.activity, a.tested) == (b.activity, b.tested)
        one, other = a.state.tensors(), b.state.tensors()
        assert all(torch.equal(one[path], other[path]) for path in one)


UNEQUAL = devices(tuple(np.arange(n) + 7 * n for n in (130, 33, 32, 31, 31, 5, 2, 1, 1)))


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("fleet", [UNEQUAL, devices((np.arange(150),))], ids=["unequal", "lone"])
def test_neither_threads_nor_parts_change_a_bit(
    network: SizedNetwork, fleet: Devices, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, results = torch.get_num_threads(), []
    try:
        for threads, block in ((1, 2**40), (2, 2**40), (4, 2**40), (2, 1), (4, 1), (2, 2**20)):
            torch.set_num_threads(threads)
            monkeypatch.setattr("fedspike.engine.engines.BLOCK_BYTES", block)
            results.append(play(network, fleet, dataset=FEW)[-1])
    finally:
        torch.set_num_threads(before)
    first, *others = results
    for other in others:
        assert (first.training_loss, first.activity) == (other.training_loss, other.activity)
        one, two = first.state.tensors(), other.state.tensors()
        assert all(torch.equal(one[path], two[path]) for path in one)


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_every_network_learns_real_images(network: SizedNetwork) -> None:
    """Chance is 10 %; a broken gradient, label or read-out stays near it."""
    assert play(network, rounds=16)[-1].accuracy > 0.6


def test_the_centralised_baseline_is_a_fleet_of_one() -> None:
    fleet = devices(tuple(Centralised()(SAMPLE.y_train, clients=1, seed=0)))
    first, *_, last = play(fleet=fleet, rounds=4)
    assert first.clients == (0,)
    assert first.samples == 2000
    assert last.accuracy > 0.6


def test_operations_are_the_spikes_times_their_fan_out() -> None:
    (round,) = play(rounds=1)
    assert round.operations["ac"] == round.spikes["hidden"] * 20 + round.spikes["output"] * 10
    mean_pixel = float(np.mean(SAMPLE.x_train))
    assert round.spikes["hidden"] == pytest.approx(2000 * 10 * 784 * mean_pixel, rel=1e-3)


@pytest.mark.parametrize(
    "network", [SPIKING, ConventionalNetwork(SPIKING.architecture)], ids=["snn", "ann"]
)
def test_a_client_has_done_the_same_in_any_company(network: SizedNetwork) -> None:
    """Padded and in a stack, each client's integers are those of a fleet in which it is alone."""
    (round,) = play(network, UNEQUAL, rounds=1)
    assert round.clients == tuple(range(9))
    assert round.samples == sum(len(shard) for shard in UNEQUAL.shards)
    for client in (0, 1, 5, 8):
        seen = round.activity[client]
        shard = UNEQUAL.shards[client]
        steps = -(-len(shard) // 32)
        assert (seen.samples, seen.steps) == (len(shard), steps)
        if isinstance(network, ConventionalNetwork):
            assert seen.events_in["hidden"] == np.count_nonzero(SAMPLE.x_train[shard])
            assert 0 < seen.events_in["output"] < len(shard) * 20
            assert seen.events_out == 0
        (alone,) = play(network, devices((shard,)), rounds=1)
        if client == 0:  # spikes are addressed by the client's number
            assert seen == alone.activity[0]
    total = {
        name: sum(seen.events_in[name] for seen in round.activity.values())
        for name in seen.events_in
    }
    assert round.spikes == (total if isinstance(network, SpikingNetwork) else {})


def test_what_the_test_did() -> None:
    (round,) = play(ConventionalNetwork(SPIKING.architecture), rounds=1)
    assert (round.tested.samples, round.tested.steps, round.tested.events_out) == (500, 0, 0)
    assert round.tested.events_in["hidden"] == np.count_nonzero(SAMPLE.x_test)
    (round,) = play(rounds=1)
    mean_pixel = float(np.mean(SAMPLE.x_test))
    assert round.tested.events_in["hidden"] == pytest.approx(500 * 10 * 784 * mean_pixel, rel=3e-3)
    assert 0 < round.tested.events_out <= 500 * 10 * 10


def test_large_scores_of_a_test_batch_do_not_depend_on_its_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = play(rounds=1)[0].accuracy
    monkeypatch.setattr("fedspike.engine.engines._MOST_TESTED", 37)
    assert play(rounds=1)[0].accuracy == whole


@pytest.mark.parametrize(
    ("network", "loss", "rounds", "message"),
    [
        (
            ConventionalNetwork(SPIKING.architecture),
            SpikeCountMSE(),
            1,
            "SpikeCountMSE of a network's values",
        ),
        (SPIKING, SpikeCountMSE(), 0, "rounds = 0"),
        (ConventionalNetwork(DenseLayers((100, 10))), CrossEntropy(), 1, "784 pixels"),
        (ConventionalNetwork(DenseLayers((784, 7))), CrossEntropy(), 1, "10 classes"),
    ],
)
def test_parts_that_do_not_fit_together(
    network: SizedNetwork, loss: CrossEntropy | SpikeCountMSE, rounds: int, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        next(
            simulate(
                network=network,
                algorithm=FedAvg(),
                devices=FLEET,
                training=Backpropagation(loss),
                dataset=SAMPLE,
                seed=0,
                rounds=rounds,
            )
        )


def test_a_fleet_for_other_data() -> None:
    small = dataclasses.replace(SAMPLE, x_train=SAMPLE.x_train[:50], y_train=SAMPLE.y_train[:50])
    with pytest.raises(InputError, match="from 0 to 49"):
        play(dataset=small, rounds=1)


@pytest.mark.parametrize(("epochs", "batch_size"), [(0, 128), (1, 0)])
def test_impossible_training(epochs: int, batch_size: int) -> None:
    with pytest.raises(InputError, match=" = 0"):
        Backpropagation(CrossEntropy(), epochs=epochs, batch_size=batch_size)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_learning_rates(rate: float) -> None:
    with pytest.raises(InputError, match="learning_rate"):
        Adam(rate)
