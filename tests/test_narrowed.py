"""Clients that train networks of different width: what each holds, trains and sends, and what comes of it."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from algorithms_example import CASES
from fedspike.algorithms import Algorithm, FedAvg, FedBuff, FedDyn, FedPer, Narrowed, Scaffold
from fedspike.data.partition import Classes
from fedspike.errors import InputError
from fedspike.federation.devices import Fleet
from fedspike.federation.plan import Plan
from fedspike.federation.rounds import Round, rounds
from fedspike.learning import OTTT, Backpropagation
from fedspike.networks import (
    ANN,
    SNN,
    ConventionalNetwork,
    Convolutional,
    ConvolutionalLayers,
    DenseLayers,
    FullyConnected,
    Network,
    SizedNetwork,
    SpikingNetwork,
)
from fedspike.networks.convolutional_layers import Conv, Dense, Pool
from fedspike.parts.neurons import LIF
from fedspike.parts.normalisations import BNTT
from fedspike.parts.optimisers import SGD, Adam
from fedspike.parts.read_outs import MeanMembrane
from fedspike.randomness import stream
from fedspike.remedies import FedRolex, HeteroFL
from fedspike.rules import Holders, Mean, Replies, joined
from running import devices, sample
from test_engine_equals_reference import compare
from test_remedies import refusal

SAMPLE = sample(tested=101)
DEEP = DenseLayers((784, 10, 8, 10))
IMAGES = ConvolutionalLayers((1, 28, 28), (Conv(4, stride=2), Pool(), Conv(3), Dense(8)), 10)
LEARNING = LIF(learn_beta="per-neuron", learn_threshold="per-layer")
SIZED: dict[str, SizedNetwork] = {
    "ann": ConventionalNetwork(DEEP),
    "snn": SpikingNetwork(DEEP, SNN(3)),
    "convolutional-ann": ConventionalNetwork(IMAGES),
    "convolutional-snn": SpikingNetwork(IMAGES, SNN(3, neuron=LIF(threshold=0.3))),
    "learned-constants": SpikingNetwork(IMAGES, SNN(3, neuron=LEARNING)),
}
MIXED = (1.0, 0.5, 0.25)


def plan(
    *remedies: object, network: Network | None = None, algorithm: Algorithm | None = None
) -> Plan:
    algorithm = algorithm or FedAvg()
    return Plan(
        network=network or ANN(FullyConnected((8,))),
        data=SAMPLE,
        fleet=Fleet(clients=5, clients_per_round=4, samples_per_round=30),
        learner=Backpropagation(None, SGD(0.1) if algorithm.needs_sgd else Adam(), batch_size=16),
        algorithm=algorithm,
        remedies=remedies,
        rounds=3,
    )


def same(one: Round, other: Round) -> bool:
    ours, theirs = one.state.tensors(), other.state.tensors()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


@pytest.mark.parametrize(
    ("remedy", "name"),
    [
        (kind, name)
        for kind in (HeteroFL, FedRolex)
        for name, case in CASES.items()
        if not refusal(case.algorithm, kind)
    ],
)
@pytest.mark.parametrize("network", [ANN(FullyConnected((8,))), SNN(3, FullyConnected((8,)))])
def test_with_everybody_at_full_width_it_is_the_algorithm(
    name: str, network: Network, remedy: type[HeteroFL]
) -> None:
    plain = plan(network=network, algorithm=CASES[name].algorithm)
    whole = replace(plain, remedies=(remedy(widths=(1.0,)),))
    for one, other in zip(rounds(plain), rounds(whole), strict=True):
        assert same(one, other)
        assert (one.accuracy, one.operations, one.uplink_bytes) == (
            *(other.accuracy, other.operations, other.uplink_bytes),
        )


@pytest.mark.parametrize("name", SIZED)
@pytest.mark.parametrize("rolling", [False, True])
def test_what_a_client_receives_is_what_its_network_has(name: str, rolling: bool) -> None:
    """Names and shapes, whatever the kind of layer; who holds all receives the very tensors."""
    whole = SIZED[name]
    model = dict(reversed(whole.init(stream(0, "init")).items()))  # as a checkpoint may have them
    algorithm = Narrowed(FedAvg(), widths=MIXED, rolling=rolling).fitted(whole)
    server = algorithm.start(model)
    for client, width in enumerate(MIXED):
        received = algorithm.order(server, client)
        narrow = algorithm.sub_network(whole, client)
        shapes = {n: w.shape for n, w in narrow.init(stream(0, "init")).items()}
        assert {n: w.shape for n, w in received["model"].items()} == shapes
        assert narrow.architecture.layers[0] == whole.architecture.layers[0]
        if width == 1:
            assert all(received["model"][n] is model[n] for n in model)


@pytest.mark.parametrize("name", ["ann", "snn", "convolutional-ann", "convolutional-snn"])
@pytest.mark.parametrize(
    ("remedy", "algorithm"),
    [
        (HeteroFL(widths=MIXED), "fedavg"),
        (HeteroFL(widths=MIXED), "scaffold"),
        (FedRolex(widths=MIXED), "fedavg"),
        (FedRolex(widths=MIXED), "fedavgm"),
    ],
)
def test_the_engine_equals_the_plain_loop(name: str, remedy: HeteroFL, algorithm: str) -> None:
    fleet = devices(tuple(Classes(3)(SAMPLE.y_train, clients=5, seed=0)), samples_per_round=30)
    narrowed = remedy.over(CASES[algorithm].algorithm)
    engine = compare(SIZED[name], narrowed, CASES[algorithm].optimiser(), fleet)  # type: ignore[arg-type]
    assert len({tuple(done.events_in.values()) for done in engine[-1].activity.values()}) > 1


def test_what_nobody_holds_stays_and_a_window_rolls_over_all() -> None:
    start = plan().sized_network().init(stream(0, "init"))["hidden.weight"]

    def moved(remedy: HeteroFL) -> list[list[bool]]:
        return [
            (round.state.model["hidden.weight"] != start).any(1).tolist()
            for round in rounds(plan(remedy))
        ]

    stays, goes = [True] * 2 + [False] * 6, [True] * 3 + [False] * 5
    assert moved(HeteroFL(widths=(0.25,))) == [stays] * 3
    assert moved(FedRolex(widths=(0.25,)))[1] == goes


def test_of_what_somebody_holds_the_mean_is_over_the_holders() -> None:
    tree = [{"w": torch.tensor([[1.0, 2.0], [3.0, 4.0]])}, {"w": torch.tensor([[5.0]])}]
    mean = joined(Holders(Mean()), tree, torch.tensor([1, 3]))["w"]
    assert mean.tolist() == [[4.0, 2.0], [3.0, 4.0]]


@given(
    widths=st.lists(st.integers(1, 4), min_size=2, max_size=7),
    cuts=st.lists(st.booleans(), min_size=6, max_size=6),
    seed=st.integers(0, 2**32 - 1),
)
def test_holders_are_joined_in_any_order_and_in_parts(
    widths: list[int], cuts: list[bool], seed: int
) -> None:
    """To the bit in float32, as a mean; parts join what has one form."""
    draw = np.random.Generator(np.random.Philox(seed))
    trees = [{"w": torch.from_numpy(draw.normal(1.0, 0.1, (w, 2 * w))).float()} for w in widths]
    weights, ones = torch.tensor([3] * len(widths)), torch.ones(len(widths), dtype=torch.int64)
    rule = Holders(Mean())
    whole = joined(rule, trees, weights)["w"]
    backwards = joined(rule, trees[::-1], weights)["w"]
    assert torch.equal(whole, backwards)
    heap: dict[tuple[int, bool], list[int]] = {}
    for client, width in enumerate(widths):
        heap.setdefault((width, cuts[client - 1]), []).append(client)
    parts = [
        rule.join(Replies([trees[k] for k in own], weights[own], ones[own]))
        for own in heap.values()
    ]
    samples = torch.tensor([3 * len(own) for own in heap.values()])
    hosted = torch.tensor([len(own) for own in heap.values()])
    assert torch.equal(whole, joined(rule, parts, samples, hosted, like=trees[0])["w"])


def test_a_narrower_client_sends_and_does_less() -> None:
    whole, mixed = (next(rounds(plan(*own))) for own in ((), (HeteroFL(widths=(1.0, 0.25)),)))
    small = 4 * (785 * 2 + 30)
    large = 4 * (785 * 8 + 90)
    assert mixed.uplink_bytes == sum((large, small)[k % 2] for k in mixed.clients)
    synapses = {0: 784 * 8 + 80, 1: 784 * 2 + 20}
    assert mixed.operations["mac"] == 30 * sum(synapses[k % 2] for k in mixed.clients)
    assert whole.operations["mac"] == 30 * 4 * synapses[0]
    bills = [round.bill("horowitz45-int8", "training").nominal_mj for round in (whole, mixed)]
    assert bills[1] < 0.8 * bills[0]
    assert mixed.sizes.keys() == {"width 0.25"}
    assert whole.sizes == {}


def test_what_is_amplified_is_what_enters_from_a_narrowed_layer() -> None:
    network = ConventionalNetwork(DEEP).narrowed(0.5, 2.0)
    ones = {name: torch.ones_like(w) for name, w in network.init(stream(0, "init")).items()}
    after = {name: float(w.max()) for name, w in network.amplified(ones).items()}
    assert after == {
        **{"hidden1.weight": 1.0, "hidden1.bias": 1.0, "hidden2.weight": 2.0},
        **{"hidden2.bias": 1.0, "output.weight": 2.0, "output.bias": 1.0},
    }


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: HeteroFL(widths=()), "widths"),
        (lambda: HeteroFL(widths=(0.0,)), "widths"),
        (lambda: HeteroFL(widths=(1.5,)), "widths"),
        (lambda: plan(HeteroFL(), FedRolex()), "narrowed already"),
        (
            lambda: plan(HeteroFL(), network=ANN(Convolutional((4, "depthwise")))).site(),
            "narrowed, with a convolution in 4 groups",
        ),
        (lambda: plan(FedRolex(), algorithm=FedBuff()), "fedrolex with fedbuff"),
        (lambda: plan(FedRolex(), algorithm=FedDyn()), "feddyn with fedrolex"),
        (lambda: plan(FedRolex(), algorithm=FedPer()), "fedper with fedrolex"),
        (
            lambda: replace(plan(FedRolex()), learner=Backpropagation(optimiser_memory="kept")),
            "remember, and train other neurons",
        ),
        (
            lambda: plan(HeteroFL(), network=SNN(3, normalisation=BNTT())).site(),
            "narrowed, with bntt",
        ),
    ],
)
def test_what_cannot_be_narrowed(make: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make()  # type: ignore[operator]


def test_channels_are_narrowed() -> None:
    whole = plan(HeteroFL(widths=MIXED), network=ANN(Convolutional((4, "pool", 4, "pool"), (8,))))
    last = list(rounds(whole))[-1]
    assert last.sizes.keys() == {"width 0.5", "width 0.25"}
    assert last.accuracy > 0


def test_scaffold_remembers_as_much_as_it_holds() -> None:
    last = list(rounds(plan(HeteroFL(widths=MIXED), algorithm=Scaffold())))[-1]
    assert {
        client: len(tree["control"]["hidden.bias"]) for client, tree in last.state.clients.items()
    }.items() <= {0: 8, 1: 4, 2: 2, 3: 8, 4: 4}.items()


def test_an_online_learner_trains_the_same_narrower_network() -> None:
    """Over one time step its gradients are those of backpropagation, what is amplified among them."""
    network = SNN(1, FullyConnected((8,)), read_out=MeanMembrane())
    models = []
    for kind in (OTTT, Backpropagation):
        learner = kind(optimiser=SGD(0.1), batch_size=16)
        mixed = replace(plan(HeteroFL(widths=MIXED), network=network), learner=learner)
        models.append(list(rounds(mixed, dtype=torch.float64))[-1].state.model)
    torch.testing.assert_close(*models, rtol=0, atol=1e-9)
