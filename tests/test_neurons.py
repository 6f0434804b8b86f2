import math
from typing import Literal

import pytest
import snntorch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedspike.errors import InputError
from fedspike.neurons import LIF, surrogate

Reset = Literal["subtract", "zero"]


@given(
    beta=st.floats(0, 1),
    threshold=st.floats(0.1, 2),
    reset=st.sampled_from(["subtract", "zero"]),
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
    neuron = snntorch.Leaky(beta=beta, threshold=threshold, reset_mechanism=reset)
    membrane, recorded = neuron.init_leaky(), []
    for current in theirs:
        spike, membrane = neuron(current, membrane)
        recorded.append(spike)
    torch.stack(recorded).backward(upstream)  # type: ignore[no-untyped-call]

    assert torch.equal(spikes.detach(), torch.stack(recorded).detach())
    assert ours.grad is not None
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-6)


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


def test_rate_under_constant_current_without_leak() -> None:
    """With beta = 1 and subtraction nothing is lost: the spikes carry all charge but what is left over."""
    current, steps = 0.37, 1000
    spikes = LIF(beta=1.0).spikes(torch.full((steps, 1, 1, 1), current, dtype=torch.float64))
    assert abs(float(spikes.sum()) - current * steps) <= 2


def test_surrogate_is_the_slope_of_its_smooth_function() -> None:
    x = torch.linspace(-3, 3, 101, dtype=torch.float64)
    h = 1e-5

    def smooth(u: torch.Tensor) -> torch.Tensor:
        return torch.atan(math.pi * u) / math.pi + 0.5

    torch.testing.assert_close(
        surrogate(x), (smooth(x + h) - smooth(x - h)) / (2 * h), rtol=1e-7, atol=1e-9
    )


@pytest.mark.parametrize("reset", ["subtract", "zero"])
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
        kept = before if reset == "subtract" else before * (1 - fired)
        membrane[t] = lif.beta * kept + currents.detach()[t, 0, 0]
        if reset == "subtract":
            membrane[t] -= lif.threshold * fired
    expected = torch.zeros(6, 5, dtype=torch.float64)
    for t in range(6):
        decay = torch.ones(5, dtype=torch.float64)
        for later in range(t, 6):
            if later > t:
                decay = decay * lif.beta * (1 if reset == "subtract" else 1 - S[later - 1])
            expected[t] += upstream[later, 0, 0] * surrogate(membrane[later] - 0.7) * decay
    assert currents.grad is not None
    torch.testing.assert_close(currents.grad[:, 0, 0], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beta": 1.5}, "beta = 1.5"),
        ({"beta": math.nan}, "beta"),
        ({"threshold": 0.0}, "threshold"),
    ],
)
def test_impossible_neurons(settings: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        LIF(**settings)  # type: ignore[arg-type]
