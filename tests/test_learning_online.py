"""Learners that need no unrolled time: their equations, when they are backpropagation, and their memory."""

import itertools
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from msgspec.structs import replace
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import fedspike as fs
import parts_example
from fedspike.energy.counts import count
from fedspike.engine.choice import engine_for
from fedspike.engine.engines import Learned
from fedspike.engine.plain_torch import PlainEngine
from fedspike.errors import InputError
from fedspike.layers.activity import Activity
from fedspike.learning.eprop import random_feedback
from fedspike.learning.online import Online
from fedspike.networks import (
    SNN,
    Batch,
    Convolutional,
    DenseLayers,
    FullyConnected,
    ModuleNetwork,
    Network,
    SizedNetwork,
    SpikingNetwork,
)
from fedspike.parts.codes import Address, Code, Direct, Latency, Phase, Rate
from fedspike.parts.losses import CrossEntropy, SpikeCountMSE
from fedspike.parts.neurons import LIF, AdaptiveLIF, CurrentBasedLIF, Neuron
from fedspike.parts.normalisations import BNTT
from fedspike.parts.read_outs import FirstSpike, MeanMembrane, ReadOut, SpikeCount
from fedspike.randomness import stream
from parts_example import CODES, NEURONS
from places_example import SAMPLE

PLAIN = PlainEngine(torch.device("cpu"))
INPUTS, CLASSES, T, SEED = 20, 3, 9, 4
ADAPTIVE = AdaptiveLIF(adaptation=0.5, rho=0.6, beta=0.8, threshold=0.4, reset="none")
LEARNERS: list[Online] = [fs.OTTT(), fs.EProp(), fs.EProp(feedback="random")]


class LastSpike(SpikeCount, tag="last-spike"):
    """Whether the last step has a spike."""

    def scores(self, flow: Tensor) -> Tensor:
        return flow[-1]

    def share(self, flow: Tensor, step: int, time_steps: int) -> Tensor:
        return flow * float(step == time_steps - 1)


class LastMembrane(MeanMembrane, tag="last-membrane"):
    """The membrane of the last step."""

    def scores(self, flow: Tensor) -> Tensor:
        return flow[-1]

    def share(self, flow: Tensor, step: int, time_steps: int) -> Tensor:
        return flow * float(step == time_steps - 1)


def network(hidden: Sequence[int], time_steps: int = T, **parts: Any) -> SpikingNetwork:
    """Fully connected layers, or none but the output's."""
    return SpikingNetwork(DenseLayers((INPUTS, *hidden, CLASSES)), SNN(time_steps, **parts))


def two_clients(
    network: SizedNetwork, dtype: torch.dtype = torch.float64, inputs: int = INPUTS
) -> tuple[dict[str, Tensor], Batch]:
    """Models, twice as large as at the start so that all layers fire, and minibatches, one of them padded."""
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(2, 6, inputs, dtype=dtype, generator=generator)
    labels = torch.randint(CLASSES, (2, 6), generator=generator)
    present = torch.ones(2, 6, dtype=torch.bool)
    present[1, 4:] = False
    address = Address(SEED, "encode", 1, (0, 1), (0, 0))
    models = [network.init(stream(0, "init", client=k)) for k in range(2)]
    parameters = {n: 2 * torch.stack([m[n] for m in models]).to(dtype) for n in models[0]}
    return parameters, Batch.of(x, address, labels, present)


def assert_same(one: Learned, other: Learned, accuracy: float = 1e-9) -> None:
    assert torch.allclose(one.losses, other.losses, rtol=accuracy)
    assert one.gradients.keys() == other.gradients.keys()
    for name, slope in other.gradients.items():
        assert slope.any(), name
        error = (one.gradients[name] - slope).abs().max() / slope.abs().max()
        assert float(error) < accuracy, name
    assert one.forward.events_in.keys() == other.forward.events_in.keys()
    for name, events in other.forward.events_in.items():
        assert torch.equal(one.forward.events_in[name], events), name
    assert torch.equal(one.forward.events_out, other.forward.events_out)


RESETS: list[Neuron] = [
    LIF(0.9, 0.7),
    LIF(0.9, 0.7, "none"),
    CurrentBasedLIF(alpha=0.6, beta=0.8, threshold=0.7),
]


@pytest.mark.parametrize("learner", LEARNERS[:2], ids=parts_example.name)
@pytest.mark.parametrize("neuron", RESETS, ids=parts_example.name)
@pytest.mark.parametrize("read_out", [LastSpike(), LastMembrane()], ids=parts_example.name)
def test_of_one_layer_and_the_last_step_it_is_backpropagation(
    learner: Online, neuron: Neuron, read_out: ReadOut
) -> None:
    for code in (Rate(), Latency(), Phase(), Direct()):
        one = network((), code=code, neuron=neuron, read_out=read_out)
        parameters, batch = two_clients(one)
        given = (one, CrossEntropy(), parameters, batch)
        assert_same(learner.taught(PLAIN, *given), PLAIN.learn(*given))


def test_with_its_second_eligibility_e_prop_is_so_for_adaptive_neurons() -> None:
    """OTTT is not: it has no part for what raises the threshold."""
    one = network((), neuron=ADAPTIVE, read_out=LastSpike())
    parameters, batch = two_clients(one)
    given = (one, CrossEntropy(), parameters, batch)
    assert_same(fs.EProp().taught(PLAIN, *given), PLAIN.learn(*given))
    with pytest.raises(AssertionError, match=r"output\."):
        assert_same(fs.OTTT().taught(PLAIN, *given), PLAIN.learn(*given))


def test_of_one_step_ottt_is_backpropagation_through_any_layers() -> None:
    for architecture in (FullyConnected((8, 7)), Convolutional((3, "pool", "depthwise", 2), (7,))):
        for neuron in (LIF(0.9, 0.3), ADAPTIVE):
            deep = SNN(1, architecture, neuron=neuron).over((6, 6), CLASSES)
            parameters, batch = two_clients(deep, inputs=36)
            given = (deep, SpikeCountMSE(1.0, 0.0), parameters, batch)
            assert_same(fs.OTTT().taught(PLAIN, *given), PLAIN.learn(*given))


def surrogate(x: Tensor) -> Tensor:
    return 1 / (1 + (torch.pi * x) ** 2)


def mean_slope(z: Tensor, labels: Tensor) -> Tensor:
    """dL/dz of cross-entropy, the mean over the samples."""
    return (z.softmax(1) - torch.nn.functional.one_hot(labels, CLASSES)) / len(labels)


def by_hand(
    spikes: Tensor,
    labels: Tensor,
    weights: list[tuple[Tensor, Tensor]],
    neuron: Any,
    error: str,
    feedback: list[Tensor] | None,
) -> list[tuple[Tensor, Tensor]]:
    """The equations of the papers for one client, layer by layer and synapse by synapse.

    With the `feedback` of each hidden layer e-prop's, without it OTTT's.
    """
    beta, theta = neuron.beta, neuron.threshold
    adaptation, rho = neuron.rises or (0.0, 0.0)
    layers, samples = range(len(weights)), spikes.shape[1]
    shape = [(samples, len(b)) for _, b in weights]
    U, S, b = ([torch.zeros(s, dtype=torch.float64) for s in shape] for _ in range(3))
    # The bias as the weight of one more input, which is always 1.
    W = [torch.cat([w, bias[:, None]], 1) for w, bias in weights]
    a = [torch.zeros(samples, w.shape[1], dtype=torch.float64) for w in W]
    x = [torch.zeros(samples, *w.shape, dtype=torch.float64) for w in W]
    dW = [torch.zeros_like(w) for w in W]
    z = torch.zeros(shape[-1], dtype=torch.float64)
    for t, s in enumerate(spikes):
        entering, psi = s, []
        for n in layers:
            entering = torch.cat([entering, torch.ones(samples, 1, dtype=torch.float64)], 1)
            a[n] = beta * a[n] + entering
            before = theta + adaptation * b[n]
            U[n] = beta * U[n] + entering @ W[n].T - before * S[n] * (neuron.reset == "subtract")
            b[n] = rho * b[n] + (1 - rho) * S[n]
            above = U[n] - theta - adaptation * b[n]
            S[n] = (above > 0).double()
            psi.append(surrogate(above))
            entering = S[n]
        z += S[-1]
        E = mean_slope(T * S[-1] if error == "step" else z * T / (t + 1), labels)
        delta = E * psi[-1]
        for n in reversed(layers):
            if feedback is None:
                dW[n] += delta.T @ a[n]
                if n:
                    delta = (delta @ W[n][:, :-1]) * psi[n - 1]
                continue
            L = E if n == layers[-1] else E @ feedback[n]
            for j, i in itertools.product(*map(range, W[n].shape)):
                e = psi[n][:, j] * (a[n][:, i] - adaptation * x[n][:, j, i])
                dW[n][j, i] += (L[:, j] * e).sum()
                x[n][:, j, i] = rho * x[n][:, j, i] + (1 - rho) * e
    return [(w[:, :-1], w[:, -1]) for w in dW]


@pytest.mark.parametrize(
    ("learner", "hidden", "neuron"),
    [
        (fs.OTTT(), (8, 7), LIF(0.9, 0.4)),
        (fs.OTTT(error="step"), (8,), LIF(0.9, 0.4)),
        (fs.EProp(), (8,), LIF(0.9, 0.4)),
        (fs.EProp(feedback="random"), (6, 5), LIF(0.9, 0.4)),
        (fs.EProp(error="step"), (6,), ADAPTIVE),
        (fs.EProp(feedback="random"), (6, 5), replace(ADAPTIVE, reset="subtract")),
    ],
    ids=parts_example.name,
)
def test_it_is_the_loop_over_the_papers_equations(
    learner: Any, hidden: tuple[int, ...], neuron: Neuron
) -> None:
    deep = network(hidden, neuron=neuron)
    parameters, batch = two_clients(deep)
    learned = learner.taught(PLAIN, deep, CrossEntropy(), parameters, batch)
    spikes = deep.code.spikes(batch.x, batch.address, T)
    for client, samples in enumerate(batch.present.sum(1).tolist()):
        own = [
            (parameters[f"{n}.weight"][client], parameters[f"{n}.bias"][client])
            for n in deep.architecture.names
        ]
        feedback = None
        if isinstance(learner, fs.EProp):
            feedback = [own[-1][0]]
            if learner.feedback == "random":
                names = dict(zip(deep.architecture.names, hidden, strict=False))
                feedback = [
                    random_feedback(SEED, name, CLASSES, n).double() for name, n in names.items()
                ]
        shown = spikes[:, client, :samples], batch.labels[client, :samples]
        made = by_hand(*shown, own, neuron, learner.error, feedback)
        for name, slopes in zip(deep.architecture.names, made, strict=True):
            for part, slope in zip(("weight", "bias"), slopes, strict=True):
                found = learned.gradients[f"{name}.{part}"][client]
                assert slope.any()
                assert float((found - slope).abs().max() / slope.abs().max()) < 1e-12


@pytest.mark.parametrize(("code", "steps"), CODES, ids=parts_example.name)
def test_a_code_step_by_step_is_the_code(code: Code, steps: int) -> None:
    """Over more than one word of bits, too."""
    pixels, address = torch.rand(2, 17, 5), Address(0, "encode", 1, (3, 1), (0, 7))
    for time_steps in (steps, steps + 70):
        fitted = code.fitted(time_steps)
        whole = fitted.spikes(pixels, address, time_steps)
        by_step = torch.stack(list(fitted.steps(pixels, address, time_steps)))
        assert torch.equal(whole, by_step)
    if code.moving:
        frames = torch.rand(2, 17, steps, 5)
        whole = code.spikes(frames, address, steps)
        assert torch.equal(whole, torch.stack(list(code.steps(frames, address, steps))))


@pytest.mark.parametrize("neuron", NEURONS, ids=parts_example.name)
def test_a_neuron_step_by_step_is_the_neuron(neuron: Neuron) -> None:
    if neuron.initial(1):
        pytest.skip("what is learned of a neuron is learned through time")
    currents = torch.rand(T, 2, 3, 5, dtype=torch.float64) * 2 - 0.5
    for whole, step in ((neuron.spikes, neuron.fires), (neuron.membrane, neuron.leaks)):
        kept: Any = {}
        for current, wanted in zip(currents, whole(currents), strict=True):
            made, kept = step(kept, current)
            assert torch.equal(made, wanted)


class Held(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The most bytes that tensors made under it held at once; what was there before is not among them."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.most = 0
        self.seen: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        del types
        for tensor in args:
            self._count(tensor, new=False)
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, tuple | list) else (made,):
            self._count(tensor, new=True)
        self.most = max(self.most, self.now)
        return made

    def _count(self, tensor: object, new: bool) -> None:
        if not isinstance(tensor, Tensor) or tensor.untyped_storage()._cdata in self.seen:
            return
        storage = tensor.untyped_storage()
        size = storage.nbytes() * new
        self.seen.add(storage._cdata)
        self.now += size
        weakref.finalize(storage, self._gone, storage._cdata, size)

    def _gone(self, key: int, size: int) -> None:
        self.seen.discard(key)
        self.now -= size


def held(teach: Callable[..., Learned], network: SizedNetwork) -> int:
    parameters, batch = two_clients(network, torch.float32)
    with Held() as bytes_held:
        teach(network, CrossEntropy(), parameters, batch)
    return int(bytes_held.most)


@pytest.mark.parametrize(
    ("learner", "parts"),
    [
        (fs.OTTT(), {"code": Rate()}),
        (fs.EProp(), {"code": Latency(), "neuron": ADAPTIVE}),
        (fs.EProp(), {"code": Direct()}),
    ],
)
def test_memory_does_not_grow_with_time(learner: Online, parts: dict[str, Any]) -> None:
    short, long = (network((10,), steps, **parts) for steps in (3, 15))

    def step(*given: Any) -> Learned:
        return learner.taught(PLAIN, *given)

    assert held(step, long) <= 1.02 * held(step, short)
    assert held(PLAIN.learn, long) > 3 * held(PLAIN.learn, short)


PARTS: list[tuple[Network, Online]] = [
    (SNN(5, neuron=LIF(0.8, 0.7, "zero")), fs.OTTT()),
    (SNN(5, FullyConnected((33, 20)), Direct(), read_out=MeanMembrane()), fs.OTTT()),
    (SNN(5, FullyConnected((33,)), Latency(), ADAPTIVE), fs.EProp()),
    (SNN(5, Convolutional((4, "pool", "depthwise"), (7,)), Phase(period=5)), fs.OTTT()),
    (SNN(5, Convolutional((3, "pool"), ()), read_out=MeanMembrane()), fs.EProp(feedback="random")),
]


@pytest.mark.parametrize(("described", "learner"), PARTS, ids=parts_example.name)
def test_a_step_is_the_same_alone_and_in_any_company(described: Network, learner: Online) -> None:
    network = described.over((6, 6), 5)
    learner.demand_network(network)
    clients, rows = 7, 13
    models = [network.init(stream(0, "init", client=k)) for k in range(clients)]
    parameters = {n: torch.stack([model[n] for model in models]) for n in models[0]}
    x, labels = torch.rand(clients, rows, 36), torch.randint(5, (clients, rows))
    present = torch.rand(clients, rows) < 0.8

    def step(first: int, last: int) -> dict[str, Tensor]:
        here, numbers = slice(first, last), tuple(range(first, last))
        address = Address(0, "encode", 1, numbers, (0,) * len(numbers))
        batch = Batch.of(x[here], address, labels[here], present[here])
        own = {n: weight[here] for n, weight in parameters.items()}
        engine = engine_for("cpu", torch.float32)
        forward, losses, gradients = learner.taught(engine, network, CrossEntropy(), own, batch)
        return {"scores": forward.scores, "losses": losses, **gradients}

    before, convolutional = torch.get_num_threads(), "conv1" in network.described
    several = (1,) if convolutional else (1, 3)  # see `Engine.each`
    try:
        torch.set_num_threads(1)
        beside = step(0, clients)
        for threads, (first, last) in itertools.product(several, ((0, 1), (4, 7), (6, 7))):
            torch.set_num_threads(threads)
            for what, numbers in step(first, last).items():
                assert torch.equal(numbers, beside[what][first:last]), what
    finally:
        torch.set_num_threads(before)


def test_it_is_billed_for_what_a_device_does() -> None:
    """784-6-10 over 4 steps, by hand; a sample of 100 spikes in, of which 7 neurons' leave the layer."""
    seen = Activity(samples=1, steps=1, events_in={"hidden": 100, "output": 7}, events_out=3)
    counts = {}
    for learner in LEARNERS[:2]:
        network = SNN(4, FullyConnected((6,))).over((28, 28), 10)
        counts[learner.kind] = count(learner.trains(network), seen)
    for kind in counts:
        back = counts[kind]["backward_weights"]
        assert back["hidden"] == {"multiply": 4 * 784, "add": 100, "mac": 4 * 784 * 6}
        assert back["output"] == {"multiply": 4 * 6, "add": 7, "mac": 4 * 60}
    assert counts["ottt"]["backward_inputs"] == {"output": {"mac": 4 * 60}}
    assert counts["e-prop"]["backward_inputs"]["hidden"] == {"mac": 4 * 6 * 10}
    assert not any(counts["e-prop"]["backward_inputs"]["output"].values())


DEEP = FullyConnected((6, 5))
REFUSED: list[tuple[Online, Any, str]] = [
    (fs.OTTT(), fs.ANN(), "not run one time step after the other"),
    (fs.OTTT(), SNN(4, normalisation=BNTT()), "BNTT"),
    (fs.OTTT(), SNN(4, read_out=FirstSpike()), "FirstSpike"),
    (fs.OTTT(), SNN(4, neuron=LIF(learn_beta="per-layer")), "a learned beta of LIF"),
    (fs.EProp(), SNN(4, DEEP), "symmetric feedback to 2 layers"),
    (fs.EProp(feedback="random"), SNN(4, Convolutional((2,)), neuron=ADAPTIVE), "adaptive neurons"),
]


@pytest.mark.parametrize(("learner", "network", "words"), REFUSED, ids=lambda case: str(case)[:30])
def test_what_does_not_fit_is_refused_before_the_first_round(
    learner: Online, network: Any, words: str
) -> None:
    with pytest.raises(InputError, match=words) as error:
        next(iter(fs.rounds(fs.Plan(network=network, data=SAMPLE, learner=learner))))
    assert "backpropagation" in error.value.fix or '"' in error.value.fix


def test_a_module_of_ones_own_is_refused() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    with pytest.raises(InputError, match="not run one time step after the other"):
        fs.OTTT().demand_network(ModuleNetwork(module, (28, 28), 10))


class Eager(LIF, tag="eager-step"):
    """Fires a step before its time, when all steps are computed at once."""

    def spikes(self, currents: Any, *learned: Any) -> Tensor:
        return super().spikes(currents, *learned).roll(-1, 0)


def test_a_part_whose_steps_are_not_its_own_is_refused() -> None:
    with pytest.raises(InputError, match="Eager, whose steps one by one are others"):
        SNN(4, neuron=Eager()).over((28, 28), 10).demand_steps()
