"""Wherever clients are trained, a plan gives the same rounds and a state that means the same.

Among them algorithms whose orders and replies differ from client to client.
"""

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from flwr.app import Message, MessageType
from msgspec.structs import replace

from algorithms_example import CASES
from fedspike.algorithms import ALGORITHMS as ALGORITHM_KINDS
from fedspike.algorithms import (
    FedAvg,
    FedBuff,
    FedPer,
    LocalOnly,
)
from fedspike.experiment.document import Document
from fedspike.experiment.sweep import Experiment, Run
from fedspike.federation.devices import Fleet
from fedspike.federation.places.flower import server
from fedspike.federation.places.flower.node import Device
from fedspike.federation.places.flower.nodes import Nodes
from fedspike.federation.places.flower.server import Flower
from fedspike.federation.places.here import Here
from fedspike.federation.plan import Plan
from fedspike.federation.rounds import Round, rounds
from fedspike.federation.state import State
from fedspike.learning import LEARNERS
from fedspike.records.writer import round_record
from fedspike.remedies import (
    REMEDIES,
)
from fedspike.rules import RULES
from fleet_in_process import InProcess, dealt_out
from places_example import PLANS, SAMPLE, Halves, plan_of


def test_every_kind_of_learner_algorithm_rule_and_remedy_is_in_a_plan() -> None:
    there = {
        type(part)
        for plan in PLANS.values()
        for part in (
            plan.learner,
            plan.algorithm,
            *plan.algorithm.joining().values(),
            *plan.remedies,
        )
    }
    assert {*LEARNERS, *ALGORITHM_KINDS, *RULES, *REMEDIES} <= there


class Slow(InProcess):
    """Nodes whose answers are there when the server has looked so many times since."""

    def __init__(self, devices: dict[int, Device], looks: dict[int, int]) -> None:
        super().__init__(devices, {})
        self.looks, self.looked, self.due = looks, 0, dict[str, int]()

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        numbers = list(super().push_messages(messages))
        for number in numbers:
            node, kind = int(number.partition("-")[0]), self.waiting[number].metadata.message_type
            waits = self.looks.get(node, 0) if kind == MessageType.TRAIN else 0
            self.due[number] = self.looked + waits
        return numbers

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        self.looked += 1
        return super().pull_messages(n for n in message_ids if self.due[n] <= self.looked)


def on_nodes(
    plan: Plan,
    folder: Path,
    nodes: int,
    state: State | None = None,
    looks: dict[int, int] | None = None,
) -> Iterator[Round]:
    experiment = Experiment(plan.name, (Run(plan.name, plan),), Document("the plan", "", {}))
    dealt = dealt_out(experiment, folder, nodes)
    grid = Slow(dealt.devices, looks or {})
    fleet = Nodes(grid, folder, 10, SAMPLE.x_train.shape[1:], dealt.registered)
    fleet.wait_for(plan.fleet.clients, say=lambda _: None)
    return rounds(plan, Flower(fleet, 60.0), state)


# Of the plans of a local rule, which take seconds, one stands for all on nodes with many clients. Updates are
# packed for each client, which is seen on nodes with many; on those with one client one kind stands for all.
PACKED = ("qsgd", "ef-sign", "low-rank", "lossless")
# On nodes with many clients a few stand for all algorithms.
ONCE = CASES.keys() - {"fedavg", "scaffold", "fedbuff", "fednova", "fedper", "gossip", "local-only"}


@pytest.mark.parametrize(
    ("name", "nodes"),
    [(name, 5) for name in PLANS if name not in PACKED]
    + [(name, 2) for name in PLANS if name not in ONCE and not name.startswith("stdp-")],
)
def test_here_and_on_nodes_a_plan_is_the_same(tmp_path: Path, name: str, nodes: int) -> None:
    """To the bit, with a break here and one there: the state is all that both need.

    But for what devices keep to themselves.
    """
    plan = PLANS[name]
    there = list(itertools.islice(on_nodes(plan, tmp_path, nodes), 2))
    copied = {key: tensor.clone() for key, tensor in there[-1].state.tensors().items()}
    there += on_nodes(plan, tmp_path, nodes, State.from_tensors(2, copied))
    came = {round.number: round.clients for round in there}
    place = Here(lambda order: came[order.round])
    here = list(itertools.islice(rounds(plan, place), 1))
    copied = {key: tensor.clone() for key, tensor in here[-1].state.tensors().items()}
    here += rounds(plan, place, State.from_tensors(1, copied))
    for one, other in zip(here, there, strict=True):
        assert other.rejections == ()
        assert one.training_loss == other.training_loss
        assert (one.accuracy, one.tested) == (other.accuracy, other.tested)
        assert one.consensus_distance == other.consensus_distance
        assert (one.sizes, one.operations) == (other.sizes, other.operations)
        assert list(one.activity.items()) == list(other.activity.items())
        assert (one.clients, one.missing, one.skipped) == (
            tuple(sorted(other.clients, key=one.clients.index)),
            other.missing,
            other.skipped,
        )
        ours, theirs = one.state.tensors(), other.state.tensors()
        assert {key for key in ours if not key.startswith("client/")} == theirs.keys()
        assert all(torch.equal(ours[key], tensor) for key, tensor in theirs.items())
        assert one.state.clients.keys() == one.state.remembered.keys()
        assert one.state.remembered == other.state.remembered
        assert other.state.clients == {}
    first, last = (each.state for each in (here[0], here[-1]))
    changed = any((first.model[name] != last.model[name]).any() for name in last.model)
    assert changed or plan.algorithm == LocalOnly()


@pytest.mark.parametrize("nodes", [5, 2], ids=["devices", "many-client-nodes"])
def test_who_comes_late_is_joined_on_nodes_as_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nodes: int
) -> None:
    """FedBuff with slow nodes, stopped in between: the same arrivals here give the same record and bits."""
    monkeypatch.setattr(server, "POLL_S", 0.0)
    looks = {node: 5 * node - 3 for node in range(1, nodes + 1)}
    fleet = Fleet(clients=5, samples_per_round=30)
    plan = replace(plan_of(FedBuff(buffer=2)), fleet=fleet, rounds=8)
    there = list(itertools.islice(on_nodes(plan, tmp_path, nodes, looks=looks), 4))
    half = there[-1].state
    assert half.at_work
    copied = {key: tensor.clone() for key, tensor in half.tensors().items()}
    there += on_nodes(plan, tmp_path, nodes, State.from_tensors(4, copied), looks)
    came = {round.number: round.clients for round in there}
    here = list(rounds(plan, Here(lambda order: came[order.round])))
    assert any(round.staleness for round in there)
    for one, other in zip(here, there, strict=True):
        ours, theirs = round_record(one), round_record(other)
        for name in ("clients", "staleness", "at_work", "missing", "activity", "accuracy"):
            mine, yours = getattr(ours, name), getattr(theirs, name)
            assert mine == yours or sorted(mine) == sorted(yours), name
        assert {k: w.round for k, w in one.state.at_work.items()} == {
            k: w.round for k, w in other.state.at_work.items()
        }
        model = other.state.model
        assert all(torch.equal(weight, model[name]) for name, weight in one.state.model.items())


def test_the_first_answers_of_more_than_wanted_end_a_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On nodes as here; who answers later is rejected, or not heard, and the model knows nothing of it."""
    monkeypatch.setattr(server, "POLL_S", 0.0)
    fleet = Fleet(clients=5, clients_per_round=3, samples_per_round=30, over_selection=1.3)
    plan = replace(plan_of(FedAvg()), fleet=fleet)
    there = list(on_nodes(plan, tmp_path, 5, looks={node: 5 * node for node in range(1, 6)}))
    came = {round.number: round.clients for round in there}
    here = list(rounds(plan, Here(lambda order: came[order.round])))
    for one, other in zip(here, there, strict=True):
        assert len(other.clients) == 3
        assert len(other.at_work) == 1
        model = other.state.model
        assert all(torch.equal(weight, model[name]) for name, weight in one.state.model.items())
    assert there[-1].state.at_work == {}
    simulated = list(rounds(replace(plan, fleet=replace(fleet, speed_spread=1.0))))
    for each in simulated:
        assert [rejection.reason for rejection in each.rejections] == ["not needed"]
        assert len(each.clients) == 4  # all of them trained


def test_what_is_personal_does_not_travel() -> None:
    first, last = (each := list(rounds(plan_of(FedPer()))))[0], each[-1]
    hidden = 4 * (784 * 6 + 6)
    assert first.uplink_bytes == last.uplink_bytes == last.downlink_bytes == 4 * hidden
    assert first.downlink_bytes == 4 * (hidden + 4 * (6 * 10 + 10))
    own = [last.state.clients[k]["own"]["output.weight"] for k in sorted(last.state.clients)]
    assert not any(torch.equal(own[0], other) for other in own[1:])


def test_half_a_model_is_half_the_bytes() -> None:
    round = next(rounds(plan_of(Halves())))
    sizes = [4 * (785 * 6 // (1 + client % 2) + 70) for client in round.clients]
    assert round.uplink_bytes == round.downlink_bytes == sum(sizes)
    assert len(np.unique(sizes)) == 2
