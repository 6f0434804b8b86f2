"""Estimates and how numbers are written: laws, and Student's t against its own definition."""

import doctest
import importlib
import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedspike.energy.estimate import STUDENT_T, estimate
from fedspike.report.tables import NO_FIGURE, Column, number, text

VALUES = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=40)


@pytest.mark.parametrize("freedom", range(1, 31))
def test_95_percent_of_students_density_lie_within_the_tabled_t(freedom: int) -> None:
    # The density from its definition; with x = tan(angle) the tails of one degree are no trouble.
    angle = np.linspace(0, math.atan(STUDENT_T[freedom - 1]), 20_001)
    constant = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2))
    density = (
        constant
        / math.sqrt(freedom * math.pi)
        * (1 + np.tan(angle) ** 2 / freedom) ** (-(freedom + 1) / 2)
    )
    within = 2 * np.trapezoid(density / np.cos(angle) ** 2, angle)
    assert within == pytest.approx(0.95, abs=5e-5)  # the table has three decimals


def test_beyond_the_table_the_interval_is_no_narrower_than_it_should_be() -> None:
    values = [0.0, 1.0] * 50
    normal = statistics.NormalDist().inv_cdf(0.975) * statistics.stdev(values) / math.sqrt(100)
    half = estimate(values).half_width
    assert half is not None
    assert normal < half < 1.05 * normal


@given(values=VALUES, scale=st.floats(-10, 10), shift=st.floats(-100, 100))
def test_an_estimate_moves_with_its_values(values: list[float], scale: float, shift: float) -> None:
    before, after = estimate(values), estimate([scale * value + shift for value in values])
    assert before.half_width is not None
    assert after.half_width is not None
    assert after.mean == pytest.approx(scale * before.mean + shift, rel=1e-9, abs=1e-9)
    assert after.half_width == pytest.approx(abs(scale) * before.half_width, rel=1e-6, abs=1e-9)


@given(values=VALUES)
def test_the_order_of_the_seeds_does_not_matter(values: list[float]) -> None:
    assert estimate(values) == estimate(values[::-1])


@given(value=st.floats(-1e9, 1e9), digits=st.integers(0, 4), signed=st.booleans())
def test_a_number_reads_as_what_it_is(value: float, digits: int, signed: bool) -> None:
    shown = number(value, digits, signed=signed)
    read = float(shown.replace(",", "").replace("−", "-"))
    assert abs(read - value) <= 0.5 * 10**-digits + abs(value) * 1e-12
    assert (shown[0] == "+") == (signed and read > 0)
    assert (shown[0] == "−") == (read < 0)


def test_no_figure_is_a_dash_and_never_a_zero() -> None:
    column = Column("x", "x", digits=1)
    assert text(None, column) == NO_FIGURE
    assert text(0.0, column) == "0.0"


@pytest.mark.parametrize(
    "room",
    [
        *(
            "energy.estimate",
            "report.comparison",
            "report.tables",
            "report.verdict",
            "report.bills",
        ),
        *("report.charts", "report.energy_charts", "report.energy_tables"),
    ],
)
def test_the_examples_in_the_docstrings_are_true(room: str) -> None:
    result = doctest.testmod(importlib.import_module(f"fedspike.{room}"))
    assert result.attempted > 0
    assert result.failed == 0
