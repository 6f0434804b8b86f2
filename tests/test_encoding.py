import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fedspike.errors import InputError
from fedspike.parts.codes import Address, Rate
from fedspike.randomness import words

pixels = arrays(np.float32, (2, 3, 5), elements=st.floats(0, 1, width=32)).map(torch.from_numpy)


def address(*clients: int, first: int = 0, round: int = 1) -> Address:
    return Address(0, "encode", round, clients, (first,) * len(clients))


@given(pixels)
def test_a_zero_pixel_never_spikes_and_a_full_one_always(x: torch.Tensor) -> None:
    x[0, 0, 0], x[0, 0, 1] = 0.0, 1.0
    spikes = Rate().spikes(x, address(0, 1))
    assert set(spikes.flatten().tolist()) <= {0.0, 1.0}
    assert spikes[:, x == 0].sum() == 0
    assert spikes[:, x == 1].min() == 1


def test_the_mean_is_the_pixel() -> None:
    """200,000 draws each of 11 intensities: 5 standard errors, missed once in two million tests each."""
    x = torch.linspace(0, 1, 11).expand(1, 200, 11)
    mean = Rate().spikes(x, address(0)).mean((0, 1, 2))
    error = 5 * (x[0, 0] * (1 - x[0, 0]) / 200_000).sqrt() + 1.6e-5
    assert bool(((mean - x[0, 0]).abs() <= error).all())


def test_time_steps_and_pixels_are_independent() -> None:
    """Correlation of two fair coins over n draws has a standard error of 1/sqrt(n)."""
    spikes = Rate().spikes(torch.full((1, 200, 2), 0.5), address(0))[:, 0] - 0.5
    n = spikes[1:].numel()
    assert abs(float((spikes[1:] * spikes[:-1]).mean() * 4)) < 5 / math.sqrt(n)
    assert abs(float((spikes[..., 0] * spikes[..., 1]).mean() * 4)) < 5 / math.sqrt(n / 2)


@pytest.mark.parametrize("time_steps", [1, 50, 64, 65, 130])
def test_each_number_by_the_documented_rule(time_steps: int) -> None:
    """The slow way: put every random number together bit by bit, then compare."""
    x = torch.rand(1, 1, 7)
    x[0, 0, :2] = torch.tensor([0.0, 1.0])
    spikes = Rate().spikes(x, address(3, first=5))
    raw = words(0, "encode", 1, 3, 5, 16 * 7 * 3).tolist()
    for t in range(time_steps):
        for i in range(7):
            q = max(round(65536 * float(x[0, 0, i])) - 1, 0)
            here = raw[16 * (t // 64 * 7 + i) :][:16]
            r = sum((word >> t % 64 & 1) << (15 - j) for j, word in enumerate(here))
            assert spikes[t, 0, 0, i] == (q > 0 and r <= q)


@given(first=st.integers(0, 4), length=st.integers(1, 4))
def test_batches_and_company_do_not_change_a_sample(first: int, length: int) -> None:
    x = torch.rand(3, 8, 6, generator=torch.Generator().manual_seed(0))
    code = Rate()
    whole = code.spikes(x, address(4, 7, 9))
    part = code.spikes(x[1:2, first : first + length], address(7, first=first))
    assert torch.equal(part[:, 0], whole[:, 1, first : first + length])


def test_more_time_steps_only_add() -> None:
    x = torch.rand(1, 2, 4, generator=torch.Generator().manual_seed(0))
    short, long = Rate().spikes(x, address(0)), Rate().spikes(x, address(0))
    assert torch.equal(long[:3], short)


def test_rounds_differ() -> None:
    x = torch.full((1, 4, 50), 0.5)
    one, two = (Rate().spikes(x, address(0, round=round)) for round in (1, 2))
    assert not torch.equal(one, two)


def test_float64_pixels_give_the_same_spikes() -> None:
    x = torch.rand(1, 2, 40, generator=torch.Generator().manual_seed(0))
    single, double = Rate().spikes(x, address(0)), Rate().spikes(x.double(), address(0))
    assert double.dtype == torch.float64
    assert torch.equal(single.double(), double)


@pytest.mark.parametrize("wrong", [-0.001, 1.001, math.nan])
def test_a_probability_outside_0_to_1(wrong: float) -> None:
    with pytest.raises(InputError, match="intensities from 0 to 1"):
        Rate().spikes(torch.tensor([[[0.5, wrong]]]), address(0))


@pytest.mark.parametrize("steps", [0, -3])
def test_no_time_steps(steps: int) -> None:
    with pytest.raises(InputError, match=f"time_steps = {steps}"):
        Rate()
