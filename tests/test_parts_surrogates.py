"""Every surrogate against its own smooth function, snnTorch's and SpikingJelly's."""

from functools import partial
from typing import Any

import pytest
import snntorch.surrogate
import torch
from hypothesis import given
from hypothesis import strategies as st
from spikingjelly.activation_based import surrogate as spikingjelly
from torch import Tensor

from fedspike.parts.surrogates import (
    SURROGATES,
    Atan,
    FastSigmoid,
    Sigmoid,
    Surrogate,
    Triangular,
    fire,
)
from parts_example import SMOOTH

each_kind = pytest.mark.parametrize("kind", SURROGATES, ids=lambda kind: kind.__name__)
steepness = st.floats(0.2, 30)


@each_kind
@given(k=steepness)
def test_the_derivative_is_the_slope_of_the_smooth_function(kind: Any, k: float) -> None:
    """Central differences: their error is h^2/6 times the third derivative, which is below 16 k^3.

    At a kink of the derivative it is h/2 times the jump of the second, which is k^2.
    """
    surrogate, h = kind(k), 1e-6 / k
    smooth = partial(SMOOTH[kind], surrogate)
    x = torch.linspace(-3, 3, 211, dtype=torch.float64)
    slope = (smooth(x + h) - smooth(x - h)) / (2 * h)
    torch.testing.assert_close(surrogate.derivative(x), slope, rtol=1e-6, atol=2e-6 * k)


FAR = torch.arange(-192, 193) / 64  # k x is exact in float32, too
EXACT = {Sigmoid: lambda k, x: k / (2 + 2 * torch.cosh(k * x))}  # float64 cancels in no other one


@each_kind
def test_float32_keeps_its_digits_far_from_the_threshold(kind: Any) -> None:
    for k in (1.0, 25.0):
        surrogate, x = kind(k), FAR.double()
        exact = EXACT[kind](k, x) if kind in EXACT else surrogate.derivative(x)
        derivative = surrogate.derivative(FAR)
        torch.testing.assert_close(derivative.double(), exact, rtol=2e-6, atol=0)
        torch.testing.assert_close(derivative, derivative.flip(0), rtol=2e-6, atol=0)


@pytest.mark.parametrize("surrogate", [Atan(), Sigmoid(), Triangular()])
def test_the_smooth_function_goes_from_0_to_1_as_the_step_does(surrogate: Surrogate) -> None:
    x = torch.linspace(-1e5, 1e5, 2001, dtype=torch.float64)
    step = SMOOTH[type(surrogate)](surrogate, x)
    assert (step.diff() >= 0).all()
    assert float(step[1000]) == 0.5, "at the threshold"
    torch.testing.assert_close(step[[0, -1]], torch.tensor([0.0, 1.0]).double(), rtol=0, atol=1e-5)


def slopes(function: object, x: Tensor) -> Tensor:
    """What autograd finds for a spike function of another library, in float64."""
    x = x.clone().requires_grad_()
    assert callable(function)
    (gradient,) = torch.autograd.grad(function(x).sum(), x)
    return gradient.double()


X = torch.linspace(-1.5, 1.5, 97, dtype=torch.float64)


@given(k=steepness)
def test_derivatives_are_snntorchs(k: float) -> None:
    """To float32 rounding: whatever goes in, its spikes are float32."""
    for ours, theirs in (
        (Atan(k), snntorch.surrogate.atan(alpha=k)),
        (FastSigmoid(k), snntorch.surrogate.fast_sigmoid(slope=k)),
        (Sigmoid(k), snntorch.surrogate.sigmoid(slope=k)),
    ):
        torch.testing.assert_close(ours.derivative(X), slopes(theirs, X), rtol=2e-7, atol=1e-12)


def test_the_usual_parameters_are_snntorchs() -> None:
    for ours, theirs in (
        (Atan(), snntorch.surrogate.atan()),
        (FastSigmoid(), snntorch.surrogate.fast_sigmoid()),
        (Sigmoid(), snntorch.surrogate.sigmoid()),
    ):
        torch.testing.assert_close(ours.derivative(X), slopes(theirs, X), rtol=2e-7, atol=1e-12)


@given(k=steepness)
def test_derivatives_are_spikingjellys(k: float) -> None:
    """Its soft sign has the factor k/2 with which the smooth function rises by 1."""
    for ours, theirs in (
        (Atan(k).derivative(X), spikingjelly.ATan(alpha=k)),
        (FastSigmoid(k).derivative(X) * k / 2, spikingjelly.SoftSign(alpha=k)),
        (Sigmoid(k).derivative(X), spikingjelly.Sigmoid(alpha=k)),
        (Triangular(k).derivative(X), spikingjelly.PiecewiseQuadratic(alpha=k)),
    ):
        torch.testing.assert_close(ours, slopes(theirs, X), rtol=1e-9, atol=1e-12)


def test_snntorchs_triangular_is_another_thing() -> None:
    """What the docstring says of it: the slope of a triangle, so the sign changes at the threshold."""
    theirs = slopes(snntorch.surrogate.triangular(), torch.tensor([-0.5, 0.5]))
    assert theirs.tolist() == [1.0, -1.0]


@each_kind
def test_far_from_the_threshold_the_derivative_is_a_number(kind: Any) -> None:
    """snnTorch's sigmoid is not: exp(25 * 100) is infinite."""
    far = kind().derivative(torch.tensor([-100.0, 100.0]))
    assert ((far >= 0) & (far < 1e-4)).all()


@each_kind
def test_a_spike_is_a_step_forward_and_the_surrogate_backward(kind: Any) -> None:
    x = torch.tensor([-1.0, -0.01, 0.0, 0.01, 1.0], dtype=torch.float64, requires_grad=True)
    spikes = fire(x, kind())
    upstream = torch.tensor([1.0, -2.0, 3.0, 0.0, 0.5], dtype=torch.float64)
    (gradient,) = torch.autograd.grad(spikes, x, upstream)
    assert spikes.tolist() == [0, 0, 0, 1, 1], "exactly at threshold nothing fires"
    assert torch.equal(gradient, upstream * kind().derivative(x.detach()))
