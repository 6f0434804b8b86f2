"""Competing neurons and the local rule that they learn by, against plain torch and referees."""

import operator
from dataclasses import replace
from functools import reduce
from typing import Any

import pytest
import torch
from spikingjelly.activation_based.functional.learning import stdp_linear_step

from fedspike.algorithms import FedProx, NeuronMatching, NeuronUnion
from fedspike.algorithms.neurons import chosen
from fedspike.data import load_data
from fedspike.data.partition import Centralised, Classes
from fedspike.energy.counts import count
from fedspike.engine import ACTIVE
from fedspike.engine.cpu import CompiledEngine
from fedspike.engine.plain_torch import PlainEngine
from fedspike.errors import InputError
from fedspike.federation.devices import Fleet
from fedspike.federation.plan import Plan
from fedspike.federation.rounds import rounds
from fedspike.learning import STDP
from fedspike.networks import ANN, SNN, Batch, FullyConnected
from fedspike.parts.codes import Address, Rate
from fedspike.parts.neurons import Competitive
from fedspike.parts.optimisers import Adam
from fedspike.parts.plasticity import PairRule, Presented, Synapses
from fedspike.parts.read_outs import MeanMembrane
from fedspike.remedies import Clipping

STEPS, CLIENTS, SAMPLES, INPUTS, NEURONS = 9, 3, 6, 20, 7


def presented(seed: int, learns: bool = True) -> Presented:
    """Random spikes for clients with 6, 5 and 4 samples."""
    draw = torch.Generator().manual_seed(seed)
    spikes = (torch.rand(STEPS, CLIENTS, SAMPLES, INPUTS, generator=draw) < 0.3).float()
    weight = torch.rand(CLIENTS, NEURONS, INPUTS, generator=draw)
    competitors = torch.tensor([0, NEURONS]).repeat(CLIENTS, SAMPLES, 1)
    competitors[1, 5:], competitors[2, 4:] = 0, 0
    competitors[0, 0] = torch.tensor([2, 4])
    threshold = torch.full((CLIENTS, NEURONS), 3.0)
    return Presented(spikes, competitors, weight, threshold, learns)


@pytest.mark.skipif(not ACTIVE, reason="no kernels")
@pytest.mark.parametrize("learns", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_the_kernel_does_as_the_loop_in_plain_torch_to_the_bit(seed: int, learns: bool) -> None:
    rule = PairRule(incoming=8.0, a_plus=0.1, a_minus=0.02, tau_in=4.0, tau_out=3.0)
    neuron = Competitive(threshold=3.0, rise=0.25, sinking=0.9, beta=0.8)
    one, other = presented(seed, learns), presented(seed, learns)
    before = one.weight.clone()
    plain = PlainEngine(torch.device("cpu")).compete(rule, neuron, one)
    fast = CompiledEngine().compete(rule, neuron, other)
    assert (plain.winners >= 0).sum() > 20
    assert torch.equal(plain.winners, fast.winners)
    assert torch.equal(plain.updates, fast.updates)
    assert torch.equal(one.weight, other.weight)
    assert torch.equal(one.threshold, other.threshold)
    assert torch.equal(one.weight, before) is not learns
    assert set(plain.winners[0, 0].tolist()) <= {-1, 2, 3}  # nobody else competes for that sample
    assert (plain.winners[2, 4:] == -1).all()


def test_who_does_not_learn_fires_as_the_neuron_says() -> None:
    shown = replace(presented(3, learns=False))
    shown.competitors[:] = torch.tensor([0, NEURONS])
    neuron = Competitive(threshold=3.0, beta=0.8)
    won = PlainEngine(torch.device("cpu")).compete(PairRule(), neuron, shown).winners
    currents = torch.einsum("tcbi,cni->tcbn", shown.spikes, shown.weight)
    spikes = neuron.spikes(currents, {"threshold": shown.threshold})
    assert spikes.sum(3).max() == 1
    fired = torch.where(spikes.any(3), spikes.argmax(3), -1).movedim(0, 2)
    assert torch.equal(fired, won)


@pytest.mark.skipif(not ACTIVE, reason="no kernels")
@pytest.mark.parametrize("bias", [0.0, 0.25])
def test_a_network_of_competing_neurons_passes_event_by_event_as_layer_by_layer(
    bias: float,
) -> None:
    """Weights are multiples of a power of 2, so that no sum is rounded; the kernel adds no bias."""
    neuron, code = Competitive(threshold=3.0, beta=0.5), Rate(gain=0.4)
    snn = SNN(STEPS, FullyConnected((NEURONS,)), code, neuron, MeanMembrane())
    network, draw = snn.over((INPUTS,), 4), torch.Generator().manual_seed(1)
    inner, outer = network.architecture.names
    parameters = {
        f"{inner}.weight": torch.randint(0, 64, (CLIENTS, NEURONS, INPUTS), generator=draw) / 64,
        f"{inner}.bias": torch.full((CLIENTS, NEURONS), bias),
        f"{inner}.threshold": torch.full((CLIENTS, NEURONS), 3.0),
        f"{outer}.weight": torch.rand(CLIENTS, 4, NEURONS, generator=draw),
        f"{outer}.bias": torch.rand(CLIENTS, 4, generator=draw),
    }
    pixels = torch.rand(CLIENTS * SAMPLES, INPUTS, generator=draw)
    positions = torch.arange(CLIENTS * SAMPLES).view(CLIENTS, SAMPLES)
    positions[1, 5:], positions[2, 4:] = -1, -1
    address = Address(0, "evaluation", 1, tuple(range(CLIENTS)), (0,) * CLIENTS)
    batch = Batch(pixels, positions, torch.zeros(CLIENTS, SAMPLES, dtype=torch.int64), address)
    fast = CompiledEngine().forward(network, parameters, batch)
    plain = PlainEngine(torch.device("cpu")).forward(network, parameters, batch)
    there = batch.present
    torch.testing.assert_close(fast.scores[there], plain.scores[there])
    assert {n: c.tolist() for n, c in fast.events_in.items()} == {
        n: c.tolist() for n, c in plain.events_in.items()
    }
    assert fast.events_in[outer].min() > 5
    assert torch.equal(fast.events_out, plain.events_out)


def test_the_pair_rule_is_spikingjellys_stdp() -> None:
    draw = torch.Generator().manual_seed(0)
    weight = torch.rand(5, 12, generator=draw, dtype=torch.float64)
    rule = PairRule(tau_in=4.0, tau_out=3.0, a_plus=0.3, a_minus=0.2)
    p, q = torch.zeros(12, dtype=torch.float64), torch.zeros(5, dtype=torch.float64)
    traces = p[None], q[None]
    for _ in range(30):
        x = (torch.rand(12, generator=draw) < 0.4).double()
        s = (torch.rand(5, generator=draw) < 0.3).double()
        theirs, traces = stdp_linear_step(
            *(x[None], s[None], traces, weight),
            tau_pre=4.0,
            tau_post=3.0,
            f_pre=lambda w: torch.full_like(w, 0.2),
            f_post=lambda w: torch.full_like(w, 0.3),
        )
        p, q = p - p / rule.tau_in + x, q - q / rule.tau_out + s
        ours = rule.change(Synapses(weight, x, s, p, q))
        assert (ours - theirs).abs().max() < 1e-12
        assert ours.abs().max() > 0


SAMPLE = load_data("fashion-mnist-sample")


def plan_of(**changed: Any) -> Plan:
    """Forty competing neurons, four clients, the sample that ships."""
    network = SNN(
        time_steps=10,
        architecture=FullyConnected((40,)),
        neuron=Competitive(rise=0.5),
        read_out=MeanMembrane(),
    )
    fleet = Fleet(clients=4, samples_per_round=100)
    usual: dict[str, Any] = {"network": network, "data": SAMPLE, "fleet": fleet, "learner": STDP()}
    return Plan(**usual | changed)


@pytest.mark.parametrize("output", ["assigned", "share", "supervised"])
def test_it_learns(output: Any) -> None:
    fast = Adam(learning_rate=0.02)
    learner = STDP(output=output, optimiser=fast, output_epochs=3)
    done = list(rounds(plan_of(learner=learner, partition=Centralised(), rounds=4)))
    assert done[-1].accuracy > 0.5
    assert done[-1].training_loss < done[0].training_loss


def test_the_labels_are_of_all_clients_responses_to_the_model_that_is_tested() -> None:
    """Counted here neuron by neuron, over the samples that the clients were shown."""
    plan = plan_of(rounds=2, partition=Classes(4))
    first, second = rounds(plan)
    site, tested = plan.site(), second.state.model
    sent = first.state.server["model"]
    assert torch.equal(tested["hidden.weight"], sent["hidden.weight"])
    pixels, labels = site.samples
    sums, shown = torch.zeros(10, 40), torch.zeros(10)
    for client in range(4):
        own = torch.from_numpy(site.devices.shown(0, 2, client, 1))
        address = Address(0, "encode", 2, (client,), (100,))
        batch = Batch(pixels, own[None], labels[own][None], address)
        neurons = site.network.competition
        assert neurons is not None
        currents = torch.einsum("tcbi,ni->tcbn", neurons.entering(batch), sent["hidden.weight"])
        spikes = neurons.neuron.spikes(currents, {"threshold": sent["hidden.threshold"][None]})
        response = neurons.neuron.membrane(spikes).mean(0)[0]
        sums.index_add_(0, labels[own], response)
        shown += torch.bincount(labels[own], minlength=10)
    mean = sums / shown.unsqueeze(1)
    theirs = torch.nn.functional.one_hot(mean.argmax(0), 10).T * (mean.amax(0) > 0)
    weight = theirs / theirs.sum(1, keepdim=True).clamp(min=1)
    torch.testing.assert_close(tested["output.weight"], weight)
    assert (tested["output.weight"] > 0).sum() > 20


def test_an_allotted_neuron_learns_from_its_own_class_alone() -> None:
    fleet = Fleet(clients=10, clients_per_round=1, samples_per_round=50)
    plan = plan_of(learner=STDP(allotted=True), partition=Classes(1), rounds=1, fleet=fleet)
    (only,) = rounds(plan)
    (client,) = only.clients
    held = int(SAMPLE.y_train[plan.devices().shards[client][0]])
    before, after = (only.state.server[g]["hidden.weight"] for g in ("labelled", "model"))
    moved = (after - before).abs().amax(1).nonzero().flatten().tolist()
    assert moved
    assert set(moved) <= set(range(4 * held, 4 * held + 4))


def test_a_union_keeps_what_was_used_most_and_none_twice() -> None:
    model = {
        "hidden.weight": torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]]),
        "hidden.threshold": torch.tensor([1.0, 1.0]),
        "output.weight": torch.tensor([[1.0, 2.0]]),
        "output.bias": torch.tensor([0.5]),
    }
    # Both clients have made the first neuron what it was; one the second another, and used it less.
    update = {
        name: torch.stack([torch.zeros_like(t), torch.zeros_like(t)]) for name, t in model.items()
    }
    update["hidden.threshold"] = torch.tensor([[5.0, 0.0], [4.0, 3.0]])
    update["hidden.weight"][1, 1] = torch.tensor([-1.0, -1.0, 1.0])
    update["output.bias"][0] = 1.0
    after = NeuronUnion().next_state({"model": model}, {"update": update}, 1.0)["model"]
    assert after["hidden.weight"].tolist() == [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    assert after["hidden.threshold"].tolist() == [6.0, 4.0]
    assert after["output.weight"].tolist() == [[1.0, 2.0]]
    assert after["output.bias"].tolist() == [1.0]


def test_a_layer_of_one_neuron_has_a_union() -> None:
    one = SNN(2, FullyConnected((1,)), neuron=Competitive(threshold=4.0), read_out=MeanMembrane())
    done = next(rounds(plan_of(network=one, algorithm=NeuronUnion())))
    assert done.state.server["model"]["hidden.threshold"] > 4.0


def test_matching_finds_the_same_neurons_in_another_order() -> None:
    draw = torch.Generator().manual_seed(0)
    model = {
        "hidden.weight": torch.rand(6, 5, generator=draw),
        "hidden.threshold": torch.rand(6, generator=draw),
        "output.weight": torch.rand(3, 6, generator=draw),
        "output.bias": torch.rand(3, generator=draw),
    }
    other = chosen(model, torch.tensor([3, 1, 0, 5, 4, 2]))
    update = {name: torch.stack([0 * model[name], other[name] - model[name]]) for name in model}
    after = NeuronMatching().next_state({"model": model}, {"update": update}, 1.0)["model"]
    for name in model:
        torch.testing.assert_close(after[name], model[name])


def test_the_bill_has_an_update_of_each_weight() -> None:
    (only,) = rounds(plan_of(rounds=1))
    counts = count(only.network, reduce(operator.add, only.activity.values()))
    updates = sum(own.updates["hidden"] for own in only.activity.values())
    fired = sum(own.events_in["output"] for own in only.activity.values())
    entered = sum(own.events_in["hidden"] for own in only.activity.values())
    assert updates > 784 * 100
    assert counts["optimiser"]["hidden"] == {"mac": updates + entered + fired, "add": fired}
    assert not any(phase.startswith("backward") for phase in counts if any(counts[phase].values()))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"network": ANN()}, "a network of kind ann"),
        ({"network": SNN()}, "neurons of kind lif"),
        ({"network": SNN(neuron=Competitive())}, "a read-out of kind count"),
        (
            {
                "network": SNN(
                    neuron=Competitive(),
                    read_out=MeanMembrane(),
                    architecture=FullyConnected((9, 9)),
                )
            },
            "an architecture",
        ),
        ({"algorithm": FedProx()}, "fedprox with the learner stdp"),
        ({"remedies": (Clipping(norm=1.0),), "algorithm": FedProx()}, "fedprox with the learner"),
    ],
)
def test_what_no_local_rule_can_train_is_refused_before_round_1(
    changed: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        plan_of(**changed)
