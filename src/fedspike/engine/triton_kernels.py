"""The rate code and the LIF neurons on a GPU, as Triton kernels.

`rate` equals `Rate.spikes` and `lif` equals `LIF.spikes`, to the bit; gradients are
equal to rounding. Where they cannot be used WHY_NOT says why, and the plain-torch functions do the work.

In memory every tensor here is [client, time, place]; a place is a neuron of a sample, batch x neuron of them
side by side. A program of a kernel has BLOCK places of one client and walks through all their time steps, the
state in registers, so that each number crosses the memory bus once.

On a machine without a GPU, TRITON_INTERPRET=1 runs the same kernels, slowly, on CPU tensors.
"""

from __future__ import annotations  # tl.constexpr must not be looked up where Triton is missing

import importlib
import os
from typing import Any, no_type_check

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor
from torch.autograd.function import once_differentiable

from fedspike.parts.tensors import Trains

triton: Any = None
tl: Any = None
WHY_NOT = ""
if os.environ.get("FEDSPIKE_KERNELS") == "off":
    WHY_NOT = "FEDSPIKE_KERNELS=off"
elif not torch.cuda.is_available() and os.environ.get("TRITON_INTERPRET") != "1":
    WHY_NOT = "torch finds no GPU"
else:
    try:
        triton, tl = importlib.import_module("triton"), importlib.import_module("triton.language")
    except ImportError as error:
        WHY_NOT = f"Triton is missing ({error}); torch for CUDA brings it, or pip install triton"

AVAILABLE = not WHY_NOT
_BLOCK = 128


def _jit(function: Any) -> Any:
    return triton.jit(function) if AVAILABLE else function


def rate(
    pixels: Float[Tensor, "client batch pixel"],
    key: tuple[int, int],
    round: int,
    clients: tuple[int, ...],
    first_samples: tuple[int, ...],
    time_steps: int,
) -> Trains:
    """The rate code's spikes for the address given by `key`, `round`, `clients` and `first_samples`.

    0.0 and 1.0 in the type of `pixels`, client first in memory.
    """
    _, batch, size = pixels.shape
    rows = [(*key, round, *own) for own in zip(clients, first_samples, strict=True)]
    addresses = torch.from_numpy(np.array(rows, np.uint64)).to(pixels.device, non_blocking=True)
    spikes = pixels.new_empty(len(clients), time_steps, batch, size)
    _launch(_rate_kernel, spikes.shape, pixels.contiguous(), addresses, spikes, size)
    return spikes.movedim(0, 1)


def lif(
    currents: Float32[Tensor, "time client batch neuron"], beta: float, threshold: float, zero: bool
) -> Float32[Tensor, "time client batch neuron"]:
    """The LIF recurrence through all time steps from rest; resets to zero, or else by subtraction.

    Differentiable once. Tensors that have the client first in memory are not copied.
    """
    spikes: Tensor = _Lif.apply(currents, float(beta), float(threshold), zero)  # type: ignore[no-untyped-call]
    return spikes


class _Lif(torch.autograd.Function):
    """The recurrence over time and its exact adjoint; only the membrane is kept between the two."""

    @staticmethod
    def forward(ctx: Any, currents: Tensor, beta: float, threshold: float, zero: bool) -> Tensor:
        currents = currents.movedim(1, 0).contiguous()
        membrane, spikes = torch.empty_like(currents), torch.empty_like(currents)
        ctx.neuron = (beta, threshold, zero)
        ctx.save_for_backward(membrane)
        _launch(_lif_kernel, currents.shape, currents, membrane, spikes, *ctx.neuron)
        return spikes.movedim(0, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, into_spikes: Tensor) -> tuple[Tensor, None, None, None]:
        (membrane,) = ctx.saved_tensors
        into_spikes = into_spikes.movedim(1, 0).contiguous()
        gradient = torch.empty_like(membrane)
        _launch(_lif_adjoint_kernel, membrane.shape, membrane, into_spikes, gradient, *ctx.neuron)
        return gradient.movedim(0, 1), None, None, None


def _launch(kernel: Any, shape: torch.Size, *arguments: Any) -> None:
    """Run a kernel for all places of all clients; `shape` is [client, time, batch, neuron]."""
    clients, steps, batch, neurons = shape
    places = batch * neurons
    programs = clients * triton.cdiv(places, _BLOCK)
    with torch.cuda.device_of(arguments[0]):  # type: ignore[no-untyped-call]
        # Without fused multiply-adds, which round once where torch rounds twice: that can flip a spike.
        kernel[(programs,)](places, steps, *arguments, BLOCK=_BLOCK, enable_fp_fusion=False)


# --- the kernels: no types that Python knows, so nothing checks them but the tests ---------------


@_jit
@no_type_check
def _places(places, steps, BLOCK: tl.constexpr):
    """A program's client, its places, which of these exist, and where their first time step lies."""
    blocks = tl.cdiv(places, BLOCK)
    client = (tl.program_id(0) // blocks).to(tl.int64)
    place = tl.program_id(0) % blocks * BLOCK + tl.arange(0, BLOCK)
    return client, place, place < places, client * steps * places + place


@_jit
@no_type_check
def _philox(block, sample, client, round, k0, k1):
    """Four words of Philox 4x64-10 (Salmon et al., SC 2011), all uint64; as numpy.random.Philox."""
    c0, c1, c2, c3 = block, sample, client, round
    for _ in tl.static_range(10):
        low0, high0 = c0 * 0xD2E7470EE14C6C93, tl.umulhi(c0, 0xD2E7470EE14C6C93)
        low1, high1 = c2 * 0xCA5A826395121157, tl.umulhi(c2, 0xCA5A826395121157)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0 += 0x9E3779B97F4A7C15
        k1 += 0xBB67AE8584CAA73B
    return c0, c1, c2, c3


@_jit
@no_type_check
def _train(q, block, sample, client, round, k0, k1):
    """64 comparisons r <= q at once, the highest bits first; none holds where q is -1."""
    none = tl.zeros(q.shape, tl.uint64)
    every = none + 0xFFFFFFFFFFFFFFFF
    less, undecided = none, tl.where(q >= 0, every, none)
    for part in tl.static_range(4):
        words = _philox(block + part, sample, client, round, k0, k1)
        for j in tl.static_range(4):
            bit = tl.where(((q >> (15 - 4 * part - j)) & 1) == 1, every, none)
            decided = undecided & (words[j] ^ bit)
            less |= decided & bit
            undecided ^= decided
    return less | undecided


@_jit
@no_type_check
def _rate_kernel(places, steps, pixels, addresses, spikes, size, BLOCK: tl.constexpr):
    k, place, exists, start = _places(places, steps, BLOCK)
    row = addresses + 5 * k
    k0, k1, round = tl.load(row), tl.load(row + 1), tl.load(row + 2)
    client, sample = tl.load(row + 3), tl.load(row + 4) + (place // size).to(tl.uint64)
    # Numbers near 2^52 have no fraction: adding it rounds to the nearest integer, half to even.
    x = tl.load(pixels + k * places + place, mask=exists, other=0.0).to(tl.float64)
    q = (x * 65536.0 + 4503599627370496.0) - 4503599627370496.0 - 1.0
    q = tl.minimum(tl.maximum(q, -1.0), 65535.0).to(tl.int32)
    bright = tl.max(q, 0) >= 0
    into = spikes + start
    for group in range(tl.cdiv(steps, 64)):
        train = tl.zeros([BLOCK], tl.uint64)
        if bright:
            block = (group * size + place % size).to(tl.uint64) * 4 + 1
            train = _train(q, block, sample, client, round, k0, k1)
        for _ in range(tl.minimum(steps - 64 * group, 64)):
            tl.store(into, tl.where((train & 1) == 1, 1.0, 0.0), mask=exists)
            train >>= 1
            into += places


@_jit
@no_type_check
def _lif_kernel(
    places, steps, currents, membranes, spikes, beta, threshold, ZERO: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    _, _, exists, at = _places(places, steps, BLOCK)
    membrane = tl.zeros([BLOCK], tl.float32)
    fired = membrane > threshold
    for _ in range(steps):
        current = tl.load(currents + at, mask=exists, other=0.0)
        if ZERO:
            membrane = beta * tl.where(fired, 0.0, membrane) + current
        else:
            membrane = beta * membrane + current - tl.where(fired, threshold, 0.0)
        fired = membrane > threshold
        tl.store(membranes + at, membrane, mask=exists)
        tl.store(spikes + at, tl.where(fired, 1.0, 0.0), mask=exists)
        at += places


@_jit
@no_type_check
def _lif_adjoint_kernel(
    places, steps, membranes, into_spikes, gradients, beta, threshold, ZERO: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    _, _, exists, start = _places(places, steps, BLOCK)
    at = start + tl.cast(steps - 1, tl.int64) * places
    gradient = tl.zeros([BLOCK], tl.float32)
    for _ in range(steps):
        membrane = tl.load(membranes + at, mask=exists, other=0.0)
        distance = 3.141592653589793 * (membrane - threshold)
        own = tl.load(into_spikes + at, mask=exists, other=0.0) / (1.0 + distance * distance)
        decay = tl.where(membrane > threshold, 0.0, beta) if ZERO else beta
        gradient = own + decay * gradient
        tl.store(gradients + at, gradient, mask=exists)
        at -= places
