"""A million clients: who holds what, who is asked, what is recorded; and what that takes."""

import json
import tracemalloc
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fedspike as fs
from fedspike.data.partition import Holdings, Listed, Resampled, Unknown, class_counts, holdings
from fedspike.energy.description import MOST_COUNTED
from fedspike.errors import InputError
from fedspike.federation.devices import Devices
from fedspike.federation.kept import Kept
from fedspike.randomness import stream, uniforms
from fedspike.records.skew import skew

MILLION = 1_000_000
LABELS = np.random.default_rng(1).permutation(np.repeat(np.arange(10), 200))
SAMPLE = fs.FashionMNISTSample().load()


# ---- who holds what


@given(st.lists(st.lists(st.integers(0, 50), max_size=5), min_size=1, max_size=12), st.data())
def test_listed_holdings_are_the_lists(lists: list[list[int]], data: st.DataObject) -> None:
    held = Listed.of([np.array(own, np.int64) for own in lists])
    assert [own.tolist() for own in held] == lists
    assert held.sizes.tolist() == [*map(len, lists)]
    assert held.highest == max((k for own in lists for k in own), default=-1)
    first = data.draw(st.integers(0, len(lists)))
    last = data.draw(st.integers(first, len(lists)))
    assert held.some(first, last).tolist() == [k for own in lists[first:last] for k in own]
    assert [own.tolist() for own in held[first:last]] == lists[first:last]
    assert held[-1].tolist() == lists[-1]
    with pytest.raises(IndexError):
        held[len(lists)]


@pytest.mark.parametrize("alpha", ["infinite", 0.1])
@pytest.mark.parametrize("samples", [1, 30, 2000])
def test_a_client_has_drawn_the_same_whoever_is_asked_for_beside_it(
    alpha: float, samples: int
) -> None:
    fleet = Resampled(samples, alpha)(LABELS, clients=MILLION, seed=3)
    some = fleet.some(999_900, 999_990).reshape(90, samples)
    for client in (0, 41, 89):
        assert np.array_equal(fleet[999_900 + client], some[client])
    assert (np.diff(some) >= 0).all()
    assert 0 <= some.min() <= some.max() <= fleet.highest == len(LABELS) - 1
    if samples > 1:
        assert not np.array_equal(some[0], some[1])
    smaller = Resampled(samples, alpha)(LABELS, clients=10, seed=3)
    assert all(np.array_equal(own, fleet[client]) for client, own in enumerate(smaller))


def test_resampled_clients_are_as_skewed_as_alpha_says() -> None:
    """q ~ Dirichlet(alpha) has a mean total variation of its own; n = 4,000 clients of 100 samples."""
    for alpha in (0.1, 1.0):
        counts = class_counts(LABELS, Resampled(100, alpha)(LABELS, 4000), 10)
        draw = np.random.default_rng(0)
        q = draw.dirichlet(np.full(10, alpha), 4000)
        expected = np.array([draw.multinomial(100, own) for own in q])
        ours, theirs = skew(counts).total_variation, skew(expected).total_variation
        assert ours == pytest.approx(theirs, abs=0.01)
        assert counts.sum(0) == pytest.approx(np.full(10, 40_000), rel=0.12)
    even = class_counts(LABELS, Resampled(100)(LABELS, 4000), 10)
    deviations = (even.sum(0) - 40_000) / np.sqrt(400_000 * 0.1 * 0.9)
    assert abs(deviations).max() < 5


def test_class_counts_in_pieces_are_those_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    fleets: list[Holdings] = [
        Resampled(7)(LABELS, 50),
        Listed.of([np.arange(k) for k in range(30)]),
    ]
    whole = [class_counts(LABELS, fleet, 10) for fleet in fleets]
    monkeypatch.setattr(holdings, "AT_ONCE", 45)
    for fleet, counts in zip(fleets, whole, strict=True):
        assert np.array_equal(class_counts(LABELS, fleet, 10), counts)
        assert np.array_equal(class_counts(LABELS, fleet, 10, 20), counts[:20])


def test_unknown_holdings_take_no_memory() -> None:
    seats = Unknown([3, 0, 2**31])
    assert (len(seats[0]), len(seats[1]), seats[2].nbytes) == (3, 0, 2**34)
    assert seats[2].base is not None
    assert (seats.highest, Unknown([0]).highest) == (0, -1)


def test_no_more_can_be_drawn_than_there_is() -> None:
    with pytest.raises(InputError, match="10 with 0 samples"):
        Resampled()(np.zeros(0, np.int64))
    with pytest.raises(InputError, match="samples = 100 of a training set of 99"):
        Resampled()(np.zeros(99, np.int64))


# ---- who is there, and who is asked


@given(
    st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=5),
    st.integers(-(2**63), 2**63),
    st.integers(0, 2**31),
)
@settings(deadline=None)
def test_numbers_drawn_for_all_are_those_of_each(clients: list[int], seed: int, round: int) -> None:
    each = [stream(seed, "availability", round, client).random() for client in clients]
    assert uniforms(seed, "availability", round, np.array(clients)).tolist() == each


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"selection": fs.Weighted()},
        {"selection": fs.PowerOfChoice(candidates=500)},
        {"availability": fs.Daily()},
        {"availability": fs.ByClass(0.3)},
    ],
    ids=str,
)
def test_a_million_are_asked_in_a_moment(options: dict[str, Any]) -> None:
    """Each kind, one round: in seconds even on a busy machine, where one by one took half a minute."""
    plan = fs.Plan(
        network=fs.ANN(),
        data=SAMPLE,
        partition=Resampled(20),
        fleet=fs.Fleet(MILLION, 100, **options),
    )
    devices = plan.devices()
    devices.cohort(0, 1)
    began = perf_counter()
    cohort = devices.cohort(0, 2)
    assert perf_counter() - began < 5.0
    assert len(cohort) == len({*cohort}) == 100
    assert max(cohort) > 100_000


# ---- rounds, and what is stored


def million(clients: int = MILLION) -> fs.Plan:
    return fs.Plan(
        network=fs.ANN(fs.FullyConnected((4,))),
        data=SAMPLE,
        partition=Resampled(5),
        fleet=fs.Fleet(clients, 10),
        learner=fs.Backpropagation(batch_size=5),
        rounds=3,
    )


def test_a_round_takes_no_more_memory_with_a_million_clients() -> None:
    """Beside 8 bytes for the number of each: 8 MB."""
    peaks = []
    for clients in (1000, MILLION):
        list(fs.rounds(million(clients)))  # what is imported and cached on the way
        tracemalloc.start()
        list(fs.rounds(million(clients)))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 3 * 8 * MILLION


def test_a_run_of_a_million_is_stored_in_few_bytes(tmp_path: Path) -> None:
    """And its report is made; the samples of the first clients stand for those of all."""
    summary = fs.run(million(), tmp_path / "run")
    assert (summary.clients, len(summary.class_counts)) == (MILLION, MOST_COUNTED)
    files = {path.name: path.stat().st_size for path in (tmp_path / "run").rglob("*.json*")}
    assert sum(files.values()) < 3e6
    text = json.loads((tmp_path / "run" / "summary.json").read_bytes())["runs"][0]
    assert text["clients"] == MILLION


def test_devices_of_an_array_for_each_client_are_a_fleet() -> None:
    devices = Devices([[2, 0], np.array([1]), range(3, 5)])
    assert [own.tolist() for own in devices.shards] == [[2, 0], [1], [3, 4]]
    assert devices.members.tolist() == [0, 1, 2]
    assert devices.class_counts.shape == (3, 0)


# ---- what is kept of clients from round to round


@given(st.lists(st.dictionaries(st.integers(0, 200), st.integers(), max_size=6), max_size=40))
def test_what_is_kept_is_a_dictionary_that_never_changes(rounds: list[dict[int, int]]) -> None:
    kept, plain = Kept[int]({}), dict[int, int]()
    seen = []
    for changes in rounds:
        kept, plain = kept.changed(changes), {**plain, **changes}
        seen.append((kept, plain))
    for ours, theirs in seen:
        assert ours == theirs
        assert (len(ours), sorted(ours), repr(ours)) == (
            len(theirs),
            sorted(theirs),
            repr(dict(ours)),
        )
        assert all(client in ours and ours[client] == value for client, value in theirs.items())
        assert ours.get(201) is None


def test_a_round_costs_what_its_clients_cost_however_many_were_there_before() -> None:
    """300 rounds of 100 clients beside a million: a copy of all in each would take 10 s."""
    kept, began = Kept(dict.fromkeys(range(MILLION), 0)), perf_counter()
    for round in range(300):
        kept = kept.changed(dict.fromkeys(range(100 * round, 100 * round + 100), round))
    assert perf_counter() - began < 3.0
    assert (len(kept), kept[29_999], kept[30_000]) == (MILLION, 299, 0)
