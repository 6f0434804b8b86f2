import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedspike.errors import InputError
from fedspike.fleet import Fleet

SHARDS = tuple(np.arange(first, first + 20) for first in range(0, 200, 20))


@given(seed=st.integers(0, 2**31), round=st.integers(1, 1000), size=st.integers(1, 10))
def test_a_cohort_is_a_set_of_clients_and_is_addressed(seed: int, round: int, size: int) -> None:
    fleet = Fleet(SHARDS, clients_per_round=size)
    cohort = fleet.cohort(seed, round)
    assert len(set(cohort)) == len(cohort) == size
    assert set(cohort) <= set(range(10))
    assert cohort == fleet.cohort(seed, round)


def test_every_client_is_drawn_equally_often() -> None:
    """2,000 rounds of 3 in 10: 600 each, standard deviation 20.5; 5 of them either way."""
    fleet = Fleet(SHARDS, clients_per_round=3)
    drawn = np.bincount([k for round in range(2000) for k in fleet.cohort(0, round)], minlength=10)
    assert drawn.sum() == 6000
    assert (abs(drawn - 600) < 103).all()


@given(seed=st.integers(0, 2**31), client=st.integers(0, 9), epochs=st.integers(1, 3))
def test_a_client_sees_its_own_samples_once_an_epoch(seed: int, client: int, epochs: int) -> None:
    fleet = Fleet(SHARDS, samples_per_round=8)
    shown = fleet.shown(seed, 5, client, epochs).reshape(epochs, 8)
    assert set(shown[0]) <= set(SHARDS[client])
    for epoch in shown:
        assert len(set(epoch)) == 8
        assert set(epoch) == set(shown[0])


def test_rounds_draw_anew_and_cover_the_shard() -> None:
    fleet = Fleet(SHARDS, samples_per_round=8)
    seen = {sample for round in range(30) for sample in fleet.shown(0, round, 2, 1)}
    assert seen == set(SHARDS[2])


def test_the_largest_clients_come_first() -> None:
    fleet = Fleet((np.arange(3), np.arange(9), np.arange(5)))
    assert fleet.cohort(0, 1) == [1, 2, 0]


@pytest.mark.parametrize(
    ("shards", "settings", "message"),
    [
        ((), {}, "without clients"),
        ((np.arange(3), np.arange(0)), {}, "client 1 holds no samples"),
        (SHARDS, {"clients_per_round": 11}, "clients_per_round = 11"),
        (SHARDS, {"clients_per_round": 0}, "clients_per_round = 0"),
        (SHARDS, {"samples_per_round": 0}, "samples_per_round = 0"),
    ],
)
def test_impossible_fleets(
    shards: tuple[np.ndarray, ...], settings: dict[str, int], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        Fleet(shards, **settings)
