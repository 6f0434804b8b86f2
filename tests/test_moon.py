"""MOON: its equation by hand, where it does nothing, what it costs, and with what it cannot be.

That it passes the contract of all algorithms is in test_algorithms.py, and that it equals the plain loop in
test_engine_equals_reference.py.
"""

from typing import Any

import pytest
import torch
from msgspec.structs import replace
from torch import nn

from fedspike.algorithms import MOON, Algorithm, Client, FedAvg
from fedspike.data.partition import IID, Classes
from fedspike.errors import InputError
from fedspike.federation.devices import Fleet
from fedspike.federation.plan import Plan
from fedspike.federation.room import training
from fedspike.federation.rounds import Round, rounds
from fedspike.federation.training_memory import training_bytes
from fedspike.layers.operations import INFERENCE
from fedspike.learning import OTTT, STDP, Backpropagation, EProp, Learner
from fedspike.networks import ANN, QANN, SNN, Convolutional, FullyConnected, ModuleNetwork, Network
from fedspike.parts.codes import Latency
from fedspike.parts.neurons import LIF, Competitive
from fedspike.parts.normalisations import BNTT
from fedspike.parts.optimisers import SGD
from fedspike.parts.read_outs import MeanMembrane
from fedspike.remedies import FewerSteps, HeteroFL, MixedLearners, Remedy
from running import Sized, sample

SAMPLE = sample(tested=50)
SMALL = FullyConnected((12,))
IMAGES = Convolutional((3, "pool", 4), (9,))
NETWORKS: dict[str, Network] = {
    "ann": ANN(SMALL),
    "qann": QANN(SMALL, bits=4),
    "snn": SNN(5, SMALL),
    "snn, membranes": SNN(5, SMALL, Latency(), read_out=MeanMembrane()),
    "convolutional ann": ANN(IMAGES),
    "convolutional snn": SNN(3, IMAGES, neuron=LIF(threshold=0.3)),
    "pooled statistics": SNN(4, SMALL, normalisation=BNTT()),
    "local statistics": SNN(4, SMALL, normalisation=BNTT("local")),
}


def plan(algorithm: Algorithm, network: Network, *remedies: Remedy, **settings: Any) -> Plan:
    usual = Plan(
        network=network,
        data=SAMPLE,
        partition=Classes(3),
        fleet=Fleet(clients=4, samples_per_round=24),
        learner=Backpropagation(None, SGD(0.1), batch_size=8),
        rounds=2,
    )
    return replace(usual, algorithm=algorithm, remedies=remedies, **settings)


def play(algorithm: Algorithm, network: Network, **settings: Any) -> list[Round]:
    return list(rounds(plan(algorithm, network), **settings))


def test_the_contrastive_loss_is_the_papers() -> None:
    """By torch's own cosine and cross-entropy, where the received model is the first of two classes."""
    draw = torch.Generator().manual_seed(0)
    z, *frozen = torch.randn(3, 2, 5, 7, generator=draw, dtype=torch.float64).relu()
    frozen[0][0, 1] = 0  # a sample without a value: alike to nothing
    present = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    z.requires_grad_()
    moon, expected = MOON(mu=5.0, tau=0.2), []
    for k, own in enumerate(present):
        logits = [nn.functional.cosine_similarity(z[k], one[k], dim=-1) / 0.2 for one in frozen]
        pairs = torch.stack(logits, 1)[own]
        aim = torch.zeros(len(pairs), dtype=torch.int64)
        expected.append(5.0 * nn.functional.cross_entropy(pairs, aim))
    ours, theirs = moon.comparison(z, frozen, present), torch.stack(expected)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)
    one, other = (torch.autograd.grad(loss.sum(), z)[0] for loss in (ours, theirs))
    torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-14)
    assert not one[1, 3:].any()  # padding


def test_samples_without_a_spike_have_no_gradient_and_cold_softmaxes_are_finite() -> None:
    z = torch.zeros(1, 2, 3, requires_grad=True)
    frozen = torch.ones(1, 2, 3), torch.zeros(1, 2, 3)
    loss = MOON(tau=1e-6).comparison(z, frozen, torch.ones(1, 2, dtype=torch.bool))
    torch.testing.assert_close(loss, torch.tensor([2.0]).log())
    (slope,) = torch.autograd.grad(loss.sum(), z)
    assert not slope.any()
    along = torch.tensor([[[1.0, 2.0, 3.0]]]), torch.tensor([[[-1.0, 2.0, 0.0]]])
    loss = MOON(tau=1e-6).comparison(along[1], along, torch.ones(1, 1, dtype=torch.bool))
    assert loss.isfinite().all()


@pytest.mark.parametrize("network", NETWORKS)
def test_it_begins_as_fedavg_and_then_differs(network: str) -> None:
    """In round 1 both models that are compared are the received one, so they see what the learner does at
    first; from there on each draws as much as the other pushes.
    """
    ours, plain = (
        play(algorithm, NETWORKS[network], dtype=torch.float64) for algorithm in (MOON(), FedAvg())
    )
    for (n, round), other in zip(enumerate(ours), plain, strict=True):
        for name, weight in round.state.model.items():
            apart = float((weight - other.state.model[name]).abs().max())
            assert (apart < 1e-9) == (n == 0), f"{name} in round {n + 1}: {apart}"
    # ln 2 of each sample, as nothing is nearer.
    assert ours[0].training_loss == pytest.approx(plain[0].training_loss + 0.6931471805599453)


def test_the_received_model_draws_and_the_last_one_pushes() -> None:
    """The last one is what the client trained: of a client alone it is the server's next model."""
    alone = plan(MOON(), ANN(SMALL), fleet=Fleet(clients=1, samples_per_round=24))
    first, second = rounds(replace(alone, partition=IID()))
    for round in (first, second):
        torch.testing.assert_close(round.state.clients[0]["previous"], round.state.model)
    received, previous = first.state.model, second.state.model
    client = Client({"model": received}, {"previous": previous})
    drawn, pushed = MOON().frozen(client)
    assert drawn is received
    assert pushed is previous


@pytest.mark.parametrize("network", ["ann", "snn"])
def test_without_weight_it_is_fedavg_to_the_bit(network: str) -> None:
    """By the kernels, too, where there are some: nothing is compared."""
    for ours, plain in zip(
        play(MOON(mu=0.0), NETWORKS[network]), play(FedAvg(), NETWORKS[network]), strict=True
    ):
        assert (ours.training_loss, ours.operations) == (plain.training_loss, plain.operations)
        assert ours.network == plain.network
        for name, weight in ours.state.model.items():
            assert torch.equal(weight, plain.state.model[name])


@pytest.mark.parametrize("network", ["ann", "snn, membranes", "convolutional snn"])
def test_two_forward_passes_up_to_the_last_layer_are_on_the_bill(network: str) -> None:
    ours, plain = (
        plan(algorithm, NETWORKS[network]).site().operations for algorithm in (MOON(), FedAvg())
    )
    *hidden, last = plain.layers
    assert ours.layers[last] == plain.layers[last]
    assert ours.encoder == plain.encoder
    for name in hidden:
        one, other = ours.layers[name].trained, plain.layers[name].trained
        assert one.keys() == other.keys()
        for phase, rows in other.items():
            times = 3 if phase in INFERENCE else 1
            for per, done in rows.items():
                assert one[phase][per] == {what: times * n for what, n in done.items()}
        assert ours.layers[name].tested == plain.layers[name].tested


def test_the_last_model_is_in_both_memory_models() -> None:
    """What is compared is held against a process in test_training_memory.py."""
    network = ANN(SMALL).over((28, 28), 10)
    learner = Backpropagation(batch_size=8)
    by = training_bytes(network, learner, 24, MOON(mu=0.0)) - training_bytes(network, learner, 24)
    assert by == 2 * 4 * network.architecture.parameters
    one, other = (
        {need.key: need.bytes for need in training(plan(algorithm, ANN(SMALL)), network, 4)}
        for algorithm in (MOON(), FedAvg())
    )
    assert one["fleet.clients_per_round"] == 2 * other["fleet.clients_per_round"]


COMPETING = SNN(5, SMALL, neuron=Competitive(), read_out=MeanMembrane())


@pytest.mark.parametrize(
    ("learner", "network"),
    [(OTTT(), SNN(5, SMALL)), (EProp(), SNN(5, SMALL)), (STDP(), COMPETING)],
)
def test_a_learner_without_the_gradient_is_refused(learner: Learner, network: Network) -> None:
    with pytest.raises(InputError, match=f"moon with the learner {learner.kind}") as caught:
        plan(MOON(), network, learner=learner)
    assert 'learner.kind = "backpropagation"' in caught.value.fix
    plan(MOON(mu=0.0), network, learner=learner)


def test_so_is_one_of_some_clients_and_a_network_of_which_nothing_is_known() -> None:
    with pytest.raises(InputError, match="moon with mixed-learners, ottt among them") as caught:
        plan(MOON(), SNN(5, SMALL), MixedLearners(("own", "ottt"))).site()
    assert caught.value.fix == 'leave the remedy out, or set learners = ["own"]'
    plan(MOON(), SNN(5, SMALL)).site()
    plan(MOON(), SNN(5, SMALL), MixedLearners(("own",))).site()
    plan(MOON(mu=0.0), SNN(5, SMALL), MixedLearners(("own", "ottt"))).site()
    mine = ModuleNetwork(nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), (28, 28), 10)
    with pytest.raises(InputError, match="whose last layer nobody has described"):
        plan(MOON(), Sized(mine)).site()


@pytest.mark.parametrize("remedy", [HeteroFL((1.0, 0.5)), FewerSteps((5, 3))], ids=str)
def test_clients_of_different_size_compare_models_of_their_own(remedy: Remedy) -> None:
    first, second = rounds(plan(MOON(), SNN(5, SMALL), remedy))
    assert len({*first.network.sizes.values()}) == 1
    shapes = [tree["previous"]["hidden.weight"].shape for tree in second.state.clients.values()]
    assert len({*shapes}) == (2 if isinstance(remedy, HeteroFL) else 1)
    assert second.rejections == ()
