"""Every compiled kernel against the plain function it must equal; odd sizes and remainders on purpose."""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fedspike import kernels
from fedspike.encoding import (
    Address,
    BinaryCode,
    BurstCode,
    DeltaCode,
    LatencyCode,
    PhaseCode,
    RateCode,
)
from fedspike.kernels import packed
from fedspike.kernels.packed import PackedSpikes
from fedspike.losses import SpikeCountMSE
from fedspike.networks import SNN, Architecture
from fedspike.neurons import LIF
from fedspike.randomness import stream
from fedspike.training import learn

pytestmark = pytest.mark.skipif(not kernels.ACTIVE, reason=kernels.WHY_NOT)

sizes: st.SearchStrategy[dict[str, int]] = st.builds(
    dict,
    clients=st.integers(1, 3),
    batch=st.integers(1, 4),
    inputs=st.sampled_from([1, 7, 63, 64, 65, 130]),
    outputs=st.sampled_from([1, 10, 16, 17, 100, 129, 150]),
    time=st.sampled_from([1, 3, 4, 16, 50, 63, 64, 65, 130]),
    seed=st.integers(0, 2**31),
)


def drawn(size: dict[str, int]) -> tuple[torch.Tensor, Address, torch.Generator]:
    """Pixels with zeros and ones among them."""
    generator = torch.Generator().manual_seed(size["seed"])
    shape = (size["clients"], size["batch"], size["inputs"])
    pixels = (1.5 * torch.rand(shape, generator=generator) - 0.25).clamp(0, 1)
    clients = tuple(range(4, 4 + size["clients"]))
    first = tuple(int(x) for x in torch.randint(0, 100, (size["clients"],), generator=generator))
    return pixels, Address(size["seed"], "encode", 2, clients, first), generator


@given(sizes)
def test_rate_spikes_are_the_plain_ones(size: dict[str, int]) -> None:
    pixels, address, _ = drawn(size)
    code = RateCode(size["time"])
    plain, bits = code.spikes(pixels, address), code.packed(pixels, address)
    assert torch.equal(bits.dense(), plain)
    assert torch.equal(bits.counts(), plain.sum(0).long())
    padding = np.unpackbits(bits.trains.numpy().view(np.uint8), axis=3, bitorder="little")
    assert not padding[..., size["time"] :].any()


TABULATED: list[BinaryCode] = [
    *(LatencyCode(2), LatencyCode(63), LatencyCode(64), LatencyCode(130, "logarithmic")),
    *(PhaseCode(16, period=16), PhaseCode(65), BurstCode(50), DeltaCode(1), DeltaCode(129)),
]


@given(
    arrays(np.float32, (2, 3, 7), elements=st.floats(0, 1, width=32)), st.sampled_from(TABULATED)
)
def test_looked_up_spikes_are_the_plain_ones(pixels: np.ndarray, code: BinaryCode) -> None:
    """PhaseCode(16, period=16) shows the level itself; between two of them is where rounding could differ."""
    pixels[1] = (pixels[1] * 65535).round().clip(0, 65534) / 65535 + np.float32(0.5 / 65535)
    x, address = torch.from_numpy(pixels), Address(0, "encode", 1, (0, 1), (0, 0))
    plain, bits = code.spikes(x, address), code.packed(x, address)
    assert torch.equal(bits.dense(), plain)
    padding = np.unpackbits(bits.trains.numpy().view(np.uint8), axis=3, bitorder="little")
    assert not padding[..., code.time_steps :].any()


def test_looked_up_pixels_that_are_no_intensities_get_the_nearer_end() -> None:
    """Never memory beside the table; a data set refuses them before."""
    wrong = torch.tensor([-1e30, -0.1, np.nan, 1.1, 1e30, np.inf])
    address = Address(0, "encode", 1, (0,), (0,))
    bits = PhaseCode(16, period=16).packed(wrong.reshape(1, 1, 6), address)
    assert bits.counts().flatten().tolist() == [0, 0, 0, 16, 16, 16]


@given(sizes)
def test_linear_and_its_gradients_are_the_matrix_products(size: dict[str, int]) -> None:
    """Against float64; a float32 sum of n terms is right to about n * 6e-8 of their absolute sum."""
    pixels, address, generator = drawn(size)
    spikes = RateCode(size["time"]).packed(pixels, address)
    dense = spikes.dense().permute(1, 2, 0, 3).double()
    shape = (size["clients"], size["outputs"], size["inputs"])
    weight = torch.randn(shape, generator=generator).requires_grad_()
    bias = torch.randn(shape[:2], generator=generator).requires_grad_()
    carrier = torch.zeros(dense.shape, requires_grad=True)
    currents = packed.linear(PackedSpikes(spikes.trains, size["time"], carrier), weight, bias)
    delta = torch.randn(currents.shape, generator=generator)
    currents.backward(delta)  # type: ignore[no-untyped-call]

    exact = torch.einsum("kbti,koi->kbto", dense, weight.detach().double())
    expected = exact + bias.detach().double()[:, None, None]
    torch.testing.assert_close(currents.detach().double(), expected, rtol=1e-5, atol=1e-4)
    gradients = {
        "weight": torch.einsum("kbti,kbto->koi", dense, delta.double()),
        "bias": delta.double().sum((1, 2)),
        "carrier": torch.einsum("kbto,koi->kbti", delta.double(), weight.detach().double()),
    }
    for name, leaf in (("weight", weight), ("bias", bias), ("carrier", carrier)):
        assert leaf.grad is not None
        torch.testing.assert_close(leaf.grad.double(), gradients[name], rtol=1e-5, atol=1e-4)


@given(sizes, st.sampled_from(["subtract", "zero"]), st.floats(0, 1), st.floats(0.1, 2))
def test_lif_spikes_are_equal_and_gradients_agree(
    size: dict[str, int], reset: Literal["subtract", "zero"], beta: float, threshold: float
) -> None:
    lif = LIF(beta, threshold, reset)
    generator = torch.Generator().manual_seed(size["seed"])
    shape = (size["clients"], size["batch"], size["time"], size["outputs"])
    ours = torch.randn(shape, generator=generator).requires_grad_()
    plain = ours.detach().permute(2, 0, 1, 3).contiguous().requires_grad_()
    bits, dense = lif.packed(ours), lif.spikes(plain)
    assert torch.equal(bits.dense(), dense.detach())
    assert torch.equal(bits.counts(), dense.detach().sum(0).long())

    into = torch.randn(shape[:2] + shape[3:], generator=generator)
    (bits.scores() * into).sum().backward()  # type: ignore[no-untyped-call]
    (dense.sum(0) * into).sum().backward()  # type: ignore[no-untyped-call]
    assert ours.grad is not None
    assert plain.grad is not None
    torch.testing.assert_close(ours.grad.permute(2, 0, 1, 3), plain.grad, rtol=1e-5, atol=1e-6)


@given(sizes, st.sampled_from(["subtract", "zero"]), st.sampled_from([(), (33,), (17, 140)]))
def test_a_network_in_one_pass_is_its_layers_one_after_the_other(
    size: dict[str, int], reset: Literal["subtract", "zero"], hidden: tuple[int, ...]
) -> None:
    """Scores, events, and the gradients of the last layer bit for bit, the others closely."""
    pixels, address, generator = drawn(size)
    network = SNN(
        Architecture((size["inputs"], *hidden, size["outputs"])),
        LIF(0.9, 1.0, reset),
        RateCode(size["time"]),
    )
    models = [network.architecture.init(stream(0, "init", client=k)) for k in address.clients]
    parameters = {name: torch.stack([m[name] for m in models]) * 3 for name in models[0]}
    batch = pixels.shape[:2]
    present = torch.rand(batch, generator=generator) < 0.8
    targets = torch.rand(*batch, size["outputs"], generator=generator)
    slopes = torch.rand(batch, generator=generator) * present
    forward, gradients = network.learn(parameters, pixels, address, present, targets, slopes)

    leaves = {name: weight.clone().requires_grad_() for name, weight in parameters.items()}
    parts = network.run(leaves, pixels, address, present)
    into = slopes.unsqueeze(2) * (parts.scores.detach() - targets)
    parts.scores.backward(into)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        tested = network.run(parameters, pixels, address, present)
    for other in (parts, tested):
        assert torch.equal(forward.scores, other.scores)
        assert torch.equal(forward.events_out, other.events_out)
        assert forward.events_in.keys() == other.events_in.keys()
        for name, events in forward.events_in.items():
            assert torch.equal(events, other.events_in[name])
    for name, leaf in leaves.items():
        assert leaf.grad is not None
        if name.startswith("output"):
            assert torch.equal(gradients[name], leaf.grad)
        scale = max(float(leaf.grad.abs().max()), 1e-3)
        torch.testing.assert_close(gradients[name], leaf.grad, rtol=0, atol=1e-5 * scale)


def test_the_gradients_of_a_network_agree_with_plain_float64() -> None:
    architecture = Architecture((70, 33, 20, 10))
    network = SNN(architecture, LIF(beta=0.8), RateCode(20))
    loss = SpikeCountMSE(20)
    pixels, address, generator = drawn(
        {"clients": 3, "batch": 5, "inputs": 70, "outputs": 1, "time": 20, "seed": 1}
    )
    present = torch.tensor([[True] * 5, [True] * 3 + [False] * 2, [True] + [False] * 4])
    labels = torch.randint(0, 10, (3, 5), generator=generator)
    models = [architecture.init(stream(0, "init", client=k)) for k in range(3)]
    results = []
    for dtype in (torch.float32, torch.float64):  # kernels, then plain torch
        parameters = {
            name: torch.stack([m[name] for m in models]).to(dtype) * 5 for name in models[0]
        }
        results.append(learn(network, loss, parameters, pixels.to(dtype), labels, address, present))
    (fast, fast_losses, found), (plain, plain_losses, expected) = results
    assert min(int(fast.events_in["output"].min()), int(fast.events_out.min())) > 0
    assert torch.equal(fast.events_out, plain.events_out)
    for name, events in plain.events_in.items():
        assert torch.equal(fast.events_in[name], events)
    torch.testing.assert_close(fast_losses.double(), plain_losses)
    for name, gradient in expected.items():
        scale = float(gradient.abs().max())
        torch.testing.assert_close(found[name].double(), gradient, rtol=0, atol=1e-5 * scale)


def test_switched_off_the_plain_path_trains_on_the_same_spikes() -> None:
    """A round each way, in processes of their own; float32 sums in another order move accuracy a little."""
    program = """
import json
from fedspike import kernels
from fedspike.algorithms import fedavg
from fedspike.datasets import load
from fedspike.encoding import RateCode
from fedspike.fleet import Fleet
from fedspike.losses import SpikeCountMSE
from fedspike.networks import SNN, Architecture
from fedspike.neurons import LIF
from fedspike.partition import IID
from fedspike.simulation import simulate
from fedspike.training import LocalTraining
data = load("fashion-mnist-sample")
(round,) = simulate(
    network=SNN(Architecture((784, 30, 10)), LIF(), RateCode(8)), algorithm=fedavg(),
    fleet=Fleet(tuple(IID()(data.y_train, clients=4, seed=0))), dataset=data, seed=0, rounds=1,
    training=LocalTraining(SpikeCountMSE(8), batch_size=32),
)
print(json.dumps([kernels.engine(), round.spikes["hidden"], round.accuracy]))
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
    packed._log_once.cache_clear()
    assert packed.can_take(torch.zeros(2))
    assert not any(packed.can_take(torch.zeros(2, dtype=torch.float64)) for _ in range(3))
    assert [record.message for record in caplog.records] == [
        "plain torch computes, several times slower: torch.float64 is not float32"
    ]


def test_kernels_and_torch_share_one_pool_of_threads() -> None:
    """Two OpenMP libraries in a process would each keep threads, and wait for each other's cores."""
    if sys.platform != "linux":
        pytest.skip("reads the process's own memory map")
    mapped = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines()}
    assert sum("libgomp" in Path(name).name for name in mapped) == 1


def test_neither_threads_nor_instruction_sets_change_a_bit() -> None:
    """Also with one client, whose weight gradient is cut among the threads."""
    before, results = torch.get_num_threads(), []
    sets = kernels.compiled.instruction_sets
    try:
        for name, threads, clients in itertools.product(sets, (1, 2, 4), (1, 3)):
            kernels.compiled.use_instruction_set(name)
            torch.set_num_threads(threads)
            results.append((clients, name, threads, bits_of_a_step(clients)))
    finally:
        torch.set_num_threads(before)
        kernels.compiled.use_instruction_set(sets[0])
    for clients, name, threads, found in results[2:]:
        expected = results[clients == 3][3]
        for a, b in zip(found, expected, strict=True):
            assert torch.equal(a, b), (clients, name, threads)


def bits_of_a_step(clients: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(clients, 6, 70, generator=generator)
    address = Address(0, "encode", 1, tuple(range(clients)), (0,) * clients)
    spikes, burst = RateCode(50).packed(pixels, address), BurstCode(65).packed(pixels, address)
    weight = torch.randn(clients, 33, 70, generator=generator).requires_grad_()
    inner = torch.randn(clients, 9, 33, generator=generator).requires_grad_()
    biases = [torch.zeros(clients, 33), torch.zeros(clients, 9)]
    hidden = LIF().packed(packed.linear(spikes, weight, biases[0]))
    output = LIF().packed(packed.linear(hidden, inner, biases[1]))
    output.scores().square().sum().backward()  # type: ignore[no-untyped-call]
    assert weight.grad is not None
    assert inner.grad is not None
    target = (torch.ones(clients, 6, 9), torch.rand(clients, 6, generator=generator))
    passed = LIF().packed_network(spikes, [weight, inner], biases, target)
    separate = [spikes.trains, burst.trains, hidden.trains, weight.grad, inner.grad]
    return [*separate, passed.scores, passed.events, *passed.into_weights, *passed.into_biases]


def test_an_instruction_set_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="no instruction set AVX-1024"):
        kernels.compiled.use_instruction_set("AVX-1024")


def test_wrong_shapes_are_errors_and_no_crash() -> None:
    trains = np.zeros((2, 3, 64, 1), np.int64)
    weight, bias = np.zeros((2, 5, 64), np.float32), np.zeros((2, 5), np.float32)
    currents = np.zeros((2, 3, 4, 5), np.float32)
    kernels.compiled.linear(trains, weight, bias, currents, 1)
    for arguments in (
        (trains[:, :, :63], weight, bias, currents, 1),
        (trains, weight[:1], bias, currents, 1),
        (trains, weight, bias[:, :4], currents, 1),
        (trains, weight, bias, np.zeros((2, 3, 65, 5), np.float32), 1),
        (trains, weight, bias, currents[:, :2], 1),
        (trains, weight, bias, currents, 0),
    ):
        with pytest.raises((ValueError, TypeError)):
            kernels.compiled.linear(*arguments)
    with pytest.raises(ValueError, match="linear_gradient"):
        kernels.compiled.linear_gradient(trains, currents, weight, bias[:, :4].copy(), 1)
    with pytest.raises(ValueError, match="linear_through"):
        kernels.compiled.linear_through(weight, currents, np.zeros((2, 3, 4, 6), np.float32), 1)
    membrane = np.zeros((2, 3, 4, 5), np.float32)
    with pytest.raises(ValueError, match="lif"):
        kernels.compiled.lif(membrane, 0.9, 1.0, False, membrane, trains, 1)
    network = kernels.compiled.network
    scores, events = np.zeros((2, 3, 5), np.float32), np.zeros((1, 2, 3), np.int64)
    forward = [trains, 4, [weight], [bias], 0.9, 1.0, False, None, None, [], [], scores, events, 1]
    slopes = np.zeros((2, 3), np.float32)
    network(*forward)
    for position, wrong in (
        (0, trains[:, :2].copy()),
        (1, 65),
        (2, []),
        (2, [weight, weight]),
        (3, [bias[:, :4].copy()]),
        (7, scores),  # targets without slopes
        (8, slopes),
        (9, [weight]),
        (11, scores[:, :, :4].copy()),
        (12, events[:, :1].copy()),
        (13, 0),
    ):
        with pytest.raises((ValueError, TypeError)):
            network(*forward[:position], wrong, *forward[position + 1 :])
    with pytest.raises(ValueError, match="targets or slopes do not fit"):
        network(*forward[:7], scores, slopes[:1].copy(), [weight], [bias], scores, events, 1)
    table = np.zeros((65536, 2), np.int64)
    bits = np.zeros((2, 5, 64, 2), np.int64)
    lookup = kernels.compiled.lookup
    lookup(weight, table, 65, bits, 1)
    for steps, held, into in (
        (64, table, bits),
        (65, table[:65535], bits),
        (65, table[:, :1].copy(), bits),
        (65, table, bits[:, :4].copy()),
        (0, table[:, :0].copy(), bits[..., :0].copy()),
    ):
        with pytest.raises(ValueError, match="lookup"):
            lookup(weight, held, steps, into, 1)
    few = np.zeros(2, np.int64)
    with pytest.raises(ValueError, match="rate"):
        kernels.compiled.rate(weight, 0, 0, 1, few, few, 0, trains, 1)
