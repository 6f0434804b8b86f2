"""Who is there in a round, and who of these is asked."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fedspike as fs
from fedspike.errors import InputError
from fedspike.experiment import document, sweep
from fedspike.federation.availabilities import Availability, Moment
from fedspike.federation.devices import Devices
from fedspike.federation.selections import Selection
from fedspike.federation.selections.selection import There
from fedspike.federation.state import State
from fedspike.randomness import stream
from running import devices

ROUNDS = 400
SIZES = (1, 2, 3, 4)
HELD = tuple(np.arange(size) for size in SIZES)


def times_asked(fleet: Devices, **known: Any) -> np.ndarray:
    """How often each client is in the cohorts of many rounds."""
    cohorts = [fleet.cohort(3, number, **known) for number in range(1, ROUNDS + 1)]
    return np.bincount(np.concatenate(cohorts), minlength=len(fleet.shards))


def test_uniform_cohorts_are_those_of_before() -> None:
    """The bits of all runs that were stored hang on them."""
    fleet = devices(HELD, clients_per_round=2)
    drawn = [stream(3, "cohort", n).choice(np.arange(4), 2, replace=False) for n in (1, 2, 3)]
    assert [sorted(fleet.cohort(3, n)) for n in (1, 2, 3)] == [sorted(one) for one in drawn]
    assert devices(HELD).cohort(3, 1) == [3, 2, 1, 0]


@pytest.mark.parametrize(
    ("selection", "chances"),
    [
        (fs.Uniform(), (0.25, 0.25, 0.25, 0.25)),
        (fs.Weighted(), (0.1, 0.2, 0.3, 0.4)),
        (fs.Weighted((3.0, 0.0, 1.0)), (3 / 7, 0, 1 / 7, 3 / 7)),
        (fs.PowerOfChoice(1), (0.1, 0.2, 0.3, 0.4)),
    ],
    ids=lambda one: getattr(one, "kind", ""),
)
def test_one_client_a_round_comes_as_often_as_said(
    selection: Selection, chances: tuple[float, ...]
) -> None:
    share = times_asked(devices(HELD, clients_per_round=1, selection=selection)) / ROUNDS
    assert share == pytest.approx(chances, abs=4 * np.sqrt(0.25 / ROUNDS))
    assert [p == 0 for p in share] == [p == 0 for p in chances]


def test_two_by_data_are_drawn_one_after_the_other() -> None:
    """P(k) = p_k + sum over j of p_j p_k / (1 - p_j), for sizes 1 and 3 of 1, 3, 6."""
    p = np.array([0.1, 0.3, 0.6])
    expected = [p[k] + sum(p[j] * p[k] / (1 - p[j]) for j in range(3) if j != k) for k in range(3)]
    held = tuple(np.arange(size) for size in (1, 3, 6))
    fleet = devices(held, clients_per_round=2, selection=fs.Weighted())
    assert times_asked(fleet) / ROUNDS == pytest.approx(expected, abs=4 * np.sqrt(0.25 / ROUNDS))


def test_power_of_choice_takes_the_largest_losses_and_whoever_has_none() -> None:
    selection, there = (
        fs.PowerOfChoice(4),
        There(np.arange(4), np.array(SIZES), {0: 0.5, 1: 2, 3: 1}),
    )
    chosen = [selection.select(there, m, stream(0, "cohort")).tolist() for m in (1, 2, 3)]
    assert chosen == [[2], [2, 1], [2, 1, 3]]
    # Of d candidates alone: who has the largest loss of all is asked as often as it is drawn.
    known = {"losses": {0: 9.0, 1: 0.1, 2: 0.2, 3: 0.3}}
    fleet = devices(HELD, clients_per_round=1, selection=fs.PowerOfChoice(2))
    p = np.array(SIZES) / 10
    drawn = p[0] + sum(p[j] * p[0] / (1 - p[j]) for j in (1, 2, 3))
    share = times_asked(fleet, **known)[0] / ROUNDS
    assert share == pytest.approx(drawn, abs=4 * np.sqrt(0.25 / ROUNDS))


HOURS = fs.Trace(client=(0, 2), first=(1, 2), last=(1, 3), unit="hours")


@pytest.mark.parametrize(
    ("availability", "clock_s", "chances"),
    [
        (fs.Always(), None, (1, 1, 1)),
        (fs.ByClass(0.1), None, (0.1, 0.55, 1.0)),  # of three classes the smallest is 0, 1 and 2
        (fs.Daily(spread_h=0), 6.0 * 3600, (0.8, 0.8, 0.8)),
        (fs.Daily(spread_h=0, hours_per_round=18), None, (0.5, 0.5, 0.5)),  # round 1 is hour 0
        (fs.Trace(client=(0, 2), first=(1, 2), last=(1, 3)), None, (1, 0, 0)),
        (HOURS, None, (1, 0, 1)),
        (HOURS, 3599.0, (1, 0, 0)),
        (HOURS, 3600.0, (0, 0, 1)),
        (HOURS, 3 * 3600.0, (1, 0, 0)),  # hour 4 is hour 1 again
    ],
    ids=lambda one: getattr(one, "kind", ""),
)
def test_the_chances_of_being_there(
    availability: Availability, clock_s: float | None, chances: tuple[float, ...]
) -> None:
    holds = np.array([[2, 0, 1], [0, 1, 1], [0, 0, 5]])
    p = availability.chances(np.arange(3), holds, Moment(0, 1, clock_s))
    assert p == pytest.approx(chances)


def test_days_are_the_clients_own_and_pass_with_the_rounds() -> None:
    daily, clients, holds = fs.Daily(hours_per_round=3), np.arange(40), np.zeros((40, 0), int)
    days = np.array([daily.chances(clients, holds, Moment(0, n)) for n in range(1, 9)])
    assert days.mean(0) == pytest.approx(0.5)  # eight times three hours are a day
    assert daily.chances(clients, holds, Moment(0, 9)) == pytest.approx(days[0])
    assert days.max() == pytest.approx(0.8, abs=0.01)
    assert days.mean(1) == pytest.approx(0.5, abs=0.15)  # nobody's night is everybody's


def test_who_is_there_is_addressed_and_as_frequent_as_said() -> None:
    shards = tuple(np.arange(3) for _ in range(200))
    holds = np.tile([[4, 1], [0, 1]], (100, 1))
    fleet = devices(shards, clients_per_round=150, availability=fs.ByClass(0.3))
    fleet = Devices(fleet.shards, fleet.fleet, holds=holds)
    there = [set(fleet.there(7, number).tolist()) for number in range(1, 51)]
    assert all({*range(1, 200, 2)} <= clients for clients in there)
    often = np.mean([len(clients) - 100 for clients in there]) / 100
    assert often == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / 5000))
    for number, clients in enumerate(there, 1):
        cohort = fleet.cohort(7, number)
        assert set(cohort) <= clients
        assert len(cohort) == min(150, len(clients))
    few = Devices(fleet.shards[:9], fs.Fleet(9, availability=fs.ByClass(0.3)), holds=holds[:9])
    assert set(few.there(7, 1)) == {k for k in there[0] if k < 9}, "company changes who is there"


def plan(**fleet: Any) -> fs.Plan:
    return fs.Plan(
        network=fs.ANN(fs.FullyConnected((5,))),
        data=fs.load_data("fashion-mnist-sample"),
        partition=fs.Classes(3),
        fleet=fs.Fleet(clients=10, samples_per_round=16, **fleet),
        learner=fs.Backpropagation(batch_size=8),
        rounds=4,
    )


CHOSEN = plan(clients_per_round=3, selection=fs.PowerOfChoice(6), availability=fs.ByClass(0.5))


def test_losses_decide_and_a_run_goes_on_from_them_bit_for_bit() -> None:
    whole = list(fs.rounds(CHOSEN))
    trained = {k for round in whole for k in round.clients}
    assert whole[-1].state.losses.keys() == trained
    stored = whole[1].state
    again = State.from_tensors(stored.round, stored.tensors())
    assert again.losses == stored.losses != {}
    for a, b in zip(whole[2:], fs.rounds(CHOSEN, state=again), strict=True):
        assert (a.clients, a.accuracy, a.state.losses) == (b.clients, b.accuracy, b.state.losses)
        one, other = a.state.tensors(), b.state.tensors()
        assert all(torch.equal(one[name], other[name]) for name in one)
    forgot = State(stored.round, stored.server)
    assert [r.clients for r in fs.rounds(CHOSEN, state=forgot)] != [r.clients for r in whole[2:]]
    # Where losses decide nothing, none are kept.
    assert not any(round.state.losses for round in fs.rounds(plan()))


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ("[fleet]\nclients_per_round = 0", "clients_per_round = 0"),
        ('[selection]\nkind = "weighted"\nweights = [0, 0.0]', "sum to 0"),
        (
            '[fleet]\nclients_per_round = 3\n[selection]\nkind = "weighted"\nweights = [1, 0, 0, 0, 0]',
            "2 of 10 clients have one above 0",
        ),
        (
            '[fleet]\nclients_per_round = 3\n[selection]\nkind = "power-of-choice"\ncandidates = 2',
            "candidates = 2, of which 3 of 10 clients are asked",
        ),
        ('[availability]\nkind = "daily"\nswing = 0.4\nmean = 0.9', "mean = 0.9 with swing = 0.4"),
        ('[availability]\nkind = "trace"', "client = 0, first = 0"),
        (
            '[availability]\nkind = "trace"\nclient = [3]\nfirst = [1]\nlast = [49]',
            "last round is 49, for 50 rounds",
        ),
        (
            '[availability]\nkind = "trace"\nclient = [10]\nfirst = [1]\nlast = [50]',
            "client 10, of clients 0 to 9",
        ),
        (
            '[availability]\nkind = "trace"\nclient = [1]\nfirst = [9]\nlast = [5]',
            "first = 9 to last = 5",
        ),
    ],
)
def test_bad_input_is_one_error_that_names_the_line(tables: str, words: str) -> None:
    text = f'name = "x"\nrounds = 50\n{tables}'
    with pytest.raises(InputError) as caught:
        sweep.expand(document.parse(text, "x.toml"))
    assert words in str(caught.value)
    assert str(caught.value).startswith("x.toml, line ")


def test_a_trace_s_file_is_kept_in_the_run(tmp_path: Path) -> None:
    file = tmp_path / "trace.csv"
    text = f'name = "x"\nrounds = 9\n[availability]\nkind = "trace"\npath = "{file}"'

    def read() -> Any:
        (run,) = sweep.expand(document.parse(text, "x.toml")).runs
        return run.plan.fleet.availability

    file.write_text("client, first, last\n0, 1, 4\n\n3,2,9\n")
    assert read() == fs.Trace(client=(0, 3), first=(1, 2), last=(4, 9))
    for content, words in (
        ("client,first\n0,1\n", "line 1"),
        ("client,first,last\n0,1,9\n0,1,x\n", "line 3: 0,1,x"),
        ("client,first,last\n0,1,8\n", "last round is 8, for 9 rounds"),
        ("client,first,last\n", "nothing below its first line"),
        ("client,first,last\n0,0,9\n", "from first = 0"),
        ("client,first,last\n0,1,1000000000\n", r"below 10\^9"),
    ):
        file.write_text(content)
        with pytest.raises(InputError, match=words) as caught:
            read()
        assert str(caught.value).startswith("x.toml, line 5: "), caught.value
    file.unlink()
    with pytest.raises(InputError, match="No such file"):
        read()
