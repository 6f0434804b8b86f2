"""The contract every algorithm must pass; a new one is an entry in tests/algorithms_example.py.

That the batched engine equals the plain loop for each of them is in test_engine_equals_reference.py.
"""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from algorithms_example import CASES, missing
from fedspike.algorithms import Algorithm, FedAdam, FedAvg, FedProx, Scaffold, reply_form
from fedspike.data import load_data
from fedspike.errors import InputError
from fedspike.federation.devices import Devices
from fedspike.federation.rounds import Round
from fedspike.federation.state import State
from fedspike.learning.backpropagation import Backpropagation
from fedspike.networks import ConventionalNetwork, DenseLayers, Parameters
from fedspike.parts.losses import CrossEntropy
from fedspike.parts.optimisers import SGD, Adam
from fedspike.randomness import stream
from fedspike.rules import Replies, joined
from running import devices, simulate

SAMPLE = load_data("fashion-mnist-sample")
FOUR_CLIENTS = devices(
    tuple(np.array_split(np.argsort(SAMPLE.y_train, kind="stable"), 4)),
    clients_per_round=3,
    samples_per_round=40,
)
ONE_CLIENT = devices((np.arange(2000),), samples_per_round=60)


def play(
    algorithm: Algorithm,
    fleet: Devices = FOUR_CLIENTS,
    rounds: int = 4,
    state: State | None = None,
    optimiser: SGD | Adam | None = None,
) -> list[Round]:
    return list(
        simulate(
            network=ConventionalNetwork(DenseLayers((784, 8, 10))),
            algorithm=algorithm,
            devices=fleet,
            training=Backpropagation(CrossEntropy(), optimiser or SGD(0.1), batch_size=16),
            dataset=SAMPLE,
            seed=0,
            rounds=rounds,
            state=state,
        )
    )


def test_every_algorithm_is_in_the_contract() -> None:
    assert missing() == set()


@pytest.mark.parametrize("name", [name for name in CASES if CASES[name].neutral])
def test_at_its_neutral_setting_it_is_fedavg(name: str) -> None:
    """The arithmetic differs in its order only: a few float32 roundings over 4 rounds."""
    algorithm = CASES[name].neutral
    assert algorithm
    fleet = ONE_CLIENT if CASES[name].one_client else FOUR_CLIENTS
    ours, plain = play(algorithm, fleet)[-1].state.model, play(FedAvg(), fleet)[-1].state.model
    torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "name", sorted(name for name in CASES if name != "fedavg" and CASES[name].differs)
)
def test_away_from_it_it_is_not(name: str) -> None:
    ours = play(CASES[name].algorithm)[-1].state.model["hidden.weight"]
    plain = play(FedAvg())[-1].state.model["hidden.weight"]
    assert float((ours - plain).abs().max()) > 1e-3


@pytest.mark.parametrize("name", CASES)
def test_it_resumes_bit_for_bit(name: str) -> None:
    whole = play(CASES[name].algorithm, rounds=4)
    half = play(CASES[name].algorithm, rounds=2)[-1].state
    tensors = sorted(half.tensors().items(), reverse=True)  # a file keeps no order
    copied = {path: tensor.clone() for path, tensor in tensors}
    later = play(CASES[name].algorithm, rounds=4, state=State.from_tensors(2, copied))
    assert [round.number for round in later] == [3, 4]
    for a, b in zip(whole[2:], later, strict=True):
        assert (a.accuracy, a.training_loss, a.clients) == (b.accuracy, b.training_loss, b.clients)
    one, other = whole[-1].state.tensors(), later[-1].state.tensors()
    assert one.keys() == other.keys()
    assert all(torch.equal(one[path], other[path]) for path in one)


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c.algorithm.waits_for])
def test_of_two_that_need_as_long_the_same_answers_first_after_a_break(name: str) -> None:
    """Who was asked first, also where another, with a lower number, was asked later."""
    fleet = devices(np.array_split(np.arange(180), 9), clients_per_round=5)
    whole = play(CASES[name].algorithm, fleet, rounds=7)
    stored = {
        round.number: State.from_tensors(round.number, round.state.tensors()) for round in whole
    }
    assert any([*state.at_work] != sorted(state.at_work) for state in stored.values())
    for number in range(1, 7):
        later = play(CASES[name].algorithm, fleet, rounds=7, state=stored[number])
        assert [round.clients for round in later] == [round.clients for round in whole[number:]]
        assert later[-1].at_work == whole[-1].at_work


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if not c.algorithm.decentralised])
def test_bytes_on_the_wire(name: str) -> None:
    up, down = CASES[name].up, CASES[name].down
    model_bytes = 4 * DenseLayers((784, 8, 10)).parameters
    (round,) = play(CASES[name].algorithm, rounds=1)
    answers = len(round.clients)
    assert round.uplink_bytes == answers * (up * model_bytes + 4 * CASES[name].numbers)
    assert round.downlink_bytes == answers * down * model_bytes


@pytest.mark.thorough
@pytest.mark.parametrize("name", CASES)
def test_it_learns(name: str) -> None:
    """Chance is 10 %; every one of them passes 30 % in 36 answers on the skewed fleet."""
    algorithm = CASES[name].algorithm
    assert (
        play(algorithm, rounds=36 // (algorithm.waits_for or 3))[-1].accuracy > CASES[name].learns
    )


@pytest.mark.parametrize("name", CASES)
def test_the_state_it_was_given_is_left_as_it_was(name: str) -> None:
    state = play(CASES[name].algorithm, rounds=1)[-1].state
    before = {path: tensor.clone() for path, tensor in state.tensors().items()}
    play(CASES[name].algorithm, rounds=2, state=state)
    assert all(torch.equal(before[path], tensor) for path, tensor in state.tensors().items())


def test_scaffold_needs_sgd() -> None:
    with pytest.raises(InputError, match="scaffold with the optimiser adam"):
        play(Scaffold(), optimiser=Adam())


def test_fedprox_pulls_towards_what_was_received() -> None:
    def moved(mu: float) -> float:
        model: Parameters = play(FedProx(mu=mu), rounds=1)[-1].state.model
        start = DenseLayers((784, 8, 10)).init(stream(0, "init"))
        return float(sum((model[n] - start[n]).square().sum() for n in start))

    assert moved(3.0) < moved(0.3) < moved(0.0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: FedProx(mu=-1.0),
        lambda: FedProx(mu=float("nan")),
        lambda: Scaffold(server_learning_rate=0.0),
        lambda: FedAdam(tau=0.0),
        lambda: FedAdam(beta1=1.5),
    ],
)
def test_impossible_settings(make: Callable[[], Algorithm]) -> None:
    with pytest.raises(InputError):
        make()


@pytest.mark.parametrize("name", CASES)
@given(
    samples=st.lists(st.integers(1, 1000), min_size=2, max_size=7),
    cuts=st.lists(st.booleans(), min_size=6, max_size=6),
    seed=st.integers(0, 2**32 - 1),
)
def test_one_reply_stands_for_many(
    name: str, samples: list[int], cuts: list[bool], seed: int
) -> None:
    """To the bit, however clients are put together."""
    algorithm = CASES[name].algorithm.among(len(samples), 0)
    draw = np.random.Generator(np.random.Philox(seed))
    shapes = {"hidden.weight": (8, 2), "hidden.bias": (8,), "output.weight": (3, 8)}
    model = {n: torch.from_numpy(draw.normal(size=shape)).float() for n, shape in shapes.items()}
    server = algorithm.start(model)
    form = reply_form(algorithm, algorithm.order(server, 0))
    rules = algorithm.joining()
    assert rules.keys() == form.keys()
    nodes: list[list[int]] = [[0]]
    for client in range(1, len(samples)):
        if cuts[client - 1]:
            nodes.append([])
        nodes[-1].append(client)
    weights, ones = torch.tensor(samples), torch.ones(len(samples), dtype=torch.int64)
    held = torch.tensor([sum(samples[k] for k in node) for node in nodes])
    hosted = torch.tensor([len(node) for node in nodes])
    for group, tensors in form.items():
        if not rules[group].partial:
            continue  # sent apart; see test_places.py
        replies = [
            {
                n: torch.from_numpy(draw.normal(size=tuple(t.shape))).float()
                for n, t in tensors.items()
            }
            for _ in samples
        ]
        parts = [
            rules[group].summed(Replies([replies[k] for k in node], weights[node], ones[node]))
            for node in nodes
        ]
        sums = [True] * len(nodes)
        ours = joined(rules[group], parts, held, hosted, like=replies[0], sums=sums)
        theirs = joined(rules[group], replies, weights)
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
