"""Fewer time steps and an online learner for devices of little memory: what they are, and where they fail."""

from pathlib import Path
from typing import Literal

import pytest
import torch

from algorithms_example import CASES
from fedspike.data.partition import Classes
from fedspike.engine.choice import engine_for
from fedspike.errors import InputError
from fedspike.federation.devices import Fleet
from fedspike.federation.plan import Plan
from fedspike.federation.rounds import rounds
from fedspike.federation.training_memory import training_bytes
from fedspike.learning import OTTT, STDP, Backpropagation
from fedspike.networks import ANN, SNN, Batch, Convolutional, FullyConnected, Network
from fedspike.parts.codes import Address, Phase
from fedspike.parts.neurons import LIF, AdaptiveLIF, Competitive, CurrentBasedLIF, Neuron
from fedspike.parts.normalisations import BNTT
from fedspike.parts.read_outs import MeanMembrane
from fedspike.randomness import stream
from fedspike.remedies import FewerSteps, MixedLearners, Remedy, SmallerParts
from running import devices, finish, sample
from test_engine_equals_reference import compare
from test_narrowed import same

SAMPLE = sample(tested=60)
SMALL = FullyConnected((8,))
READ = SNN(8, SMALL, read_out=MeanMembrane())
LONGER = FewerSteps((4,), "longer")
ADAPTIVE = AdaptiveLIF(adaptation=0.2, rho=0.9)


class Own(AdaptiveLIF, tag="own-adaptive", kw_only=True):
    """As anybody may write neurons: no kernel has them, so that plain torch computes."""


OWN = Own(adaptation=0.2, rho=0.9)


def plan(*remedies: Remedy, network: Network = READ, **changes: object) -> Plan:
    return Plan(
        **{  # type: ignore[arg-type]
            "network": network,
            "data": SAMPLE,
            "fleet": Fleet(clients=5, clients_per_round=4, samples_per_round=30),
            "learner": Backpropagation(batch_size=16),
            "rounds": 3,
        }
        | changes,
        remedies=remedies,
    )


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("factor", [2, 5])
def test_a_membrane_fades_as_fast_in_longer_steps(beta: float, factor: int) -> None:
    """Of a spike that came at the end of the first step, to the last bits."""
    longer = LIF(beta=beta).lengthened(float(factor))
    fine, coarse = (torch.zeros(n, 1, 1, 1, dtype=torch.float64) for n in (4 * factor, 4))
    fine[factor - 1], coarse[0] = 1.0, 1.0
    faded = LIF(beta=beta).membrane(fine)[factor - 1 :: factor]
    torch.testing.assert_close(longer.membrane(coarse), faded)


def test_every_decay_is_of_the_longer_step() -> None:
    assert CurrentBasedLIF(alpha=0.6).lengthened(2.5) == CurrentBasedLIF(
        alpha=0.6**2.5, beta=0.9**2.5
    )
    assert ADAPTIVE.lengthened(2.5) == AdaptiveLIF(adaptation=0.2, rho=0.9**2.5, beta=0.9**2.5)
    learned = LIF(beta=0.5, learn_threshold="per-layer")
    assert learned.lengthened(2.0) == LIF(beta=0.25, learn_threshold="per-layer")


@pytest.mark.parametrize("longer", [False, True])
@pytest.mark.parametrize("neuron", [LIF(), LIF(beta=1.0), CurrentBasedLIF(alpha=0.6)])
def test_a_constant_current_has_the_same_score_in_fewer_steps(neuron: Neuron, longer: bool) -> None:
    """Of membranes that are read, and nothing else is amplified."""
    snn = SNN(12, SMALL, read_out=MeanMembrane(), neuron=neuron)
    network = snn.over((28, 28), 10)
    fewer = network.in_steps(4, longer=longer)
    assert network.in_steps(12, longer=longer) is network
    assert fewer.neuron == (neuron.lengthened(3.0) if longer else neuron)
    weights = network.init(stream(0, "init"))
    parameters = {name: torch.ones_like(weight)[None] for name, weight in weights.items()}
    amplified = {name: float(w.amax()) for name, w in fewer.amplified(parameters).items()}
    assert amplified["hidden.weight"] == amplified["hidden.bias"] == 1
    gain = amplified["output.weight"]
    assert amplified["output.bias"] == gain > 1
    current = torch.full((12, 1, 1, 1), 0.7, dtype=torch.float64)
    scores = [
        snn.read_out.scores(one.neuron.membrane(g * current[: one.time_steps]))
        for one, g in ((network, 1.0), (fewer, gain))
    ]
    torch.testing.assert_close(*scores, rtol=1e-6, atol=0)  # weights are float32
    counted = SNN(12, SMALL, neuron=neuron).over((28, 28), 10).in_steps(4, longer=longer)
    assert counted.amplified(parameters) is parameters


@pytest.mark.parametrize(("algorithm", "decays"), [("fedavg", "same"), ("scaffold", "longer")])
def test_the_engine_equals_the_plain_loop(
    algorithm: str, decays: Literal["same", "longer"]
) -> None:
    fleet = devices(tuple(Classes(3)(SAMPLE.y_train, clients=5, seed=0)), samples_per_round=30)
    case, network = CASES[algorithm], SNN(6, SMALL).over((28, 28), 10)
    fewer = FewerSteps((6, 3, 2), decays).over(case.algorithm).fitted(network)
    engine = compare(network, fewer, case.optimiser(), fleet)
    assert {engine[-1].network.of(client).time_steps for client in range(3)} == {6, 3, 2}


def test_all_online_is_the_online_learner() -> None:
    mixed = plan(MixedLearners(("ottt",)))
    online = plan(learner=OTTT(batch_size=16))
    for one, other in zip(rounds(mixed), rounds(online), strict=True):
        assert same(one, other)
        assert one.network.of(0).layers == other.network.layers


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["dense", "adaptive", "convolutional", "conventional"])
def test_the_gradients_of_parts_add_up_to_those_of_the_minibatch(
    name: str, dtype: torch.dtype
) -> None:
    """To rounding, also where one of two clients has no sample in some parts."""
    images = Convolutional(features=(3, "pool"), hidden=())
    network = {
        "dense": READ,
        "adaptive": SNN(5, SMALL, neuron=ADAPTIVE),
        "convolutional": SNN(4, images),
        "conventional": ANN(SMALL),
    }[name].over((28, 28), 10)
    draw = torch.Generator().manual_seed(0)
    present = torch.arange(11) < torch.tensor([[11], [3]])
    pixels = torch.rand(2, 11, 784, generator=draw, dtype=dtype)
    labels = torch.randint(10, (2, 11), generator=draw)
    batch = Batch.of(pixels, Address(0, "encode", 1, (0, 1), (0, 0)), labels, present)
    model = {
        n: w.to(dtype).repeat(2, *[1] * w.dim()) for n, w in network.init(stream(0, "init")).items()
    }
    engine = engine_for("cpu", dtype)
    whole, parts, most = (
        Backpropagation(samples_at_once=n).taught(engine, network, network.usual_loss, model, batch)
        for n in ("all", 4, 11)
    )
    # Scores with a graph would keep all parts in memory.
    assert not parts.forward.scores.requires_grad
    assert parts.forward.events_in.keys() == whole.forward.events_in.keys()
    for name, events in whole.forward.events_in.items():
        assert torch.equal(parts.forward.events_in[name], events)
    accuracy = 1e-12 if dtype == torch.float64 else 1e-5
    torch.testing.assert_close(parts.losses, whole.losses, rtol=accuracy, atol=0)
    for name, gradient in whole.gradients.items():
        torch.testing.assert_close(parts.gradients[name], gradient, rtol=accuracy, atol=accuracy)
        assert torch.equal(most.gradients[name], gradient)


def test_a_network_without_time_is_trained_as_it_is() -> None:
    plain = plan(network=ANN(SMALL))
    for one, other in zip(
        rounds(plain),
        rounds(plan(FewerSteps((50, 5)), MixedLearners(), network=ANN(SMALL))),
        strict=True,
    ):
        assert same(one, other)
        assert other.sizes == {}


@pytest.mark.parametrize(
    ("refused", "match"),
    [
        (lambda: plan(MixedLearners(("stdp",))), "learners = stdp"),
        (lambda: plan(FewerSteps((8, 9))), "9 time steps of a network that has 8"),
        (lambda: plan(LONGER, network=SNN(8, SMALL, neuron=LIF(learn_beta="per-layer"))), "LIF in"),
        (lambda: plan(FewerSteps((4,)), network=SNN(8, SMALL, normalisation=BNTT())), "with bntt"),
        (lambda: plan(LONGER, network=SNN(8, SMALL, neuron=Competitive())), "Competitive in"),
        (lambda: plan(FewerSteps((4,)), network=SNN(8, SMALL, code=Phase())), "period = 8"),
        (lambda: plan(FewerSteps((1,)), network=SNN(8, SMALL)), "0 spikes asked for the right class"),
        (
            lambda: plan(
                MixedLearners(),
                network=SNN(8, SMALL, neuron=Competitive(), read_out=MeanMembrane()),
                learner=STDP(),
            ),
            "ottt beside the learner stdp",
        ),
        (lambda: plan(MixedLearners(), network=SNN(8, SMALL, normalisation=BNTT())), "BNTT, whose"),
        (lambda: plan(SmallerParts(), network=SNN(8, SMALL, normalisation=BNTT())), "samples_at_once = "),
        (lambda: plan(MixedLearners(("e-prop",)), network=SNN(8, FullyConnected((8, 8)))), "symmetric"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_before_round_1(refused: object, match: str) -> None:
    with pytest.raises(InputError, match=match):
        refused().site()  # type: ignore[operator]


def test_a_file_with_too_many_steps_is_refused_by_its_line(tmp_path: Path) -> None:
    text = (
        'name = "long"\nnetwork = "snn"\nrounds = 1\n[data]\nkind = "fashion-mnist-sample"\n'
        '[snn]\ntime_steps = 4\n[[remedies]]\nkind = "fewer-steps"\nsteps = [4, 5]\n'
    )
    with pytest.raises(InputError, match=r"tiny.toml, line 7: .*5 time steps"):
        finish(text, tmp_path)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("neuron", [LIF(), ADAPTIVE])
def test_each_device_has_the_most_time_steps_that_fit(neuron: Neuron) -> None:
    network, ways = SNN(50, SMALL, neuron=neuron), (50, 25, 10)
    sized = network.over((28, 28), 10)
    needs = [
        training_bytes(sized.in_steps(steps), Backpropagation(batch_size=16), 30) for steps in ways
    ]
    assert needs == sorted(needs, reverse=True)
    budgets = tuple(need / 1000 for need in (needs[2], needs[0], needs[1]))
    fleet = Fleet(clients=3, samples_per_round=30, memory_kb=budgets)
    (chosen,) = plan(FewerSteps(ways), network=network, fleet=fleet).fitted().remedies
    assert chosen.steps == (10, 50, 25)


def test_who_has_little_memory_learns_online_where_that_saves_some() -> None:
    """Where plain torch computes; the experiment's learner is kept wherever it fits, if it needs less too."""
    for neuron, learners in ((OWN, ("own", "ottt")), (LIF(), ("own",))):
        network = SNN(50, FullyConnected((20,)), neuron=neuron)
        sized, learner = network.over((28, 28), 10), Backpropagation(batch_size=64)
        least = [training_bytes(sized, one, 100) / 1000 for one in (learner, OTTT(batch_size=64))]
        fleet = Fleet(clients=2, samples_per_round=100, memory_kb=(max(least), min(least)))
        chosen = (
            plan(MixedLearners(), network=network, learner=learner, fleet=fleet).fitted().remedies
        )
        assert chosen[0].learners == learners


def test_a_minibatch_is_taken_apart_where_plain_torch_computes_and_memory_is_short() -> None:
    network, learner = SNN(50, SMALL, neuron=OWN), Backpropagation(batch_size=64)
    sized = network.over((28, 28), 10)
    needs = [training_bytes(sized, learner.in_parts(n), 100) for n in ("all", 32, 8)]
    assert needs == sorted(needs, reverse=True)
    assert needs[0] > 4 * needs[2]
    fleet = Fleet(clients=3, samples_per_round=100, memory_kb=[need / 1000 for need in needs])  # type: ignore[arg-type]
    chosen = plan(SmallerParts(), network=network, learner=learner, fleet=fleet).fitted().remedies
    assert chosen[0].samples == ("all", 32, 8)
