"""Sums over clients: the same bits in any order, and right, against exact fractions and `math.fsum`."""

import itertools
import math
from fractions import Fraction
from random import Random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedspike.rules.exact_sum import AT_ONCE, ExactSum, exact_mean

SINGLE = st.floats(width=32, allow_nan=False, allow_infinity=False)
SIZED = st.tuples(st.floats(-1.0, 1.0, width=32), st.integers(-120, 120)).map(
    lambda pair: float(torch.tensor(math.ldexp(*pair), dtype=torch.float32))
)
WEIGHTED = st.tuples(SINGLE | SIZED, st.integers(1, 2**29 - 1))
ANY_ORDER = st.randoms(use_true_random=False)


def bits(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().numpy().tobytes()


def sum_of(addends: list[tuple[float, int]]) -> ExactSum:
    sums = ExactSum(())
    for number, weight in addends:
        sums.deposit(torch.tensor(number), weight)
    return sums


@settings(max_examples=200, deadline=None)
@given(st.lists(WEIGHTED, min_size=1, max_size=12), ANY_ORDER)
def test_any_order_chunks_merges_and_parts(addends: list[tuple[float, int]], by: Random) -> None:
    """Denormals, 1e-38 beside 1e38, and what cancels, too."""
    expected = sum_of(addends).value()
    mixed = by.sample(addends, len(addends))
    bounds = sorted([0, *by.choices(range(len(mixed) + 1), k=3), len(mixed)])
    chunks = [sum_of(mixed[a:b]) for a, b in itertools.pairwise(bounds)]
    merged, sent = ExactSum(()), ExactSum(())
    for chunk in chunks:
        merged.merge(chunk)
        sent.deposit_parts(chunk.parts())
    assert bits(merged.value()) == bits(sent.value()) == bits(expected)
    exact = sum((Fraction(number) * weight for number, weight in addends), Fraction())
    assert abs(Fraction(float(expected)) - exact) <= abs(exact) / 2**51


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(-1e280, 1e280), min_size=1, max_size=12), ANY_ORDER)
def test_any_float64(numbers: list[float], by: Random) -> None:
    sums, other = ExactSum(()), ExactSum(())
    for x in numbers:
        sums.deposit(torch.tensor(x, dtype=torch.float64))
    for x in by.sample(numbers, len(numbers)):
        other.deposit(torch.tensor(x, dtype=torch.float64))
    right = math.fsum(numbers)
    assert bits(sums.value()) == bits(other.value())
    assert abs(float(sums.value()) - right) <= abs(right) / 2**51


def as_before(numbers: torch.Tensor) -> torch.Tensor:
    """A mean in float64, its last 9 bits rounded away: as sums over clients were until now."""
    wide = torch.zeros((), dtype=torch.float64)
    for number in numbers.double():
        wide = wide + number / len(numbers)
    scaled = wide * (2.0**9 + 1)
    return (scaled - (scaled - wide)).float()


@pytest.mark.parametrize(
    "numbers",
    [
        [1.0, 2.0**60, -(2.0**60)],  # one that is lost between two that cancel
        [0.62, 0.04, 0.12, -0.15, -0.63],  # that cancel, as movements of control variates do
    ],
)
def test_where_rounded_sums_hung_on_the_order(numbers: list[float]) -> None:
    orders = [torch.tensor(numbers), torch.tensor(numbers).flip(0), torch.tensor(numbers).roll(-2)]
    assert len({float(as_before(order)) for order in orders}) > 1
    assert len({float(exact_mean(list(order), [1] * len(order)).float()) for order in orders}) == 1


def test_what_is_not_finite() -> None:
    """Passed on as any sum of floats does, in any order and beside sound numbers."""
    inf, nan = math.inf, math.nan
    rows = [[1.0, inf, -inf, inf, nan, 1e38], [2.0, 1.0, 1.0, -inf, inf, 1e38]]
    for order in (rows, rows[::-1]):
        one, two = (torch.tensor(row) for row in order)
        sums, other = ExactSum((6,)), ExactSum((6,))
        sums.deposit(one)
        other.deposit(two)
        sent = ExactSum((6,))
        sent.deposit_parts(sums.parts())
        sent.deposit_parts(other.parts())
        sums.merge(other)
        for value in (sums.value(), sent.value()):
            assert torch.allclose(
                value, one.double() + two.double(), rtol=0, atol=0, equal_nan=True
            )
            assert value[5] == 2 * float(torch.tensor(1e38))
    too_large = ExactSum(())
    too_large.deposit(torch.tensor(-1e300, dtype=torch.float64))
    assert float(too_large.value()) == -inf


def test_a_place_does_not_get_full() -> None:
    """10,000 clients with all bits of a float64 set, which fill the places up again and again."""
    number = torch.tensor([2.0**40 - 2.0**-12, -(2.0**53) + 1], dtype=torch.float64)
    sums, whole = ExactSum((2,)), ExactSum((2,))
    for _ in range(10_000):
        sums.deposit(number)
    for _ in range(14):  # 16,384 times, by doubling
        sums.merge(sums)
    whole.deposit(number, 10_000 * 2**14)
    exact = [int(x * 2**12) * 10_000 * 2**14 for x in number.tolist()]
    assert [int(x * 2**12) for x in sums.value().tolist()] == pytest.approx(exact, rel=2**-51)
    assert torch.equal(sums.value(), whole.value())


def test_tensors_of_many_numbers_and_none() -> None:
    draws = torch.Generator().manual_seed(0)
    tensors = [torch.randn(3, AT_ONCE // 2, generator=draws) for _ in range(5)]
    weights = [1, 2000, 7, 3, 11]
    forward = exact_mean(tensors, weights)
    assert torch.equal(forward, exact_mean(tensors[::-1], weights[::-1]))
    naive = torch.stack([w * t.double() for w, t in zip(weights, tensors, strict=True)]).sum(
        0
    ) / sum(weights)
    assert torch.allclose(forward, naive, rtol=1e-9, atol=1e-12)
    assert exact_mean([torch.zeros(2, 0)], [1]).shape == (2, 0)
    assert exact_mean([torch.tensor(3.0), torch.tensor(5.0)], [1, 3]) == 4.5
