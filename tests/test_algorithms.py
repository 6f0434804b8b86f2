"""The contract every algorithm must pass; a new one is a row in ALGORITHMS and one in NEUTRAL.

That the batched engine equals the plain loop for each of them is in test_engine_equals_reference.py.
"""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import fedspike.algorithms
from fedspike.algorithms import Algorithm, fedadam, fedavg, fedprox, reply_form, scaffold
from fedspike.algorithms.trees import stack
from fedspike.data import load
from fedspike.errors import InputError
from fedspike.federation.devices import Fleet
from fedspike.federation.rounds import Round, State, simulate
from fedspike.learning.backpropagation import SGD, Adam, Backpropagation
from fedspike.networks import Parameters
from fedspike.parts.losses import CrossEntropy
from fedspike.randomness import stream

SAMPLE = load("fashion-mnist-sample")
FOUR_CLIENTS = Fleet(
    tuple(np.array_split(np.argsort(SAMPLE.y_train, kind="stable"), 4)), 3, samples_per_round=40
)
ONE_CLIENT = Fleet((np.arange(2000),), samples_per_round=60)

ALGORITHMS = {
    "fedavg": fedavg(),
    "fedprox": fedprox(mu=0.5),
    "scaffold": scaffold(),
    "fedadam": fedadam(),
}
# Each algorithm at the setting where it is FedAvg, and a fleet for which it is.
NEUTRAL = {
    "fedavg": (fedavg(), FOUR_CLIENTS),
    "fedprox": (fedprox(mu=0.0), FOUR_CLIENTS),
    "scaffold": (scaffold(server_learning_rate=1.0), ONE_CLIENT),
    "fedadam": (fedadam(learning_rate=2.0**-9, beta1=0.0, beta2=1.0, tau=2.0**-10), FOUR_CLIENTS),
}
# How many models' worth of numbers travel each way.
WIRE = {"fedavg": (1, 1), "fedprox": (1, 1), "scaffold": (2, 2), "fedadam": (1, 1)}


def play(
    algorithm: Algorithm,
    fleet: Fleet = FOUR_CLIENTS,
    rounds: int = 4,
    state: State | None = None,
    optimiser: SGD | Adam | None = None,
) -> list[Round]:
    return list(
        simulate(
            network=ConventionalNetwork(DenseLayers((784, 8, 10))),
            algorithm=algorithm,
            fleet=fleet,
            training=Backpropagation(CrossEntropy(), optimiser or SGD(0.1), batch_size=16),
            dataset=SAMPLE,
            seed=0,
            rounds=rounds,
            state=state,
        )
    )


def test_every_algorithm_is_in_the_contract() -> None:
    factories = {name for name in fedspike.algorithms.__all__ if name.islower()}
    factories -= {"local_round", "reply_form", "with_statistics"}
    assert factories == set(ALGORITHMS) == set(NEUTRAL) == set(WIRE)


@pytest.mark.parametrize("name", NEUTRAL)
def test_at_its_neutral_setting_it_is_fedavg(name: str) -> None:
    """The arithmetic differs in its order only: a few float32 roundings over 4 rounds."""
    algorithm, fleet = NEUTRAL[name]
    ours, plain = play(algorithm, fleet)[-1].state.model, play(fedavg(), fleet)[-1].state.model
    torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", sorted(set(ALGORITHMS) - {"fedavg"}))
def test_away_from_it_it_is_not(name: str) -> None:
    ours = play(ALGORITHMS[name])[-1].state.model["hidden.weight"]
    plain = play(fedavg())[-1].state.model["hidden.weight"]
    assert float((ours - plain).abs().max()) > 1e-3


@pytest.mark.parametrize("name", ALGORITHMS)
def test_it_resumes_bit_for_bit(name: str) -> None:
    whole = play(ALGORITHMS[name], rounds=4)
    half = play(ALGORITHMS[name], rounds=2)[-1].state
    copied = {path: tensor.clone() for path, tensor in half.tensors().items()}
    later = play(ALGORITHMS[name], rounds=4, state=State.from_tensors(2, copied))
    assert [round.number for round in later] == [3, 4]
    for a, b in zip(whole[2:], later, strict=True):
        assert (a.accuracy, a.training_loss, a.clients) == (b.accuracy, b.training_loss, b.clients)
    one, other = whole[-1].state.tensors(), later[-1].state.tensors()
    assert one.keys() == other.keys()
    assert all(torch.equal(one[path], other[path]) for path in one)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_bytes_on_the_wire(name: str) -> None:
    up, down = WIRE[name]
    model_bytes = 4 * DenseLayers((784, 8, 10)).parameters
    (round,) = play(ALGORITHMS[name], rounds=1)
    assert round.uplink_bytes == 3 * up * model_bytes
    assert round.downlink_bytes == 3 * down * model_bytes


@pytest.mark.parametrize("name", ALGORITHMS)
def test_it_learns(name: str) -> None:
    """Chance is 10 %; every one of them passes 30 % in 12 rounds on the skewed fleet."""
    assert play(ALGORITHMS[name], rounds=12)[-1].accuracy > 0.3


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_state_it_was_given_is_left_as_it_was(name: str) -> None:
    state = play(ALGORITHMS[name], rounds=1)[-1].state
    before = {path: tensor.clone() for path, tensor in state.tensors().items()}
    play(ALGORITHMS[name], rounds=2, state=state)
    assert all(torch.equal(before[path], tensor) for path, tensor in state.tensors().items())


def test_scaffold_needs_sgd() -> None:
    with pytest.raises(InputError, match="scaffold with Adam"):
        play(scaffold(), optimiser=Adam())


def test_fedprox_pulls_towards_what_was_received() -> None:
    def moved(mu: float) -> float:
        model: Parameters = play(fedprox(mu), rounds=1)[-1].state.model
        start = DenseLayers((784, 8, 10)).init(stream(0, "init"))
        return float(sum((model[n] - start[n]).square().sum() for n in start))

    assert moved(3.0) < moved(0.3) < moved(0.0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: fedprox(mu=-1.0),
        lambda: fedprox(mu=float("nan")),
        lambda: scaffold(server_learning_rate=0.0),
        lambda: fedadam(tau=0.0),
        lambda: fedadam(beta1=1.5),
    ],
)
def test_impossible_settings(make: Callable[[], Algorithm]) -> None:
    with pytest.raises(InputError):
        make()


@pytest.mark.parametrize("name", ALGORITHMS)
@given(
    samples=st.lists(st.integers(1, 1000), min_size=2, max_size=7),
    cuts=st.lists(st.booleans(), min_size=6, max_size=6),
    seed=st.integers(0, 2**32 - 1),
)
def test_one_reply_stands_for_many(
    name: str, samples: list[int], cuts: list[bool], seed: int
) -> None:
    """However clients are put together, in float64 and once or twice: aggregating the last is the same."""
    algorithm, draw = ALGORITHMS[name], np.random.Generator(np.random.Philox(seed))
    server = algorithm.start_server({"w": torch.from_numpy(draw.normal(size=(3, 2))).float()})
    form = reply_form(algorithm, server)
    replies = {
        group: {
            n: torch.from_numpy(draw.normal(size=(len(samples), *t.shape))).float()
            for n, t in ts.items()
        }
        for group, ts in form.items()
    }
    wide = {g: {n: t.double() for n, t in ts.items()} for g, ts in replies.items()}
    groups: list[list[int]] = [[0]]
    for client in range(1, len(samples)):
        if cuts[client - 1]:
            groups.append([])
        groups[-1].append(client)
    weights, ones = torch.tensor(samples), torch.ones(len(samples), dtype=torch.int64)
    nodes = [
        algorithm.combine(
            {g: {n: t[rows] for n, t in ts.items()} for g, ts in wide.items()},
            weights[rows],
            ones[rows],
        )
        for rows in groups
    ]
    held = torch.tensor([sum(samples[k] for k in rows) for rows in groups])
    one = algorithm.combine(stack(nodes), held, torch.tensor([len(rows) for rows in groups]))
    narrow = {g: {n: t.float() for n, t in ts.items()} for g, ts in one.items()}
    ours = algorithm.aggregate(server, stack([narrow]), held.sum().reshape(1), 0.5)
    theirs = algorithm.aggregate(server, replies, weights, 0.5)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-7)
