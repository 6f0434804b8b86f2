"""Algorithms whose clients end with models of their own: what these are, and on what they are tested."""

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from fedspike.algorithms import Algorithm, Ditto, FedAvg, FedBN, FedRep, LocalOnly
from fedspike.data.partition import Classes
from fedspike.federation.devices import Fleet, Given
from fedspike.federation.plan import Plan
from fedspike.federation.rounds import Round, rounds
from fedspike.learning import Backpropagation
from fedspike.networks import ANN, SNN, FullyConnected, Network, Parameters
from fedspike.parts.normalisations import BNTT
from fedspike.parts.optimisers import SGD
from fedspike.parts.read_outs import MeanMembrane
from fedspike.records import reader
from running import BOTH_NETWORKS, finish, sample

SAMPLE = sample(tested=200)


def last(algorithm: Algorithm, network: Network | None = None, **settings: object) -> Round:
    usual = {
        "network": network or ANN(FullyConnected((6,))),
        "data": SAMPLE,
        "partition": Classes(2),
        "fleet": Fleet(clients=5, samples_per_round=40),
        "learner": Backpropagation(None, SGD(0.1), batch_size=20),
        "rounds": 3,
    }
    return list(rounds(Plan(algorithm=algorithm, **usual | settings)))[-1]  # type: ignore[arg-type]


def own(round: Round, client: int) -> Parameters:
    return round.state.clients[client]["own"]


def equal(one: Parameters, other: Parameters) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_alone_each_client_does_as_if_there_were_no_other() -> None:
    fleet = last(LocalOnly())
    shards = Classes(2)(SAMPLE.y_train, clients=5, seed=0)
    alone = last(FedAvg(), partition=Given((shards[0],)), fleet=Fleet(1, samples_per_round=40))
    assert fleet.uplink_bytes == fleet.downlink_bytes == 0
    for name, weight in alone.state.model.items():  # there w + (w_k - w), rounded
        torch.testing.assert_close(own(fleet, 0)[name], weight, rtol=0, atol=1e-6)


def test_unpulled_dittos_own_models_are_those_of_clients_alone() -> None:
    free, alone = last(Ditto(pull=0.0)), last(LocalOnly())
    assert all(equal(own(free, client), own(alone, client)) for client in range(5))
    pulled = last(Ditto(pull=5.0))
    assert equal(pulled.state.model, last(FedAvg()).state.model)
    assert _distance(pulled) < _distance(free)


def _distance(round: Round) -> float:
    """Of the clients' models from the one for all."""
    model = round.state.model
    return sum(float((own(round, k)[n] - model[n]).square().sum()) for k in range(5) for n in model)


def test_fedrep_trains_the_last_layer_and_then_the_others() -> None:
    """One step of each, by hand."""
    shard = np.arange(20)
    round = last(FedRep(), partition=Given((shard,)), fleet=Fleet(1), rounds=1)
    before = last(LocalOnly(), partition=Given((shard,)), fleet=Fleet(1), rounds=1)
    x, y = torch.from_numpy(SAMPLE.x_train[:20]).flatten(1), torch.from_numpy(SAMPLE.y_train[:20])
    w = {n: t.clone() for n, t in before.state.model.items()}  # its server never steps
    for part in ("output", "hidden"):
        leaves = {n: t.clone().requires_grad_() for n, t in w.items()}
        hidden = functional.linear(x, leaves["hidden.weight"], leaves["hidden.bias"]).relu()
        scores = functional.linear(hidden, leaves["output.weight"], leaves["output.bias"])
        loss = functional.cross_entropy(scores, y)
        trained = {n: t for n, t in leaves.items() if n.startswith(part)}
        slopes = torch.autograd.grad(loss, list(trained.values()))
        w |= {n: w[n] - 0.1 * g for n, g in zip(trained, slopes, strict=True)}
    found = round.state.model | own(round, 0)
    for name, weight in w.items():
        torch.testing.assert_close(found[name], weight, rtol=1e-5, atol=1e-6)
    assert round.samples == 40  # both trainings are paid for


def test_fedbn_keeps_the_normalisation() -> None:
    network = SNN(3, FullyConnected((6,)), read_out=MeanMembrane(), normalisation=BNTT())
    round = last(FedBN(), network)
    memory = round.state.clients
    assert own(round, 0).keys() == {"hidden.gamma"}
    assert not torch.equal(own(round, 0)["hidden.gamma"], own(round, 1)["hidden.gamma"])
    assert memory[0]["statistics"].keys() == {"hidden.mean", "hidden.variance"}
    assert "statistics" not in round.state.server
    assert torch.equal(round.state.model["hidden.gamma"], torch.ones(3, 6))


def test_each_sample_is_tested_by_the_model_of_the_client_it_is_like() -> None:
    """Of one class each, everybody's own model is always right, and the one for all is not."""
    fleet = Fleet(clients=10, samples_per_round=40)
    alone, together = (
        last(algorithm, partition=Classes(1), fleet=fleet) for algorithm in (LocalOnly(), FedAvg())
    )
    assert alone.accuracy == 1.0
    assert together.accuracy < 0.9
    assert alone.tested.samples == together.tested.samples == 200


def test_a_run_says_whose_accuracy_it_has(tmp_path: Path) -> None:
    """Also of what a remedy changes; with one class a client, a model that is right says nothing."""
    toml = BOTH_NETWORKS.replace("clients = 2", "clients = 10") + (
        'algorithm = [{kind = "fedavg"}, {kind = "ditto"}]\n[partition]\nkind = "classes"\n'
        'classes = 1\n[[remedies]]\nkind = "clipping"\n'
    )
    runs = reader.read(finish(toml, tmp_path / "both")).runs
    assert {(run.algorithm, run.accuracy_of) for run in runs} == {
        ("fedavg", "global model"),
        ("ditto", "own models, own samples"),
    }
    for run in runs:
        if run.algorithm == "ditto":
            assert any("most frequent class would do as well" in why for why in run.unfit)
