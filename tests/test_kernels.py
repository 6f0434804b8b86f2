"""Every compiled kernel against the plain function it must equal; odd sizes and remainders on purpose."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor

import parts_example
from fedspike import engine
from fedspike.engine import kernel_parts, packed
from fedspike.engine.choice import engine_for
from fedspike.engine.cpu import CompiledEngine
from fedspike.engine.plain_torch import PlainEngine
from fedspike.errors import warn_once
from fedspike.networks import (
    SNN,
    Batch,
    ConventionalNetwork,
    DenseLayers,
    SizedNetwork,
    SpikingNetwork,
)
from fedspike.parts.codes import (
    Address,
    Burst,
    Code,
    Contrast,
    Delta,
    Direct,
    Latency,
    Phase,
    Rate,
    Tabulated,
)
from fedspike.parts.losses import CrossEntropy, Loss, SpikeCountMSE
from fedspike.parts.neurons import LIF, AdaptiveLIF, CurrentBasedLIF
from fedspike.parts.neurons.leaky import Leaky
from fedspike.parts.optimisers import Adam, Step
from fedspike.parts.read_outs import FirstSpike, MeanMembrane, ReadOut, SpikeCount
from fedspike.parts.surrogates import Atan, FastSigmoid, Sigmoid, Surrogate, Triangular
from one_pass_example import (
    ENGINE,
    PLAIN,
    assert_one_pass_is_plain_torch,
    assert_same_bits,
    batch_of,
    drawn,
    stacked,
)
from parts_example import LOSSES, shares

pytestmark = pytest.mark.skipif(not engine.ACTIVE, reason=engine.WHY_NOT)

Reset = Literal["subtract", "zero", "none", "soft"]
CALIBRATED = [loss for loss in LOSSES if loss.calibration(torch.ones(1, 5))]
sizes: st.SearchStrategy[dict[str, int]] = st.builds(
    dict,
    clients=st.integers(1, 3),
    batch=st.integers(1, 4),
    inputs=st.sampled_from([1, 7, 63, 64, 65, 130]),
    outputs=st.sampled_from([1, 10, 16, 17, 100, 129, 150]),
    time=st.sampled_from([1, 3, 4, 16, 50, 63, 64, 65, 130]),
    seed=st.integers(0, 2**31),
)


@given(sizes)
def test_rate_spikes_are_the_plain_ones(size: dict[str, int]) -> None:
    pixels, address, _ = drawn(size)
    code, steps = Rate(), size["time"]
    plain = code.spikes(pixels, address, steps)
    bits = kernel_parts.packed_spikes(code, pixels, address, steps)
    assert torch.equal(bits.dense(), plain)
    padding = np.unpackbits(bits.trains.numpy().view(np.uint8), axis=3, bitorder="little")
    assert not padding[..., size["time"] :].any()


TABULATED: list[tuple[Tabulated, int]] = [
    *((Latency(), 2), (Latency(), 63), (Latency(), 64), (Latency(scale="logarithmic"), 130)),
    *((Phase(period=16), 16), (Phase(), 65), (Burst(), 50), (Delta(), 1), (Delta(), 129)),
    *((Contrast(), 2), (Contrast(threshold=0.3, distance=9), 70)),
]


@given(
    arrays(np.float32, (2, 3, 7), elements=st.floats(0, 1, width=32)), st.sampled_from(TABULATED)
)
def test_looked_up_spikes_are_the_plain_ones(
    pixels: np.ndarray, coded: tuple[Tabulated, int]
) -> None:
    """Phase(period=16) shows the level itself; between two of them is where rounding could differ."""
    pixels[1] = (pixels[1] * 65535).round().clip(0, 65534) / 65535 + np.float32(0.5 / 65535)
    x, address = torch.from_numpy(pixels), Address(0, "encode", 1, (0, 1), (0, 0))
    code, steps = coded
    plain = code.spikes(x, address, steps)
    bits = kernel_parts.packed_spikes(code, x, address, steps)
    assert torch.equal(bits.dense(), plain)
    padding = np.unpackbits(bits.trains.numpy().view(np.uint8), axis=3, bitorder="little")
    assert not padding[..., steps:].any()


def test_looked_up_pixels_that_are_no_intensities_get_the_nearer_end() -> None:
    """Never memory beside the table; a data set refuses them before."""
    wrong = torch.tensor([-1e30, -0.1, np.nan, 1.1, 1e30, np.inf])
    address = Address(0, "encode", 1, (0,), (0,))
    bits = kernel_parts.packed_spikes(Phase(period=16), wrong.reshape(1, 1, 6), address, 16)
    assert bits.dense().sum(0).flatten().tolist() == [0, 0, 0, 16, 16, 16]


@given(
    sizes,
    st.sampled_from(["subtract", "zero", "none"]),
    *(shares, st.floats(0.1, 2), st.sampled_from([0.5, 2.0, 7.0])),
)
def test_neurons_that_fire_are_the_plain_ones(
    size: dict[str, int], reset: Reset, beta: float, threshold: float, alpha: float
) -> None:
    """Spikes to the bit, gradients closely; and the spikes of the samples present are counted."""
    generator = torch.Generator().manual_seed(size["seed"])
    shape = (size["clients"], size["batch"], size["time"], size["outputs"])
    ours = torch.randn(shape, generator=generator).requires_grad_()
    present = torch.rand(shape[:2], generator=generator) < 0.7
    plain = ours.detach().movedim(2, 0).contiguous().requires_grad_()
    neuron = engine.compiled.Neuron("lif", beta, threshold, reset, "atan", alpha)
    spikes, counts = packed.fire(ours, present, neuron)
    expected = LIF(beta, threshold, reset, Atan(alpha)).spikes(plain)
    assert torch.equal(spikes.detach().movedim(2, 0), expected.detach())
    assert torch.equal(counts, (spikes.detach().sum(2).long() * present.unsqueeze(2)).sum(1))

    into = torch.randn(shape, generator=generator)
    spikes.backward(into)  # type: ignore[no-untyped-call]
    expected.backward(into.movedim(2, 0))  # type: ignore[no-untyped-call]
    assert ours.grad is not None
    assert plain.grad is not None
    torch.testing.assert_close(ours.grad.movedim(2, 0), plain.grad, rtol=1e-5, atol=1e-6)


@given(st.integers(1, 3), st.integers(1, 40), st.integers(1, 40), st.integers(1, 4), st.data())
def test_a_pool_is_the_mean_of_its_windows(
    images: int, rows: int, columns: int, size: int, data: st.DataObject
) -> None:
    """And its gradient the adjoint of that, against float64."""
    seed = data.draw(st.integers(0, 2**31))
    shape = (images, rows * size, columns * size)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).requires_grad_()
    means = packed.average(x, size)
    windows = x.detach().double().view(images, rows, size, columns, size)
    exact = windows.mean((2, 4))
    torch.testing.assert_close(means.detach().double(), exact, rtol=1e-5, atol=1e-6)
    into = torch.randn(means.shape)
    means.backward(into)  # type: ignore[no-untyped-call]
    assert x.grad is not None
    spread = into.repeat_interleave(size, 1).repeat_interleave(size, 2) / size**2
    torch.testing.assert_close(x.grad, spread, rtol=1e-6, atol=0)


hidden_layers = st.sampled_from([(), (33,), (17, 140)])


@given(sizes, st.sampled_from(get_args(Reset)), hidden_layers, st.booleans())
def test_a_network_in_one_pass_is_its_layers_one_after_the_other(
    size: dict[str, int], reset: Reset, hidden: tuple[int, ...], squares: bool
) -> None:
    layers = DenseLayers((size["inputs"], *hidden, size["outputs"]))
    network = SpikingNetwork(layers, SNN(size["time"], neuron=LIF(0.9, 1.0, reset)))
    loss: Loss = SpikeCountMSE() if squares else CrossEntropy()
    batch, _ = batch_of(size)
    assert_one_pass_is_plain_torch(network, loss, batch)
    parameters = stacked(layers, batch.address.clients, scale=3)
    tested = ENGINE.forward(network, parameters, batch)
    assert torch.equal(ENGINE.learn(network, loss, parameters, batch).forward.scores, tested.scores)


@pytest.mark.parametrize("loss", CALIBRATED, ids=parts_example.name)
@pytest.mark.parametrize("spiking", [True, False], ids=["snn", "ann"])
def test_losses_of_a_clients_classes_in_one_pass_are_plain_torch(loss: Loss, spiking: bool) -> None:
    """Of clients that have a class that is not in the batch, and lack one that is not either."""
    size = {"clients": 3, "batch": 20, "inputs": 70, "outputs": 5, "time": 4, "seed": 5}
    batch, _ = batch_of(size)
    labels, there = batch.labels % 3, torch.tensor([[9.0, 40.0, 2.0, 5.0, 0.0]])
    batch = replace(batch, labels=labels, held=there * torch.tensor([[1.0], [2.0], [3.0]]))
    received = torch.randn(3, 20, 5, generator=torch.Generator().manual_seed(0))
    batch = replace(batch, received=received)
    layers = DenseLayers((70, 33, 5))
    network = SpikingNetwork(layers, SNN(4)) if spiking else ConventionalNetwork(layers)
    assert_one_pass_is_plain_torch(network, loss, batch)


CODES: list[tuple[Code, int]] = [
    *(
        (Rate(), 8),
        (Rate(gain=0.3), 65),
        (Latency(), 70),
        (Phase(), 16),
        (Burst(), 9),
        (Delta(), 3),
        (Direct(), 6),
    ),
]


@pytest.mark.parametrize("read_out", [SpikeCount(), MeanMembrane()], ids=["count", "membrane"])
@pytest.mark.parametrize("reset", get_args(Reset))
@pytest.mark.parametrize(("code", "steps"), CODES, ids=[code.kind for code, _ in CODES])
def test_every_code_and_read_out_in_one_pass_is_plain_torch(
    code: Code, steps: int, reset: Reset, read_out: ReadOut
) -> None:
    """Pixels are multiples of a power of 2 too."""
    size = {"clients": 3, "batch": 20, "inputs": 70, "outputs": 10, "time": 1, "seed": 5}
    batch, _ = batch_of(size)
    batch = replace(batch, pixels=(batch.pixels * 255).round() / 256)
    network = SpikingNetwork(
        DenseLayers((70, 33, 10)),
        SNN(steps, neuron=LIF(0.5, 1.0, reset), code=code, read_out=read_out),
    )
    assert ENGINE.bytes_per_sample(network) == 0, "it did not go through in one pass"
    forward = assert_one_pass_is_plain_torch(network, CrossEntropy(), batch)
    assert forward.events_in["output"].min() > 0, "nothing fired, so nothing was compared"


@given(sizes, hidden_layers)
def test_a_conventional_network_in_one_pass_is_its_layers_one_after_the_other(
    size: dict[str, int], hidden: tuple[int, ...]
) -> None:
    """Against float64. A value within rounding of 0 may be counted or not; none such was ever drawn."""
    batch, _ = batch_of(size)
    layers = DenseLayers((size["inputs"], *hidden, size["outputs"]))
    network, parameters = ConventionalNetwork(layers), stacked(layers, batch.address.clients, 2)
    forward, losses, gradients = ENGINE.learn(network, CrossEntropy(), parameters, batch)
    exact = {name: weight.double() for name, weight in parameters.items()}
    plain, expected, slopes = PLAIN.learn(
        network, CrossEntropy(), exact, replace(batch, pixels=batch.pixels.double())
    )
    there = batch.present
    found, exact_scores = forward.scores[there].double(), plain.scores[there].detach()
    torch.testing.assert_close(found, exact_scores, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(losses.double(), expected, rtol=1e-5, atol=1e-6)
    for name, events in plain.events_in.items():
        assert torch.equal(forward.events_in[name], events)
    for name, slope in slopes.items():
        scale = max(float(slope.abs().max()), 1e-3)
        torch.testing.assert_close(gradients[name].double(), slope, rtol=0, atol=1e-5 * scale)


def test_the_gradients_of_a_network_agree_with_plain_float64() -> None:
    layers = DenseLayers((70, 33, 20, 10))
    network = SpikingNetwork(layers, SNN(20, neuron=LIF(beta=0.8)))
    pixels, address, generator = drawn(
        {"clients": 3, "batch": 5, "inputs": 70, "outputs": 1, "time": 20, "seed": 1}
    )
    present = torch.tensor([[True] * 5, [True] * 3 + [False] * 2, [True] + [False] * 4])
    labels = torch.randint(0, 10, (3, 5), generator=generator)
    parameters = stacked(layers, (0, 1, 2), scale=5)
    results = []
    for dtype in (torch.float32, torch.float64):
        batch = Batch.of(pixels.to(dtype), address, labels, present)
        typed = {name: weight.to(dtype) for name, weight in parameters.items()}
        computes = engine_for("cpu", dtype)  # the kernels, then plain torch
        results.append(computes.learn(network, SpikeCountMSE(), typed, batch))
    (fast, fast_losses, found), (plain, plain_losses, expected) = results
    assert min(int(fast.events_in["output"].min()), int(fast.events_out.min())) > 0
    assert torch.equal(fast.events_out, plain.events_out)
    for name, events in plain.events_in.items():
        assert torch.equal(fast.events_in[name], events)
    torch.testing.assert_close(fast_losses.double(), plain_losses)
    for name, gradient in expected.items():
        scale = float(gradient.abs().max())
        torch.testing.assert_close(found[name].double(), gradient, rtol=0, atol=1e-5 * scale)


def test_adam_is_torchs_and_company_changes_no_bit() -> None:
    """10 steps against torch.optim.Adam; a client alone against the same in a stack of 5, with odd sizes."""
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(5, 3, 7, generator=generator)
    slopes = torch.randn(10, 5, 3, 7, generator=generator)
    theirs = torch.nn.Parameter(start.double())
    torchs = torch.optim.Adam([theirs], lr=0.01)
    results = []
    for clients in (slice(0, 5), slice(4, 5)):
        parameters = {"w": start[clients].clone()}
        memory = Adam(0.01).start(parameters)
        for number, slope in enumerate(slopes, 1):
            ENGINE.step(Adam(0.01), Step(parameters, {"w": slope[clients]}, memory, number))
        results.append(parameters["w"])
    for slope in slopes:
        theirs.grad = slope.double()
        torchs.step()
    assert torch.equal(results[0][4:], results[1])
    torch.testing.assert_close(results[0].double(), theirs.detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.thorough
def test_switched_off_the_plain_path_trains_on_the_same_spikes() -> None:
    """A round each way, in processes of their own; float32 sums in another order move accuracy a little."""
    program = """
import json
import fedspike as fs
from fedspike import engine
network, fleet = fs.SNN(8, fs.FullyConnected((30,))), fs.Fleet(clients=4)
plan = fs.Plan(
    data=fs.FashionMNISTSample(), partition=fs.IID(), fleet=fleet, network=network,
    learner=fs.Backpropagation(batch_size=32), rounds=1,
)
(round,) = fs.rounds(plan)
print(json.dumps([engine.engine(), round.spikes["hidden"], round.accuracy]))
"""
    answers = []
    for switch in ("on", "off"):
        environment = {**os.environ, "FEDSPIKE_KERNELS": switch}
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, check=True
        )
        answers.append(json.loads(done.stdout))
    (compiled, *fast), (plain, *slow) = answers
    assert compiled.startswith("compiled")
    assert plain == "plain torch: FEDSPIKE_KERNELS=off"
    assert fast[0] == slow[0]
    assert abs(fast[1] - slow[1]) < 0.03


def test_what_the_kernels_cannot_take_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    warn_once.cache_clear()
    assert isinstance(engine_for("cpu", torch.float32), CompiledEngine)
    for _ in range(3):
        assert isinstance(engine_for("cpu", torch.float64), PlainEngine)
    assert [record.message for record in caplog.records] == [
        "plain torch computes, several times slower: torch.float64 is not float32"
    ]


def test_kernels_and_torch_share_one_pool_of_threads() -> None:
    """Two OpenMP libraries in a process would each keep threads, and wait for each other's cores."""
    if sys.platform != "linux":
        pytest.skip("reads the process's own memory map")
    mapped = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines()}
    assert sum("libgomp" in Path(name).name for name in mapped) == 1


LAYERS = DenseLayers((70, 33, 9))
NETWORKS = [
    SpikingNetwork(LAYERS, SNN(50)),
    SpikingNetwork(LAYERS, SNN(50, code=Direct())),
    ConventionalNetwork(LAYERS),
]


@pytest.mark.parametrize("network", NETWORKS, ids=["spikes", "direct", "ann"])
def test_neither_threads_nor_instruction_sets_change_a_bit(
    network: SizedNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with one client, whose weight gradient is cut among the threads."""
    assert_same_bits(partial(bits_of_a_step, network), monkeypatch)


def bits_of_a_step(network: SizedNetwork, clients: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(clients, 6, 70, generator=generator)
    address = Address(0, "encode", 1, tuple(range(clients)), (0,) * clients)
    codes: list[tuple[Rate | Tabulated, int]] = [(Rate(), 50), (Rate(gain=0.3), 9), (Burst(), 65)]
    trains = [kernel_parts.packed_spikes(c, pixels, address, t).trains for c, t in codes]
    return [*trains, *bits_of_a_pass(network, clients)]


def bits_of_a_pass(network: SizedNetwork, clients: int) -> list[torch.Tensor]:
    """With an image absent, more images than a block has, and a step of Adam."""
    size = {"clients": clients, "batch": 90, "inputs": 70, "outputs": 9, "time": 50, "seed": 3}
    batch, _ = batch_of(size)
    parameters = stacked(LAYERS, batch.address.clients, scale=3)
    forward, losses, gradients = ENGINE.learn(network, network.usual_loss, parameters, batch)
    ENGINE.step(Adam(), Step(parameters, gradients, Adam().start(parameters), 1))
    return [forward.scores, losses, *gradients.values(), *parameters.values()]


def test_products_and_sums_are_rounded_once_by_every_instruction_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Numbers of all sizes, so that products lie halfway between two sums, vanish and run over."""
    layers = DenseLayers((64, 32, 9))
    batch, _ = batch_of(
        {"clients": 1, "batch": 90, "inputs": 64, "outputs": 9, "time": 1, "seed": 3}
    )
    random = np.random.default_rng(0)

    def numbers(*shape: int) -> Tensor:
        powers = 2.0 ** random.integers(-60, 60, shape) * random.choice(
            [1, 3, -1, 1 + 2**-23], shape
        )
        return torch.tensor(powers, dtype=torch.float32)

    network = ConventionalNetwork(layers)
    parameters = {name: numbers(*p.shape) for name, p in stacked(layers, (0,), scale=1).items()}
    results = []
    for kernels in engine.compiled.instruction_sets:
        monkeypatch.setattr(engine, "kernels", kernels)
        forward, losses, gradients = ENGINE.learn(network, network.usual_loss, parameters, batch)
        results.append([forward.scores, losses, *gradients.values()])
    for result in results:
        for a, b in zip(result, results[0], strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)


def test_wrong_shapes_are_errors_and_no_crash() -> None:
    kernels, neuron = engine.kernels, engine.compiled.Neuron("lif", 0.9, 1.0, "zero", "atan", 2.0)
    values = np.zeros((2, 3, 4, 5), np.float32)
    present, counts = np.ones((2, 3), bool), np.zeros((2, 5), np.int64)
    kernels.fire(values, present, neuron, values, values, counts, 1)
    for there, counted in ((present[:, :2].copy(), counts), (present, counts[:, :4].copy())):
        with pytest.raises(ValueError, match="fire"):
            kernels.fire(values, there, neuron, values, values, counted, 1)
    with pytest.raises(ValueError, match="fire_adjoint"):
        kernels.fire_adjoint(values, values[:1].copy(), neuron, values, 1)
    images, means = np.zeros((2, 4, 6), np.float32), np.zeros((2, 2, 3), np.float32)
    kernels.average(images, 2, means, 1)
    for wrong, size in ((means, 0), (means, 3), (means[:1], 2), (means[:, :, :2].copy(), 2)):
        with pytest.raises(ValueError, match="average"):
            kernels.average(images, size, wrong, 1)
        with pytest.raises(ValueError, match="average"):
            kernels.average_adjoint(wrong, size, images, 1)
    pixels, bits = np.zeros((2, 5, 64), np.float32), np.zeros((2, 5, 64, 2), np.int64)
    kernels.encode(pixels, encoding(time_steps=65), bits, 1)
    for code, into, threads in (
        (encoding(), bits, 1),
        (encoding(time_steps=65), bits[:, :4].copy(), 1),
        (encoding(time_steps=65, clients=(0,), first_samples=(0,)), bits, 1),
        (encoding(kind="direct", time_steps=65), bits, 1),
        (encoding(time_steps=65), bits, 0),
    ):
        with pytest.raises(ValueError, match=r"encode|client|threads"):
            kernels.encode(pixels, code, into, threads)
    moments = [np.zeros(5, np.float32) for _ in range(4)]
    adam = [moments[0], engine.compiled.Adam(0.1, 0.9, 0.99, 1e-8, 0.0), 1, *moments[1:], 1]
    kernels.adam(*adam)
    for position, other in ((0, np.zeros(4, np.float32)), (2, 0)):
        with pytest.raises(ValueError, match="adam"):
            kernels.adam(*[other if i == position else one for i, one in enumerate(adam)])


def encoding(**other: Any) -> Any:
    right = {
        "kind": "rate",
        "time_steps": 4,
        "round": 1,
        "clients": (0, 1),
        "first_samples": (0, 0),
    }
    return engine.compiled.Encoding(**right | other)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "morse"},
        {"time_steps": 0},
        {"first_samples": (0,)},
        {"table": np.zeros((65536, 1), np.int64)},
        {"kind": "table"},
        {"kind": "table", "time_steps": 65, "table": np.zeros((65536, 1), np.int64)},
        {"kind": "table", "table": np.zeros((65535, 1), np.int64)},
        {"step_weights": (1.0, 1.0, 1.0)},
    ],
)
def test_wrong_encodings_and_neurons_are_errors(wrong: dict[str, Any]) -> None:
    encoding(step_weights=(1.0,) * 4)
    with pytest.raises(ValueError, match=r"no such kind|step|first sample|table"):
        encoding(**wrong)
    with pytest.raises(ValueError, match="no such kind"):
        engine.compiled.Neuron("lif", 0.9, 1.0, "halve", "atan", 2.0)


def test_wrong_passes_are_errors_and_no_crash() -> None:
    pixels, positions = np.zeros((6, 64), np.float32), np.arange(6).reshape(2, 3)
    weight, bias = np.zeros((2, 5, 64), np.float32), np.zeros((2, 5), np.float32)
    labels, losses = np.zeros((2, 3), np.int64), np.zeros(2)
    Weights, Wanted = engine.compiled.Weights, engine.compiled.Wanted
    layer, wanted = Weights(weight, bias, weight, bias), Wanted("squares", labels, losses)
    right = {
        **{"pixels": pixels, "positions": positions, "layers": [layer], "wanted": wanted},
        "scores": np.zeros((2, 3, 5), np.float32),
        "events": np.zeros((2, 2), np.int64),
    }
    whole, neuron = (
        engine.compiled.Pass(**right),
        engine.compiled.Neuron("lif", 0.9, 1.0, "none", "atan", 2.0),
    )
    engine.kernels.conventional(whole, 1)
    engine.kernels.spiking(whole, encoding(), neuron, "count", 1)
    wrongs: tuple[dict[str, object], ...] = (
        {"pixels": pixels[:5].copy()},
        {"pixels": pixels[:, :63].copy()},
        {"positions": positions - 2},
        {"layers": []},
        {"layers": [Weights(weight, bias[:, :4].copy(), weight, bias)]},
        {"layers": [layer, layer]},
        {"layers": [Weights(weight, bias)]},
        {"layers": [Weights(weight, bias, weight[:1].copy(), bias)]},
        {"wanted": Wanted("squares", labels + 5, losses)},
        {"wanted": Wanted("squares", labels[:1].copy(), losses)},
        {"wanted": Wanted("squares", labels, losses[:1].copy())},
        {"wanted": Wanted("cross entropy", labels, losses, scale=bias)},
        {"wanted": Wanted("given", labels, losses)},
        {"wanted": Wanted("given", labels, losses, slopes=np.zeros((2, 3, 4), np.float32))},
        {"wanted": Wanted("cross entropy", labels, losses, scale=bias, shift=bias[:1].copy())},
        {"scores": np.zeros((2, 3, 4), np.float32)},
        {"events": np.zeros((1, 1), np.int64)},
    )
    for wrong in wrongs:
        with pytest.raises(ValueError, match=r"position|fit|label"):
            engine.compiled.Pass(**right | wrong)
    with pytest.raises(ValueError, match="no such kind"):
        Wanted("cubes", labels, losses)
    with pytest.raises(ValueError, match="threads"):
        engine.kernels.conventional(whole, 0)
    with pytest.raises(ValueError, match="client"):
        engine.kernels.spiking(
            whole, encoding(clients=(0,), first_samples=(0,)), neuron, "count", 1
        )


NEURONS: list[Leaky] = [
    LIF(0.5),
    CurrentBasedLIF(0.75, alpha=0.5),
    CurrentBasedLIF(0.5, 1.0, "zero", alpha=0.75),
    AdaptiveLIF(0.5, adaptation=0.5, rho=0.75),
    AdaptiveLIF(0.75, 1.0, "zero", adaptation=2.0, rho=0.5),
    AdaptiveLIF(0.5, 1.0, "none", adaptation=1.0, rho=0.5),
    LIF(0.5, learn_beta="per-neuron", learn_threshold="per-layer"),
    LIF(0.5, 1.0, "zero", learn_threshold="per-neuron"),
    CurrentBasedLIF(0.75, alpha=0.5, learn_alpha="per-neuron", learn_beta="per-layer"),
    AdaptiveLIF(0.5, adaptation=0.5, rho=0.75, learn_rho="per-layer", learn_beta="per-neuron"),
    AdaptiveLIF(0.5, 1.0, "zero", adaptation=0.5, rho=0.75, learn_threshold="per-neuron"),
]
SURROGATES = [Atan(), FastSigmoid(2.0), FastSigmoid(), Sigmoid(), Sigmoid(200.0), Triangular(0.5)]


@pytest.mark.parametrize("surrogate", SURROGATES, ids=str)
@pytest.mark.parametrize(
    "neuron",
    NEURONS,
    ids=[f"{n.kind} {n.reset}{' learned' if n.initial(1) else ''}" for n in NEURONS],
)
def test_every_neuron_and_surrogate_in_one_pass_is_plain_torch(
    neuron: Leaky, surrogate: Surrogate
) -> None:
    """Decays are powers of 2, so that few numbers are rounded and all fire alike."""
    neuron = msgspec.structs.replace(neuron, surrogate=surrogate)
    size = {"clients": 2, "batch": 5, "inputs": 40, "outputs": 6, "time": 1, "seed": 5}
    batch, _ = batch_of(size)
    for read_out in (SpikeCount(), MeanMembrane(), FirstSpike()):
        network = SpikingNetwork(DenseLayers((40, 33, 6)), SNN(6, neuron=neuron, read_out=read_out))
        forward = assert_one_pass_is_plain_torch(network, CrossEntropy(), batch)
    assert forward.events_in["output"].min() > 0, "nothing fired, so nothing was compared"


def test_the_sigmoids_exponential_is_exact_to_its_last_digits() -> None:
    """From the threshold to where the surrogate ends, through a step of one neuron behind one input."""
    network = SpikingNetwork(
        DenseLayers((1, 1)), SNN(1, neuron=LIF(surrogate=Sigmoid(1.0)), code=Direct())
    )
    distances = torch.linspace(-90, 90, 4001)
    weights = (distances + 1).view(-1, 1, 1)
    parameters = {"output.weight": weights, "output.bias": torch.zeros(4001, 1)}
    address = Address(0, "encode", 1, (0,) * 4001, (0,) * 4001)
    batch = Batch.of(torch.ones(4001, 1, 1), address)
    slopes = [
        engine_.learn(network, SpikeCountMSE(), parameters, batch).gradients["output.bias"]
        for engine_ in (ENGINE, PLAIN)
    ]
    torch.testing.assert_close(*slopes, rtol=1e-6, atol=1e-44)


def test_a_client_whose_traces_fill_the_memory_is_shared_in_turns() -> None:
    """256 steps of 1,024 neurons for 150 images are more than is kept at a time; one thread keeps a block."""
    network = SpikingNetwork(DenseLayers((20, 1024, 3)), SNN(256))
    batch, _ = batch_of(
        {"clients": 1, "batch": 150, "inputs": 20, "outputs": 3, "time": 1, "seed": 2}
    )
    parameters = stacked(network.architecture, batch.address.clients, scale=4)
    before, results = torch.get_num_threads(), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        results.append(ENGINE.learn(network, CrossEntropy(), parameters, batch).gradients)
    torch.set_num_threads(before)
    alone, shared = results
    assert alone["hidden.weight"].any()
    for name, gradient in alone.items():
        assert torch.equal(gradient, shared[name])
