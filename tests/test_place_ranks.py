"""One run in several processes is, bit for bit, that of one: every algorithm, remedy, clock and fault."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from fedspike.algorithms import FedAvg, FedBuff, FedPer, Scaffold
from fedspike.errors import InputError
from fedspike.federation.availabilities import Daily
from fedspike.federation.clocks import ByOperations
from fedspike.federation.devices import Fleet
from fedspike.federation.final_tests import final_tests
from fedspike.federation.places.ranks.place import Ranks, deal
from fedspike.federation.places.ranks.process_group import ProcessGroup, SharedError
from fedspike.federation.plan import Plan
from fedspike.federation.rounds import Round, order_for, rounds
from fedspike.federation.state import State
from fedspike.networks import SNN, Convolutional, FullyConnected
from fedspike.parts.normalisations import BNTT
from fedspike.randomness import stream
from fedspike.records.writer import round_record
from fedspike.remedies import HeteroFL, TopK
from in_threads import in_ranks
from places_example import PLANS, SMALL, plan_of

UNSTEADY: dict[str, Any] = {"clients": 6, "samples_per_round": 20, "dropout": 0.3}
BROKEN = dataclasses.replace(SMALL, x_train=SMALL.x_train.copy())
BROKEN.x_train[::50] = np.nan  # some clients train on it, and their replies are refused
MORE = {
    "clock": plan_of(
        FedAvg(), fleet=Fleet(**UNSTEADY, radio_spread=1.0, clock=ByOperations(), deadline_s=0.3)
    ),
    "late": plan_of(
        *(FedBuff(buffer=2), TopK(0.2)),
        fleet=Fleet(**UNSTEADY, speed_spread=1.0, clock=ByOperations()),
        rounds=6,
    ),
    "late-untimed": plan_of(FedBuff(buffer=2), fleet=Fleet(**UNSTEADY, speed_spread=1.0), rounds=6),
    "away": plan_of(
        FedPer(),
        fleet=Fleet(clients=6, samples_per_round=20, availability=Daily(), clock=ByOperations()),
    ),
    "too-many-asked": plan_of(
        FedAvg(),
        fleet=Fleet(
            clients=6,
            clients_per_round=3,
            samples_per_round=20,
            over_selection=1.4,
            speed_spread=1.0,
        ),
    ),
    "refused": plan_of(Scaffold(), data=BROKEN),
    "bntt": plan_of(FedAvg(), network=SNN(2, FullyConnected((6,)), normalisation=BNTT()), rounds=2),
    "convolutional": plan_of(
        FedAvg(), HeteroFL((1.0, 0.5)), network=SNN(2, Convolutional((2, "pool"), ())), rounds=2
    ),
    "one-client": plan_of(FedAvg(), fleet=Fleet(clients=1, samples_per_round=30)),
}


def told(round: Round) -> Any:
    """All that a round says of itself, but for the time that it took."""
    return replace(round_record(round), seconds={})


def demand_equal(ours: list[Round], theirs: list[Round]) -> None:
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert told(one) == told(other)
        mine, yours = one.state.tensors(), other.state.tensors()
        assert mine.keys() == yours.keys()
        for name, tensor in mine.items():
            assert tensor.dtype == yours[name].dtype
            assert tensor.numpy().tobytes() == yours[name].numpy().tobytes(), name
        assert list(one.activity) == list(other.activity)


@pytest.mark.parametrize("name", [*PLANS, *MORE])
def test_a_plan_is_the_same_in_any_number_of_ranks(name: str) -> None:
    """With a break after the first round, after which there are other ranks; in all of them alike."""
    plan = {**PLANS, **MORE}[name]
    alone = list(rounds(plan))
    first, rest = 2, 5  # the cohorts have 4 clients at most, or 6

    def began(group: ProcessGroup) -> Round:
        return next(rounds(plan, Ranks(group)))

    half = in_ranks(first, began)
    stored = State.from_tensors(1, half[0].state.tensors())

    def went_on(group: ProcessGroup) -> list[Round]:
        return list(rounds(plan, Ranks(group), stored))

    for one, others in zip(half * 3, in_ranks(rest, went_on), strict=False):
        demand_equal([one, *others], alone)


def test_the_final_tests_are_the_same() -> None:
    plan = replace(PLANS["fedper"], test_noise=(0.1,), test_blur=(1.0,))
    state = [*rounds(plan)][-1].state
    alone = final_tests(plan, plan.site(), state)

    def shared(group: ProcessGroup) -> Any:
        return final_tests(plan, plan.site(), state, place=Ranks(group))

    for each in in_ranks(3, shared):
        assert each.predicted.tolist() == alone.predicted.tolist()
        assert each.disturbed == alone.disturbed


def order_of(plan: Plan) -> Any:
    plan = plan.loaded().fitted()
    site = plan.site()
    model = site.network.init(stream(0, "init"))
    return order_for(plan, site, State(0, site.algorithm.start(model)), 1)


def test_work_is_dealt_evenly_and_each_client_once() -> None:
    order = order_of(plan_of(FedAvg(), fleet=Fleet(clients=10, samples_per_round=20)))
    for size in (1, 2, 4, 13):
        dealt = [clients for ((_, clients),) in deal([(order, order.clients)], size)]
        assert sorted(client for clients in dealt for client in clients) == order.clients
        assert max(map(len, dealt)) == -(-10 // size)


def test_a_rank_of_another_model_ends_all() -> None:
    """As where another processor rounds otherwise."""
    plan = plan_of(FedAvg())
    state = next(rounds(plan)).state

    def one_is_off(group: ProcessGroup) -> None:
        server = {"model": {n: w + 1e-7 * group.rank for n, w in state.server["model"].items()}}
        list(rounds(plan, Ranks(group), State(1, server)))

    with pytest.raises(InputError, match="rank 1 has come to another model than rank 0"):
        in_ranks(2, one_is_off)


def test_what_is_wrong_in_one_rank_is_known_in_all() -> None:
    def say(group: ProcessGroup) -> str:
        def own() -> bytes:
            if group.rank == 2:
                raise InputError("no data", expected="some", fix="get some")
            return b""

        with pytest.raises(SharedError) as error:
            group.together(own)
        return str(error.value)

    assert set(in_ranks(3, say)) == {"rank 2: no data\n  expected: some\n  fix: get some"}
