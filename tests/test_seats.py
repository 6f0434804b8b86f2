"""A fleet with seats that nobody has taken yet: who holds nothing is not asked, and may come later."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

from fedspike.algorithms import Scaffold
from fedspike.data import Dataset, FashionMNISTSample, load
from fedspike.errors import InputError
from fedspike.federation.devices import Devices, Fleet, Given
from fedspike.federation.plan import Plan
from fedspike.federation.rounds import Round, rounds
from fedspike.learning import Backpropagation
from fedspike.networks import ANN, FullyConnected
from fedspike.parts.optimisers import SGD

SHARDS = (np.arange(70, 10, -1), np.arange(500, 530), np.arange(900, 945), np.arange(1500, 1600))
NOBODY = np.arange(0)


@dataclass(frozen=True)
class Seated(Given):
    """Shards of which some are empty."""

    dealt: ClassVar[bool] = False


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load(FashionMNISTSample())


def plan_of(dataset: Dataset, shards: tuple[np.ndarray, ...], **fleet: Any) -> Plan:
    return Plan(
        network=ANN(architecture=FullyConnected(hidden=(8,))),
        data=dataset,
        partition=Seated(shards),
        fleet=Fleet(clients=len(shards), **fleet),
        algorithm=Scaffold(),
        learner=Backpropagation(optimiser=SGD(), batch_size=16),
        rounds=3,
    )


def told(round: Round) -> tuple[Any, ...]:
    tensors = {name: tensor.tolist() for name, tensor in round.state.tensors().items()}
    return round.accuracy, round.clients, round.missing, round.skipped, tensors


@pytest.mark.parametrize("fleet", [{}, {"clients_per_round": 2}, {"quorum": 1.0, "dropout": 0.3}])
def test_an_open_seat_is_no_client(dataset: Dataset, fleet: dict[str, Any]) -> None:
    """Two open seats change nothing: cohort, quorum and SCAFFOLD's share are those of three clients."""
    three = [told(each) for each in rounds(plan_of(dataset, SHARDS[:3], **fleet))]
    seats = plan_of(dataset, (*SHARDS[:3], NOBODY, NOBODY), **fleet)
    assert [told(each) for each in rounds(seats)] == three
    assert [sum(counts) for counts in seats.class_counts()] == [60, 30, 45, 0, 0]


def test_who_takes_a_seat_takes_part_from_then_on(dataset: Dataset) -> None:
    """Two clients for a round, a third from then on: as a fleet of three that goes on from their state."""
    (first, *_) = rounds(plan_of(dataset, (*SHARDS[:2], NOBODY, NOBODY)))
    later = list(rounds(plan_of(dataset, (*SHARDS[:3], NOBODY)), state=first.state))
    assert set(first.clients) == {0, 1}
    assert [set(each.clients) for each in later] == [{0, 1, 2}] * 2
    three = rounds(plan_of(dataset, SHARDS[:3]), state=first.state)
    assert list(map(told, later)) == list(map(told, three))


def test_fewer_clients_than_a_round_asks_for_are_all_asked() -> None:
    devices = Devices((SHARDS[0], NOBODY, SHARDS[1], NOBODY), Fleet(4, 3), open_seats=True)
    assert devices.members == (0, 2)
    assert devices.cohort_size == 2
    assert devices.cohort(seed=0, round=1) == [0, 2]


@pytest.mark.parametrize(
    ("shards", "open_seats"), [((SHARDS[0], NOBODY), False), ((NOBODY,), True)]
)
def test_a_client_without_samples_is_a_mistake_elsewhere(
    shards: tuple[np.ndarray, ...], open_seats: bool
) -> None:
    with pytest.raises(InputError, match="holds no samples"):
        Devices(shards, open_seats=open_seats)
