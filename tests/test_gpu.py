"""The Triton kernels against the plain-torch functions, on a GPU or in Triton's interpreter.

Without a GPU, `pip install triton` and TRITON_INTERPRET=1 pytest tests/test_gpu.py run the same kernels here.
"""

import runpy
import sys
from collections.abc import Callable
from typing import Literal

import numpy as np
import pytest
import torch

from fedspike import randomness
from fedspike.algorithms import FedAvg
from fedspike.data import load_data
from fedspike.data.partition import Classes
from fedspike.engine import triton_kernels
from fedspike.learning.backpropagation import Backpropagation
from fedspike.networks import SNN, FullyConnected
from fedspike.parts.codes import Address, Rate
from fedspike.parts.neurons import LIF
from running import devices, simulate

needs_kernels = pytest.mark.skipif(
    not triton_kernels.AVAILABLE, reason=triton_kernels.WHY_NOT or "available"
)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
Reset = Literal["subtract", "zero"]


def rate(pixels: torch.Tensor, address: Address, time_steps: int) -> torch.Tensor:
    return triton_kernels.rate(
        pixels.to(DEVICE),
        randomness.key(address.seed, address.purpose),
        address.round,
        address.clients,
        address.first_samples,
        time_steps,
    )


@needs_kernels
@pytest.mark.parametrize("time_steps", [1, 50, 64, 65, 130])
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 5), (2, 3, 67)])
def test_the_same_spikes_as_the_rate_code(time_steps: int, shape: tuple[int, int, int]) -> None:
    """With offsets, with more places than a program has, and with a program whose pixels are all zero."""
    pixels = torch.rand(shape)
    pixels[-1, 1:, :64], pixels[0, 0, 0] = 0.0, 1.0
    address = Address(3, "encode", 5, (7, 2)[: shape[0]], (0, 1_000_003)[: shape[0]])
    spikes = rate(pixels, address, time_steps)
    assert torch.equal(spikes.cpu(), Rate().spikes(pixels, address, time_steps))
    assert spikes.movedim(0, 1).is_contiguous()


def first_numbers(sample: int) -> np.ndarray:
    """The rate code's random numbers r[0, i] of the first step of a sample with 100 pixels."""
    words = randomness.words(0, "encode", 1, 0, sample, 16 * 100).reshape(100, 16)
    bits = words & np.uint64(1)  # the highest bit of r comes first
    r: np.ndarray = (bits << np.arange(15, -1, -1, dtype=np.uint64)).sum(axis=1, dtype=np.uint64)
    return r


@needs_kernels
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("above", [0.0, 0.5, 1.0])
def test_pixels_at_the_edge(dtype: torch.dtype, above: float) -> None:
    """Pixels at which the first step's spike hangs on the rounding, half to even, on r <= q and on q > 0.

    The samples are the first ones in which r is 0 somewhere, and 65535.
    """
    samples = [next(k for k in range(5000) if rare in first_numbers(k)) for rare in (0, 65535)]
    r = np.stack([first_numbers(sample) for sample in samples])
    intensity = r.astype(np.float64) + above
    q = np.rint(intensity) - 1
    pixels = torch.from_numpy(intensity / 65536).to(dtype).reshape(2, 1, 100)
    spikes = rate(pixels, Address(0, "encode", 1, (0, 0), tuple(samples)), 1)
    assert spikes.dtype == dtype
    assert spikes[0, :, 0].tolist() == ((q > 0) & (r <= q)).tolist()


def client_first(tensor: torch.Tensor) -> torch.Tensor:
    """The same numbers, [time, client, ...], in the memory order that the simulator has."""
    return tensor.movedim(0, 1).contiguous().movedim(0, 1)


@needs_kernels
@pytest.mark.parametrize("reset", ["subtract", "zero"])
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (12, 2, 3, 4), (50, 3, 5, 29)])
@pytest.mark.parametrize("order", [torch.Tensor.contiguous, client_first])
def test_the_same_spikes_and_gradients_as_lif(
    reset: Reset, shape: tuple[int, ...], order: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    """Spikes equal; gradients to float32 rounding accumulated over time."""
    currents = order(torch.randn(shape))
    theirs, ours = (currents.to(device, copy=True).requires_grad_() for device in ("cpu", DEVICE))
    upstream = torch.randn(shape)

    expected = LIF(0.9, 0.7, reset).spikes(theirs)
    expected.backward(upstream)  # type: ignore[no-untyped-call]
    spikes = triton_kernels.lif(ours, 0.9, 0.7, reset == "zero")
    spikes.backward(upstream.to(DEVICE))  # type: ignore[no-untyped-call]

    assert torch.equal(spikes.cpu(), expected)
    assert theirs.grad is not None
    assert ours.grad is not None
    torch.testing.assert_close(ours.grad.cpu(), theirs.grad, rtol=1e-5, atol=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU")
def test_a_round_on_the_gpu() -> None:
    """The same input spikes as on the CPU, exactly; sums in another order may flip a few of the others."""
    data = load_data("fashion-mnist-sample")
    on_cpu, on_gpu = (
        next(
            simulate(
                network=SNN(10, FullyConnected((20,))).over((784,), 10),
                algorithm=FedAvg(),
                devices=devices(tuple(Classes(5)(data.y_train, clients=4, seed=0))),
                training=Backpropagation(),
                dataset=data,
                seed=0,
                rounds=1,
                device=device,
            )
        )
        for device in ("cpu", "cuda")
    )
    assert on_gpu.spikes["hidden"] == on_cpu.spikes["hidden"]
    assert on_gpu.spikes["output"] == pytest.approx(on_cpu.spikes["output"], rel=0.01)
    assert on_gpu.training_loss == pytest.approx(on_cpu.training_loss, rel=0.01)


def kernels_elsewhere() -> dict[str, object]:
    """The module's names as they would be had it been imported under the circumstances of the test."""
    return runpy.run_path(triton_kernels.__file__)


def test_it_says_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.delenv("FEDSPIKE_KERNELS", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert kernels_elsewhere()["WHY_NOT"] == "torch finds no GPU"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setitem(sys.modules, "triton", None)
    assert str(kernels_elsewhere()["WHY_NOT"]).startswith("Triton is missing")
    monkeypatch.setenv("FEDSPIKE_KERNELS", "off")
    assert kernels_elsewhere()["WHY_NOT"] == "FEDSPIKE_KERNELS=off"
    assert not kernels_elsewhere()["AVAILABLE"]
