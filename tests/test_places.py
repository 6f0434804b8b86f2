"""Wherever clients are trained, a plan gives the same rounds and a state that means the same.

Among them algorithms whose orders and replies differ from client to client.
"""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from algorithms_example import CASES
from fedspike.algorithms import Algorithm, Client, FedAvg, LocalModel, Tree, added, difference
from fedspike.data import load
from fedspike.experiment.document import Document
from fedspike.experiment.sweep import Experiment, Run
from fedspike.federation.devices import Fleet
from fedspike.federation.places.flower.nodes import Nodes
from fedspike.federation.places.flower.server import Flower
from fedspike.federation.plan import Plan
from fedspike.federation.rounds import Round, State, rounds
from fedspike.learning import Backpropagation
from fedspike.networks import ANN, FullyConnected, Parameters
from fedspike.parts.optimisers import SGD
from fedspike.remedies import Clipping
from fedspike.rules import Mean, Median, Replies, Rule
from fleet_in_process import dealt_out

SAMPLE = load("fashion-mnist-sample")


class Personal(Algorithm, tag="test-personal"):
    """Each client keeps its own output layer, which never travels: FedPer (Arivazhagan et al., 2019)."""

    rule: Rule = Mean()

    def joining(self) -> Mapping[str, Rule]:
        return {"update": self.rule}

    def next_state(self, server: Tree, joined: Tree, participation: float) -> Tree:
        del participation
        return {"model": server["model"] | added(_shared(server["model"]), joined["update"])}

    def remember(self, received: Tree) -> Tree:
        return {"own": {n: w for n, w in received["model"].items() if n.startswith("output")}}

    def begin(self, client: Client) -> Parameters:
        return client.received["model"] | client.memory["own"]

    def answer(self, client: Client, trained: LocalModel) -> tuple[Tree, Tree]:
        own = {name: trained.parameters[name] for name in client.memory["own"]}
        shared = _shared(trained.parameters)
        return {"update": difference(shared, client.received["model"])}, {"own": own}


def _shared(model: Parameters) -> Parameters:
    return {name: weight for name, weight in model.items() if not name.startswith("output")}


class Overlapping(Rule, tag="test-overlapping"):
    """The mean of each row over the clients that sent it."""

    def join(self, replies: Replies) -> Parameters:
        widest = max(replies.trees, key=lambda reply: len(reply["hidden.bias"]))
        total = {name: torch.zeros_like(t, dtype=torch.float64) for name, t in widest.items()}
        count = {name: torch.zeros(len(t), dtype=torch.float64) for name, t in widest.items()}
        for reply in replies.trees:
            for name, tensor in reply.items():
                total[name][: len(tensor)] += tensor
                count[name][: len(tensor)] += 1
        return {n: t / count[n].reshape(-1, *[1] * (t.dim() - 1)) for n, t in total.items()}


class Halves(Algorithm, tag="test-halves"):
    """Odd clients receive, and answer with, half of the hidden neurons; the others of theirs are 0.

    A simple form of HeteroFL (Diao, Ding, Tarokh, ICLR 2021).
    """

    rule: Rule = Overlapping()

    def order(self, server: Tree, client: int) -> Tree:
        model = server["model"]
        rows = len(model["hidden.bias"]) // (1 + client % 2)
        hidden = {n: w[:rows] for n, w in model.items() if n.startswith("hidden")}
        return {"model": model | hidden}

    def joining(self) -> Mapping[str, Rule]:
        return {"update": self.rule}

    def next_state(self, server: Tree, joined: Tree, participation: float) -> Tree:
        del participation
        return {"model": added(server["model"], joined["update"])}

    def begin(self, client: Client) -> Parameters:
        width = client.received["model"]["output.weight"].shape[2]
        return {
            name: torch.cat([w, w.new_zeros(len(w), width - w.shape[1], *w.shape[2:])], 1)
            if name.startswith("hidden")
            else w
            for name, w in client.received["model"].items()
        }

    def answer(self, client: Client, trained: LocalModel) -> tuple[Tree, Tree]:
        received = client.received["model"]
        sent = {n: trained.parameters[n][:, : w.shape[1]] for n, w in received.items()}
        return {"update": difference(sent, received)}, client.memory


ALGORITHMS: dict[str, Algorithm] = {
    **{name: case.algorithm for name, case in CASES.items()},
    "median": FedAvg(rule=Median()),
    "personal": Personal(),
    "halves": Halves(),
}


def plan_of(algorithm: Algorithm) -> Plan:
    return Plan(
        network=ANN(FullyConnected((6,))),
        data=SAMPLE,
        fleet=Fleet(clients=5, clients_per_round=4, samples_per_round=30),
        learner=Backpropagation(None, SGD(0.1), batch_size=16),
        algorithm=algorithm,
        remedies=(Clipping(norm=2.0),),
        rounds=3,
    )


def on_nodes(plan: Plan, folder: Path, nodes: int, state: State | None = None) -> Iterator[Round]:
    experiment = Experiment(plan.name, (Run(plan.name, plan),), Document("the plan", "", {}))
    fleet = Nodes(dealt_out(experiment, folder, nodes), folder, 10, SAMPLE.x_train.shape[1:])
    fleet.wait_for(plan.fleet.clients, say=lambda _: None)
    return rounds(plan, Flower(fleet, 60.0), state)


@pytest.mark.parametrize("nodes", [5, 2], ids=["devices", "many-client-nodes"])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_here_and_on_nodes_a_plan_is_the_same(tmp_path: Path, name: str, nodes: int) -> None:
    """To the bit, with a break: the state is all that both need, but for what devices keep to themselves."""
    plan = plan_of(ALGORITHMS[name])
    here = list(rounds(plan))
    there = list(itertools.islice(on_nodes(plan, tmp_path, nodes), 2))
    copied = {key: tensor.clone() for key, tensor in there[-1].state.tensors().items()}
    there += on_nodes(plan, tmp_path, nodes, State.from_tensors(2, copied))
    for one, other in zip(here, there, strict=True):
        assert other.rejections == ()
        assert (one.accuracy, one.training_loss) == (other.accuracy, other.training_loss)
        assert sorted(one.activity.items()) == sorted(other.activity.items())
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
    assert not torch.equal(
        here[0].state.model["hidden.weight"], here[-1].state.model["hidden.weight"]
    )


def test_what_is_personal_does_not_travel() -> None:
    last = list(rounds(plan_of(Personal())))[-1]
    hidden = 4 * (784 * 6 + 6)
    assert last.uplink_bytes == 4 * hidden
    assert last.downlink_bytes == 4 * (hidden + 4 * (6 * 10 + 10))
    own = [last.state.clients[k]["own"]["output.weight"] for k in sorted(last.state.clients)]
    assert not any(torch.equal(own[0], other) for other in own[1:])


def test_half_a_model_is_half_the_bytes() -> None:
    round = next(rounds(plan_of(Halves())))
    sizes = [4 * (785 * 6 // (1 + client % 2) + 70) for client in round.clients]
    assert round.uplink_bytes == round.downlink_bytes == sum(sizes)
    assert len(np.unique(sizes)) == 2
