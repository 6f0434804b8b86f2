"""What a client computes has the same bits in any company, and with any number of threads."""

import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from algorithms_example import CASES
from fedspike import machine
from fedspike.engine.choice import engine_for
from fedspike.federation.rounds import Round
from fedspike.learning import Backpropagation
from fedspike.networks import (
    ANN,
    QANN,
    SNN,
    Architecture,
    Batch,
    Convolutional,
    FullyConnected,
    ModuleNetwork,
    Network,
    SizedNetwork,
)
from fedspike.networks.synapses import linear
from fedspike.part import Part
from fedspike.parts.codes import Address
from fedspike.parts.losses import CrossEntropy, Loss
from fedspike.parts.neurons import LIF
from fedspike.parts.read_outs import MeanMembrane
from fedspike.parts.sums import repeated, total
from fedspike.parts.surrogates import Sigmoid
from fedspike.randomness import stream
from fedspike.remedies import Clipping
from parts_example import (
    CODES,
    LOSSES,
    NEURONS,
    NORMALISATIONS,
    READ_OUTS,
    SURROGATES,
    name,
)
from running import devices, sample, simulate

CLIENTS, STEPS, SHAPE, CLASSES = 10, 10, (6, 6), 5
LAYOUTS: tuple[Architecture, ...] = (
    FullyConnected((7,)),
    Convolutional((3, "pool"), ()),
    FullyConnected((33, 100)),
    Convolutional((2, "pool", "depthwise", 3), (7,), pool="max"),
)
P = TypeVar("P", bound=Part)


def networks() -> Iterator[tuple[Network, Loss]]:
    """Every part that ships, each in more than one network, and every loss that such a network has."""
    for layout, bits in itertools.product(LAYOUTS, (1, 4)):
        yield ANN(layout), CrossEntropy()
        yield QANN(layout, bits=bits), CrossEntropy()
    neurons = [*NEURONS, *(LIF(surrogate=surrogate) for surrogate in SURROGATES)]
    codes = itertools.cycle([code for code, steps in CODES if steps <= STEPS])
    layouts, losses = itertools.cycle(LAYOUTS), itertools.cycle(LOSSES)
    for neuron, read_out, normalisation in itertools.product(
        neurons, READ_OUTS, NORMALISATIONS[:2]
    ):
        code, loss = next(codes), next(losses)
        steps = next((steps for known, steps in CODES if known == code), STEPS)
        if loss.needs_spikes and not read_out.counts:
            loss = CrossEntropy()
        yield SNN(steps, next(layouts), code, neuron, read_out, normalisation), loss


class Learning:
    """A step of clients, each with a model and samples of its own."""

    def __init__(self, network: Network | ModuleNetwork, loss: Loss, rows: int) -> None:
        self.network: SizedNetwork = network.over(SHAPE, CLASSES)
        self.loss = loss
        models = [self.network.init(stream(0, "init", client=k)) for k in range(CLIENTS)]
        self.kept = self.network.statistics()
        self.models = {n: torch.stack([model[n] for model in models]) for n in models[0]}
        self.x = torch.rand(CLIENTS, rows, 36).mul(255).round() / 255
        self.labels = torch.randint(CLASSES, (CLIENTS, rows))
        self.present = torch.rand(CLIENTS, rows) < 0.8
        self.present[:, 0] = True

    def step(self, first: int, last: int) -> dict[str, Tensor]:
        """All that these clients get out of it side by side, by name; client first."""
        here, clients = slice(first, last), tuple(range(first, last))
        address = Address(0, "encode", 1, clients, (0,) * len(clients))
        batch = Batch.of(self.x[here], address, self.labels[here], self.present[here])
        own = {n: weight[here] for n, weight in self.models.items()}
        running = {n: s.expand(len(clients), *s.shape) for n, s in self.kept.items()}
        engine = engine_for("cpu", torch.float32)
        forward, losses, gradients = engine.learn(self.network, self.loss, own | running, batch)
        tested = engine.forward(self.network, own | running, batch).scores
        numbers = {"scores": forward.scores, "losses": losses, "tested": tested}
        return numbers | {"events": forward.events_out} | gradients | forward.statistics


def changed_by_company(learning: Learning) -> list[str]:
    """What clients get otherwise alone, or in other company, than side by side with all."""
    beside = learning.step(0, CLIENTS)
    return [
        what
        for first, last in ((CLIENTS - 1, CLIENTS), (CLIENTS - 3, CLIENTS))
        for what, numbers in learning.step(first, last).items()
        if not torch.equal(numbers, beside[what][first:last])
    ]


@pytest.mark.parametrize(
    ("quarter", "rows"),
    [(0, 1), (1, 10), (2, 13), (3, 17), pytest.param(3, 50, marks=pytest.mark.thorough)],
)
def test_a_step_is_the_same_alone_and_in_any_company(quarter: int, rows: int) -> None:
    for network, loss in itertools.islice(networks(), quarter, None, 4):
        assert changed_by_company(Learning(network, loss, rows)) == [], (name(network), name(loss))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_product_is_the_same_in_any_company(threads: int) -> None:
    """With its gradients; of sizes at which clients' matrices lie differently in memory."""

    def products(rows: Tensor, weight: Tensor) -> Sequence[Tensor]:
        leaves = rows.clone().requires_grad_(), weight.clone().requires_grad_()
        made = linear(leaves[1], None, leaves[0])
        return made, *torch.autograd.grad(made.square(), leaves, torch.ones_like(made))

    before, sizes = torch.get_num_threads(), (2, 5, 10, 27, 33, 100)
    torch.set_num_threads(threads)
    try:
        for rows, inputs, outputs in itertools.product((1, *sizes), sizes, sizes):
            x, weight = torch.rand(CLIENTS, rows, inputs), torch.rand(CLIENTS, outputs, inputs)
            beside = products(x, weight)
            for here in (slice(1), slice(3, 6), slice(CLIENTS - 1, CLIENTS)):
                for own, among in zip(products(x[here], weight[here]), beside, strict=True):
                    assert torch.equal(own, among[here]), (rows, inputs, outputs, here)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("maker", "mode"), [("AuthenticAMD", "AUTO"), ("GenuineIntel", None)])
def test_products_are_steady_where_they_would_not_be(
    maker: str, mode: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nvendor_id\t: {maker}\n")
    monkeypatch.setattr(machine, "PROCESSORS", tmp_path / "cpuinfo")
    monkeypatch.setenv("MKL_CBWR", "")
    monkeypatch.delenv("MKL_CBWR")
    machine.steady_products()
    assert os.environ.get("MKL_CBWR") == mode


@pytest.mark.parametrize("rows", [10, 13])
def test_modules_of_ones_own_are_so_in_turn(rows: int) -> None:
    module = nn.Sequential(nn.Conv2d(1, 3, 3), nn.GELU(), nn.Flatten(), nn.Linear(48, CLASSES))
    network = ModuleNetwork(module, (1, *SHAPE), CLASSES, in_turn=True)
    assert changed_by_company(Learning(network, CrossEntropy(), rows)) == []


BLIND = {"sigmoid", "softplus", "gelu", "silu", "mish", "hypot", "atan2", "log_sigmoid"}
REDUCTIONS = {"sum", "mean", "var", "std", "prod", "norm", "logsumexp", "linalg_vector_norm"}


class Rounding(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Collects the operators whose rounding of a number depends on where in its tensor it stands."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        del types
        called = func._schema.name.removeprefix("aten::").rstrip("_").removesuffix("_backward")
        numbers = args[0] if args else None
        if isinstance(numbers, Tensor) and numbers.is_floating_point() and numbers.ndim:
            if called in BLIND or (called == "pow" and isinstance(args[1], float) and args[1] % 1):
                self.found.append(called)
            axes = (
                args[1] if len(args) > 1 and isinstance(args[1], Sequence) else range(numbers.ndim)
            )
            last = {axis % numbers.ndim for axis in axes} == {numbers.ndim - 1}
            if called in REDUCTIONS and not (last and numbers.ndim > 1):
                self.found.append(f"{called} of {tuple(numbers.shape)} over {tuple(axes)}")
        return func(*args, **(kwargs or {}))


@pytest.mark.thorough
def test_no_operator_rounds_by_place() -> None:
    for network, loss in itertools.islice(networks(), None, None, 5):
        learning = Learning(network, loss, rows=3)
        with Rounding() as rounding:
            learning.step(0, 2)
        assert not rounding.found, (name(network), name(loss), rounding.found)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "make",
    [
        lambda x: x.mean(0),
        lambda x: x.sum((1, 2)),
        lambda x: x.norm(),
        torch.sigmoid,
        lambda x: x**1.5,
        lambda x: x.expand(2, 3, 4, 5),
    ],
)
def test_such_operators_are_found(make: Any) -> None:
    """Forward, or where autograd sums what was repeated."""
    x = torch.rand(1, 3, 4, 5, requires_grad=True)
    with Rounding() as rounding:
        made = make(x)
        torch.autograd.grad(made, x, torch.ones_like(made))
    assert rounding.found


@pytest.mark.parametrize("length", [1, 2, 3, 8, 13])
def test_a_total_is_the_sum_and_its_gradient(length: int) -> None:
    x = torch.rand(3, length, 5, dtype=torch.float64, requires_grad=True)
    assert torch.allclose(total(x, 1), x.sum(1), rtol=1e-14)
    padded = torch.cat([x, torch.zeros(3, 7, 5)], 1)
    assert torch.equal(total(padded, 1), total(x, 1))
    assert torch.autograd.gradcheck(lambda x: total(x, 1).square(), (x,))
    assert torch.autograd.gradcheck(lambda x: repeated(x, 4).square(), (x[:1],))


def remembered(round: Round) -> dict[str, Any]:
    """All that a round leaves behind but the time it took."""
    tensors = {path: tensor.tolist() for path, tensor in round.state.tensors().items()}
    done = {"activity": round.activity, "tested": round.tested, "accuracy": round.accuracy}
    return tensors | done | {"loss": round.training_loss}


NORMALISED = SNN(
    6,
    FullyConnected((100,)),
    neuron=LIF(learn_beta="per-layer", surrogate=Sigmoid()),
    read_out=MeanMembrane(),
    normalisation=NORMALISATIONS[-1],
)
ROUNDS: list[tuple[str, Network]] = [
    *((algorithm, NORMALISED) for algorithm in ("fedavg", "scaffold", "fedrep", "moon")),
    *(
        (algorithm, ANN(FullyConnected((20,))))
        for algorithm in ("fedadam", "fednova", "local-only")
    ),
    ("fedavg", QANN(FullyConnected((20,)), bits=4)),
    ("fedavg", SNN(3, Convolutional((2, "pool", "pool"), (7,)), read_out=MeanMembrane())),
]


@pytest.mark.parametrize(("algorithm", "network"), ROUNDS, ids=name)
def test_a_round_is_the_same_in_parts_and_with_threads(
    algorithm: str, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where one trains alone its products are large enough to be cut among threads, and so are its sums."""
    fleet = devices([torch.arange(n).numpy() + 7 * n for n in (107, 103, 101, 23, 20, 3, 1)])
    case, before, last = CASES[algorithm], torch.get_num_threads(), []
    try:
        for at_once, threads in ((1, 1), (1, 2), (3, 3), (10, 2)):
            torch.set_num_threads(threads)
            monkeypatch.setattr(
                "fedspike.engine.engines.Engine.clients_at_once", lambda *_, n=at_once: n
            )
            *_, round = simulate(
                network=network.over((28, 28), classes=10),
                algorithm=case.algorithm,
                remedies=(Clipping(norm=0.05),) if "update" in case.algorithm.joining() else (),
                devices=fleet,
                training=Backpropagation(CrossEntropy(), case.optimiser(), batch_size=100),
                dataset=sample(tested=300),
                seed=0,
                rounds=1 + bool(case.algorithm.models_compared),  # clients remember a model then
            )
            last.append(remembered(round))
    finally:
        torch.set_num_threads(before)
    first, *others = last
    for other in others:
        for what, found in first.items():
            assert other[what] == found, what
