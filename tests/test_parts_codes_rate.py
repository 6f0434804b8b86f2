"""The random numbers of the rate code; test_parts_codes.py has the laws of all codes."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fedspike import engine
from fedspike.engine import kernel_parts
from fedspike.parts.codes import Address, Rate
from fedspike.randomness import words

Encode = Callable[[Tensor, Address, int], Tensor]


def compiled_spikes(pixels: Tensor, address: Address, time_steps: int) -> Tensor:
    if not engine.ACTIVE:
        pytest.skip(engine.WHY_NOT)
    return kernel_parts.packed_spikes(Rate(), pixels, address, time_steps).dense()


def address(*clients: int, first: int = 0, round: int = 1) -> Address:
    return Address(0, "encode", round, clients, (first,) * len(clients))


def test_a_full_pixel_always_spikes_and_a_zero_one_never() -> None:
    x = torch.tensor([[[0.0, 1.0]]])
    spikes = Rate().spikes(x.expand(2, 3, 2), address(0, 1), 1000)
    assert (spikes[..., 0] == 0).all()
    assert (spikes[..., 1] == 1).all()


@pytest.mark.parametrize("gain", [1.0, 0.3])
def test_the_mean_is_the_pixel_times_the_gain(gain: float) -> None:
    """200,000 draws each of 11 intensities: 5 standard errors, missed once in two million tests each."""
    x = torch.linspace(0, 1, 11).expand(1, 200, 11)
    mean, p = Rate(gain=gain).spikes(x, address(0), 1000).mean((0, 1, 2)), gain * x[0, 0]
    error = 5 * (p * (1 - p) / 200_000).sqrt() + 1.6e-5
    assert bool(((mean - p).abs() <= error).all())


@pytest.mark.parametrize("encode", [Rate().spikes, compiled_spikes], ids=["numpy", "compiled"])
def test_the_darkest_pixels_spike_as_rarely_as_they_should(encode: Encode) -> None:
    """Of 2^22 draws 64 k at probability k / 2^16, within 5 standard errors; none below half of 1 / 2^16."""
    for k in (0.49, 1, 2, 3):
        spikes = encode(torch.full((1, 8, 4096), k / 2**16), address(0), 128).sum()
        expected = 64 * round(k)
        assert abs(float(spikes) - expected) <= 5 * math.sqrt(expected)


def test_time_steps_and_pixels_are_independent() -> None:
    """Correlation of two fair coins over n draws has a standard error of 1/sqrt(n)."""
    spikes = Rate().spikes(torch.full((1, 200, 2), 0.5), address(0), 100)[:, 0] - 0.5
    n = spikes[1:].numel()
    assert abs(float((spikes[1:] * spikes[:-1]).mean() * 4)) < 5 / math.sqrt(n)
    assert abs(float((spikes[..., 0] * spikes[..., 1]).mean() * 4)) < 5 / math.sqrt(n / 2)


@pytest.mark.parametrize("time_steps", [1, 50, 64, 65, 130])
def test_each_number_by_the_documented_rule(time_steps: int) -> None:
    """The slow way: put every random number together bit by bit, then compare."""
    x = torch.rand(1, 1, 7)
    x[0, 0, :3] = torch.tensor([0.0, 1.0, 2.0**-16])
    spikes = Rate().spikes(x, address(3, first=5), time_steps)
    raw = words(0, "encode", 1, 3, 5, 16 * 7 * 3).tolist()
    for t in range(time_steps):
        for i in range(7):
            limit = round(65536 * float(x[0, 0, i]))
            here = raw[16 * (t // 64 * 7 + i) :][:16]
            r = sum((word >> t % 64 & 1) << (15 - j) for j, word in enumerate(here))
            assert spikes[t, 0, 0, i] == (r < limit)


@given(first=st.integers(0, 4), length=st.integers(1, 4))
def test_batches_and_company_do_not_change_a_sample(first: int, length: int) -> None:
    x = torch.rand(3, 8, 6, generator=torch.Generator().manual_seed(0))
    whole = Rate().spikes(x, address(4, 7, 9), 9)
    part = Rate().spikes(x[1:2, first : first + length], address(7, first=first), 9)
    assert torch.equal(part[:, 0], whole[:, 1, first : first + length])


def test_more_time_steps_only_add() -> None:
    x = torch.rand(1, 2, 4)
    short, long = (Rate().spikes(x, address(0), time_steps) for time_steps in (3, 8))
    assert torch.equal(long[:3], short)


def test_rounds_differ() -> None:
    x = torch.full((1, 4, 50), 0.5)
    one, two = (Rate().spikes(x, address(0, round=round), 5) for round in (1, 2))
    assert not torch.equal(one, two)
