"""The running statistics of BNTT in a federation; test_parts_normalisations.py has its equation."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from algorithms_example import ANYWHERE
from fedspike.algorithms import Algorithm, FedAvg, with_statistics
from fedspike.data import load_data
from fedspike.data.partition import Classes
from fedspike.federation.devices import Fleet, Given
from fedspike.federation.plan import Plan
from fedspike.federation.rounds import Round, rounds
from fedspike.federation.state import State
from fedspike.learning import Backpropagation
from fedspike.networks import ANN, SNN, Architecture, Convolutional, FullyConnected
from fedspike.parts.codes import Code, Direct, Rate
from fedspike.parts.losses import CrossEntropy
from fedspike.parts.neurons import LIF
from fedspike.parts.normalisations import BNTT
from fedspike.parts.optimisers import SGD, Adam, Optimiser
from fedspike.parts.read_outs import MeanMembrane
from fedspike.randomness import stream
from fedspike.rules import Pooled, joined

SAMPLE = load_data("fashion-mnist-sample")
DENSE = FullyConnected(hidden=(20,))
IMAGES = Convolutional(features=(4, "pool", 8, "pool"), hidden=())
STEPS = 5


@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    spread=st.floats(0, 100),
    seed=st.integers(0, 2**16),
)
def test_pooled_statistics_are_those_of_the_pooled_data(
    sizes: list[int], spread: float, seed: int
) -> None:
    generator = stream(seed, "test")
    data = [generator.normal(spread * generator.normal(), 1, (n, 3)) for n in sizes]
    statistics = {
        "hidden.mean": torch.tensor(np.stack([own.mean(0) for own in data])),
        "hidden.variance": torch.tensor(np.stack([own.var(0) for own in data])),
    }
    replies = [{name: own[k] for name, own in statistics.items()} for k in range(len(sizes))]
    found, whole = joined(Pooled(), replies, torch.tensor(sizes)), np.concatenate(data)
    np.testing.assert_allclose(found["hidden.mean"], whole.mean(0), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found["hidden.variance"], whole.var(0), rtol=1e-6, atol=1e-9)


def spiking(architecture: Architecture, code: Code, normalisation: BNTT) -> SNN:
    return SNN(STEPS, architecture, code, LIF(beta=0.8), MeanMembrane(), normalisation)


def play(
    normalisation: BNTT,
    algorithm: Algorithm | None = None,
    architecture: Architecture = DENSE,
    *,
    shards: Sequence[np.ndarray] | None = None,
    fleet: Fleet | None = None,
    optimiser: Optimiser | None = None,
    batch_size: int = 32,
    code: Code | None = None,
    number: int = 2,
    **place: Any,
) -> list[Round]:
    """So many rounds, by default of 3 of 5 clients with 5 classes each, which train on 70 images."""
    plan = Plan(
        network=spiking(architecture, code or Rate(), normalisation),
        data=SAMPLE,
        partition=Given(tuple(shards)) if shards else Classes(5),
        fleet=fleet or Fleet(clients=5, clients_per_round=3, samples_per_round=70),
        learner=Backpropagation(CrossEntropy(), optimiser or SGD(0.1), batch_size=batch_size),
        algorithm=algorithm or FedAvg(),
        rounds=number,
    )
    return list(rounds(plan, **place))


@pytest.mark.parametrize("architecture", [DENSE, IMAGES], ids=["dense", "convolution"])
def test_after_one_batch_the_server_has_the_statistics_of_all_data(
    architecture: Architecture,
) -> None:
    """With momentum 1 a client's statistics are its batch's, at the weights that all received."""
    shards = np.split(np.arange(59), [30, 37])

    def after(shards: list[np.ndarray]) -> Round:
        (only,) = play(
            BNTT(momentum=1.0),
            None,
            architecture,
            shards=shards,
            fleet=Fleet(len(shards)),
            number=1,
            batch_size=60,
            code=Direct(),
            dtype=torch.float64,
        )
        return only

    many, one = after(shards), after([np.arange(59)])
    first = "hidden" if architecture == DENSE else "conv1"
    for name in (f"{first}.mean", f"{first}.variance"):
        ours, whole = many.state.server["statistics"][name], one.state.server["statistics"][name]
        torch.testing.assert_close(ours, whole, rtol=1e-6, atol=1e-9)
        assert ours.std() > 0
    assert torch.equal(ours[0], ours[2]), "a constant current has the same statistics at each step"


@pytest.mark.parametrize(
    ("statistics", "algorithm"),
    [
        *itertools.product(("pooled", "local"), ("fedavg", "scaffold", "fedbuff")),
        ("local", "fedper"),
    ],
)
def test_it_resumes_bit_for_bit_with_its_statistics(algorithm: str, statistics: str) -> None:
    norm = BNTT(statistics)  # type: ignore[arg-type]
    whole = play(norm, ANYWHERE[algorithm].algorithm, number=3)
    copied = {path: tensor.clone() for path, tensor in whole[0].state.tensors().items()}
    later = play(norm, ANYWHERE[algorithm].algorithm, number=3, state=State.from_tensors(1, copied))
    assert [round.accuracy for round in whole[1:]] == [round.accuracy for round in later]
    one, other = whole[-1].state.tensors(), later[-1].state.tensors()
    assert one.keys() == other.keys()
    assert all(torch.equal(one[path], other[path]) for path in one)
    kept = {path.rsplit("/", 1)[0] for path in one if "statistics" in path}
    kept = {path for path in kept if not path.startswith("past/")}
    if statistics == "pooled":
        assert kept == {"server/statistics"}
    else:
        took_part = {client for round in whole for client in round.clients}
        assert kept == {f"client/{client}/statistics" for client in took_part}


# The others' statistics never leave their client.
SENT = [name for name in ANYWHERE if name != "fedavg" and not ANYWHERE[name].algorithm.personal]


@pytest.mark.parametrize("algorithm", SENT)
def test_no_algorithm_does_to_statistics_what_it_does_to_updates(algorithm: str) -> None:
    """After a round that began alike they are FedAvg's, to the bit; fedprox moves weights in between.

    MOON's minibatches are compared, which plain torch does, and it adds up in another order.
    """
    close = {"rtol": 1e-5, "atol": 1e-6} if algorithm == "moon" else {"rtol": 0, "atol": 0}
    (ours,) = play(BNTT(), ANYWHERE[algorithm].patient.algorithm, number=1, batch_size=70)
    (plain,) = play(BNTT(), number=1, batch_size=70)
    for name, numbers in plain.state.server["statistics"].items():
        torch.testing.assert_close(ours.state.server["statistics"][name], numbers, **close)
    for name in ours.state.server:
        if name != "statistics":
            assert not any("mean" in n or "variance" in n for n in ours.state.server[name])


def test_bytes_of_statistics_are_on_the_wire_if_they_are_pooled() -> None:
    model = 4 * (784 * 20 + 20 * 10 + 5 * 20)  # no biases, a gamma per step and neuron
    statistics = 4 * 2 * 5 * 20
    (sent,) = play(BNTT(), number=1)
    assert (sent.uplink_bytes, sent.downlink_bytes) == (3 * (model + statistics),) * 2
    (kept,) = play(BNTT("local"), number=1)
    assert (kept.uplink_bytes, kept.downlink_bytes) == (3 * model,) * 2
    assert "statistics" not in kept.state.server


def test_local_statistics_change_the_test_and_nothing_that_is_learned() -> None:
    """In training a batch is normalised by itself, so where its running statistics are does not matter."""
    one, other = play(BNTT()), play(BNTT("local"))
    for a, b in zip(one, other, strict=True):
        assert all(torch.equal(w, b.state.model[name]) for name, w in a.state.model.items())
        assert a.training_loss == b.training_loss
    assert one[-1].tested.events_in["output"] != other[-1].tested.events_in["output"]


def test_clients_of_one_sample_learn() -> None:
    shards = [np.array([k]) for k in range(3)]
    first, last = play(BNTT(), shards=shards, fleet=Fleet(3))
    start = spiking(DENSE, Rate(), BNTT()).over((28, 28), 10).init(stream(0, "init"))
    assert not torch.equal(first.state.model["hidden.weight"], start["hidden.weight"])
    for name, numbers in last.state.server["statistics"].items():
        assert torch.equal(numbers, torch.full_like(numbers, name.endswith("variance")))


@pytest.mark.parametrize("statistics", ["pooled", "local"])
@pytest.mark.parametrize(
    "architecture",
    [
        pytest.param(DENSE, id="dense"),
        pytest.param(IMAGES, id="convolution", marks=pytest.mark.agreement),
    ],
)
def test_it_learns_real_images(architecture: Architecture, statistics: str) -> None:
    """Chance is 10 %."""
    played = play(
        BNTT(statistics),  # type: ignore[arg-type]
        None,
        architecture,
        fleet=Fleet(clients=5, samples_per_round=100),
        number=8,
        optimiser=Adam(5e-3),
        batch_size=20,
    )
    assert played[-1].accuracy > 0.5


def test_parameters_are_the_twins_weights_and_gammas() -> None:
    network = spiking(IMAGES, Rate(), BNTT()).over((28, 28), 10)
    conventional = ANN(IMAGES).over((28, 28), 10)
    model, twin = (each.init(stream(0, "init")) for each in (network, conventional))
    weights = {name for name in twin if name.endswith(".weight")}
    assert model.keys() == weights | {"conv1.gamma", "conv2.gamma"}
    assert all(torch.equal(w, twin[name]) for name, w in model.items() if "weight" in name)
    assert torch.equal(model["conv2.gamma"], torch.ones(5, 8))
    assert {name: tuple(s.shape) for name, s in network.statistics().items()} == {
        f"{layer}.{of}": (5, channels)
        for layer, channels in (("conv1", 4), ("conv2", 8))
        for of in ("mean", "variance")
    }
    parameters = sum(layer.parameters for layer in network.operations().layers.values())
    assert parameters == sum(w.numel() for w in model.values())


def test_an_algorithm_without_statistics_to_carry_is_itself() -> None:
    algorithm = FedAvg()
    assert with_statistics(algorithm, SNN(5).over((28, 28), 10)) is algorithm
