"""The LIF neuron against snnTorch, closed forms and its gradient written as a sum."""

import math

import pytest
import snntorch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spikingjelly.activation_based import neuron, surrogate

from fedspike.parts.neurons import LIF, leak
from fedspike.parts.surrogates import Atan
from parts_example import RESETS, Reset, shares


@given(
    beta=shares,
    threshold=st.floats(0.1, 2),
    reset=st.sampled_from(["subtract", "zero", "none"]),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=50)
def test_spikes_and_gradients_are_snntorchs(
    beta: float, threshold: float, reset: Reset, seed: int
) -> None:
    """Spikes equal, gradients to float32 rounding accumulated over 12 steps."""
    generator = torch.Generator().manual_seed(seed)
    ours = torch.randn(12, 2, 3, 4, generator=generator).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    upstream = torch.randn(12, 2, 3, 4, generator=generator)

    spikes = LIF(beta, threshold, reset).spikes(ours)
    spikes.backward(upstream)  # type: ignore[no-untyped-call]
    leaky = snntorch.Leaky(beta=beta, threshold=threshold, reset_mechanism=reset)
    membrane, recorded = leaky.init_leaky(), []
    for current in theirs:
        spike, membrane = leaky(current, membrane)
        recorded.append(spike)
    torch.stack(recorded).backward(upstream)  # type: ignore[no-untyped-call]

    assert torch.equal(spikes.detach(), torch.stack(recorded).detach())
    assert ours.grad is not None
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-6)


@given(beta=st.floats(0.01, 0.99), threshold=st.floats(0.1, 2), seed=st.integers(0, 2**31))
@settings(max_examples=50)
def test_the_soft_reset_is_spikingjellys(beta: float, threshold: float, seed: int) -> None:
    """Of its LIFNode with tau = 1 / (1 - beta), v_reset = None, and detached resets."""
    generator = torch.Generator().manual_seed(seed)
    ours = torch.randn(12, 2, 3, 4, generator=generator, dtype=torch.float64).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    upstream = torch.randn(12, 2, 3, 4, generator=generator, dtype=torch.float64)
    spikes = LIF(beta, threshold, "soft").spikes(ours)
    spikes.backward(upstream)  # type: ignore[no-untyped-call]
    node = neuron.LIFNode(
        tau=1 / (1 - beta),
        decay_input=False,
        v_threshold=threshold,
        v_reset=None,
        surrogate_function=surrogate.ATan(alpha=2.0),
        detach_reset=True,
    )
    recorded = torch.stack([node(current) for current in theirs])
    recorded.backward(upstream)  # type: ignore[no-untyped-call]
    assert torch.equal(spikes.detach(), recorded.detach())
    assert ours.grad is not None
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("current", [0.15, 0.25, 0.6])
def test_constant_current_first_spike_in_closed_form(current: float) -> None:
    """Before its first spike U[t] = I (1 - beta^t)/(1 - beta), t = 1, 2, ...: the first t above theta."""
    beta, theta = 0.9, 1.0
    first = math.floor(math.log(1 - theta * (1 - beta) / current) / math.log(beta)) + 1
    spikes = LIF(beta, theta).spikes(torch.full((80, 1, 1, 1), current, dtype=torch.float64))
    assert int(spikes.flatten().argmax()) + 1 == first


def test_too_weak_a_current_never_fires() -> None:
    """U tends to I/(1 - beta) = 1 from below, and exactly at threshold does not fire."""
    assert LIF(0.5, 1.0).spikes(torch.full((60, 1, 1, 1), 0.5)).sum() == 0
    assert LIF(0.0, 1.0).spikes(torch.ones(5, 1, 1, 1)).sum() == 0


@given(current=st.integers(1, 64), steps=st.integers(1, 200))
def test_integrate_and_fire_spikes_in_closed_form(current: int, steps: int) -> None:
    """By step t the charge t I has fired the largest whole number below it, if I <= 1: the rest stays.

    Sixty-fourths and their sums are exact.
    """
    currents = torch.full((steps, 1, 1, 1), current / 64)
    fired = LIF(beta=1.0).spikes(currents).flatten().cumsum(0)
    assert fired.tolist() == [(t * current - 1) // 64 for t in range(1, steps + 1)]


@given(beta=shares, current=st.floats(0.01, 2))
def test_reset_to_zero_spikes_periodically_and_without_reset_for_good(
    beta: float, current: float
) -> None:
    """After a reset to zero all is as in the beginning; without reset the membrane only rises."""
    currents = torch.full((60, 1, 1, 1), current, dtype=torch.float64)
    zero, none = (LIF(beta, reset=reset).spikes(currents).flatten() for reset in ("zero", "none"))
    assert torch.equal(none, (none.cumsum(0) > 0).double())
    if none.sum() > 0:
        period = int(none.argmax()) + 1
        assert (zero.nonzero().flatten() + 1).tolist() == list(range(period, 61, period))
    else:
        assert zero.sum() == 0


@given(beta=shares, seed=st.integers(0, 2**31))
def test_a_membrane_that_only_leaks_is_a_sum_of_what_is_left(beta: float, seed: int) -> None:
    """U[t] = sum over t' <= t of beta^(t - t') I[t']: also without reset, where spikes change nothing."""
    generator = torch.Generator().manual_seed(seed)
    currents = torch.randn(9, 2, 3, 4, dtype=torch.float64, generator=generator)
    t = torch.arange(9.0, dtype=torch.float64)
    left = (beta ** (t[:, None] - t).clamp(min=0)).tril()
    membrane = torch.einsum("ts,skbn->tkbn", left, currents)
    torch.testing.assert_close(leak(currents, beta), membrane, rtol=1e-12, atol=1e-12)
    for reset in RESETS:
        assert torch.equal(LIF(beta, reset=reset).membrane(currents), leak(currents, beta))
    clear = (membrane - 1).abs() > 1e-9
    spikes = LIF(beta, reset="none").spikes(currents)
    assert torch.equal(spikes[clear], (membrane > 1)[clear].double())


@pytest.mark.parametrize("reset", RESETS)
def test_the_adjoint_of_the_scan(reset: Reset) -> None:
    """The gradient written as its sum: dL/dI[t] = sum over t' >= t of dL/dS[t'] sg[t'] prod of the decays."""
    lif = LIF(0.8, 0.7, reset)
    currents = torch.randn(6, 1, 1, 5, dtype=torch.float64).requires_grad_()
    upstream = torch.randn(6, 1, 1, 5, dtype=torch.float64)
    spikes = lif.spikes(currents)
    spikes.backward(upstream)  # type: ignore[no-untyped-call]
    membrane = torch.zeros(6, 5, dtype=torch.float64)
    S = spikes.detach()[:, 0, 0]
    for t in range(6):
        before, fired = (membrane[t - 1], S[t - 1]) if t else (torch.zeros(5), torch.zeros(5))
        kept = before * (1 - fired) if reset == "zero" else before
        membrane[t] = 0.8 * kept + currents.detach()[t, 0, 0]
        membrane[t] -= {"subtract": 1, "soft": 0.8}.get(reset, 0) * 0.7 * fired
    expected = torch.zeros(6, 5, dtype=torch.float64)
    for t in range(6):
        decay = torch.ones(5, dtype=torch.float64)
        for later in range(t, 6):
            if later > t:
                decay = decay * 0.8 * (1 - S[later - 1] if reset == "zero" else 1)
            expected[t] += upstream[later, 0, 0] * Atan().derivative(membrane[later] - 0.7) * decay
    assert currents.grad is not None
    torch.testing.assert_close(currents.grad[:, 0, 0], expected, rtol=1e-12, atol=1e-12)
