"""All kinds of neurons, fixed and learned: against a naive loop, snnTorch, and LIF where they are LIF."""

from collections.abc import Mapping
from itertools import product
from typing import Any

import pytest
import snntorch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import parts_example
from fedspike.parts.neurons import LIF, AdaptiveLIF, CurrentBasedLIF, Neuron
from fedspike.parts.surrogates import Surrogate
from parts_example import RESETS, SMOOTH, Reset, shares

# Neurons that compete are no neurons one by one; see test_stdp.py.
ALONE = [neuron for neuron in parts_example.NEURONS if not neuron.competes]
each_neuron = pytest.mark.parametrize("neuron", ALONE, ids=parts_example.name)
CLIENTS, BATCH, PLACES, STEPS = 2, 3, 4, 7


def learned_by(neuron: Neuron) -> dict[str, Tensor]:
    """Other values than the initial ones, for every client its own, in float64."""
    return {
        name: torch.stack([0.4 + 0.5 * torch.rand(start.shape).double() for _ in range(CLIENTS)])
        for name, start in neuron.initial(PLACES).items()
    }


def drawn_currents() -> Tensor:
    return torch.randn(STEPS, CLIENTS, BATCH, PLACES, dtype=torch.float64) + 0.3


def one_neuron(
    currents: Tensor,
    alpha: Tensor,
    beta: Tensor,
    threshold: Tensor,
    adaptation: float,
    rho: Tensor,
    reset: Reset,
    surrogate: Surrogate,
) -> Tensor:
    """The equations of all kinds, number by number; a spike is a step plus a smooth function minus itself."""
    J = U = S = b = torch.zeros((), dtype=torch.float64)
    theta, spikes = threshold, []
    for current in currents:
        J = alpha * J + current
        R = S.detach()
        kept = U * (1 - R) if reset == "zero" else U - R * theta if reset == "soft" else U
        U = beta * kept + J
        if reset == "subtract":
            U = U - R * theta
        b = rho * b + (1 - rho) * S
        theta = threshold + adaptation * b
        smooth = SMOOTH[type(surrogate)](surrogate, U - theta)
        S = (U - theta > 0).double() + (smooth - smooth.detach())
        spikes.append(S)
    return torch.stack(spikes)


def constants(
    neuron: Any, learned: Mapping[str, Tensor], client: int, place: int
) -> dict[str, Tensor]:
    """What one neuron of one client has, whether fixed or learned, for it or for its layer."""
    numbers = {
        "alpha": getattr(neuron, "alpha", 0.0),
        "beta": neuron.beta,
        "threshold": neuron.threshold,
        "rho": getattr(neuron, "rho", 0.0),
    }
    return {
        name: learned[name][client, place if learned[name].shape[1] > 1 else 0]
        if name in learned
        else torch.tensor(number, dtype=torch.float64)
        for name, number in numbers.items()
    }


def naive(neuron: Any, currents: Tensor, learned: Mapping[str, Tensor]) -> Tensor:
    """A layer of them, one neuron after the other."""
    layer = torch.zeros(STEPS, CLIENTS, BATCH, PLACES, dtype=torch.float64)
    for k, b, i in product(range(CLIENTS), range(BATCH), range(PLACES)):
        layer[:, k, b, i] = one_neuron(
            currents[:, k, b, i],
            **constants(neuron, learned, k, i),
            adaptation=getattr(neuron, "adaptation", 0.0),
            reset=neuron.reset,
            surrogate=neuron.surrogate,
        )
    return layer


@each_neuron
def test_spikes_and_gradients_are_those_of_a_naive_loop(neuron: Neuron) -> None:
    currents, learned = drawn_currents(), learned_by(neuron)
    upstream = torch.randn(currents.shape, dtype=torch.float64)
    found = []
    for way in (neuron.spikes, lambda *given: naive(neuron, *given)):
        leaves = [leaf.clone().requires_grad_() for leaf in (currents, *learned.values())]
        spikes = way(leaves[0], dict(zip(learned, leaves[1:], strict=True)))
        found.append((spikes.detach(), torch.autograd.grad(spikes, leaves, upstream)))
    (ours, our_gradients), (theirs, their_gradients) = found
    assert torch.equal(ours, theirs)
    assert 0.1 < float(ours.mean()) < 0.9, "all or nothing tells little"
    assert all((gradient != 0).all() for gradient in our_gradients[1:])
    for gradient, expected in zip(our_gradients, their_gradients, strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=1e-12)


def stepped(neuron: Any, currents: Tensor) -> Tensor:
    """Spikes of one of snnTorch's neurons, which hand on their state, one tensor or two."""
    state, recorded = (), []
    for current in currents:
        spike, *state = neuron(current, *state)
        recorded.append(spike)
    return torch.stack(recorded)


@given(
    alpha=shares,
    beta=shares,
    threshold=st.floats(0.1, 2),
    reset=st.sampled_from(["subtract", "none"]),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=50)
def test_current_based_is_snntorchs_synaptic(
    alpha: float, beta: float, threshold: float, reset: Reset, seed: int
) -> None:
    """Spikes equal, gradients to float32 rounding accumulated over 12 steps of two decays."""
    generator = torch.Generator().manual_seed(seed)
    ours = torch.randn(12, 2, 3, 4, generator=generator).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    upstream = torch.randn(12, 2, 3, 4, generator=generator)
    spikes = CurrentBasedLIF(alpha=alpha, beta=beta, threshold=threshold, reset=reset).spikes(ours)
    expected = stepped(snntorch.Synaptic(alpha, beta, threshold, reset_mechanism=reset), theirs)
    assert torch.equal(spikes, expected)
    for way in (spikes, expected):
        way.backward(upstream)  # type: ignore[no-untyped-call]
    assert ours.grad is not None
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-5)


@given(alpha=shares, beta=shares, seed=st.integers(0, 2**31))
@settings(max_examples=50)
def test_current_based_with_reset_to_zero_is_snntorchs_leaky_behind_its_synapses(
    alpha: float, beta: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    currents = torch.randn(12, 2, 3, 4, generator=generator)
    synaptic, synapse, membrane = snntorch.Synaptic(alpha, beta), None, None
    through = []
    for current in currents:
        _, synapse, membrane = synaptic(current, synapse, membrane)
        through.append(synapse)
    expected = stepped(snntorch.Leaky(beta, reset_mechanism="zero"), torch.stack(through))
    spikes = CurrentBasedLIF(alpha=alpha, beta=beta, reset="zero").spikes(currents)
    assert torch.equal(spikes, expected)


def test_what_snntorchs_synaptic_does_otherwise_at_a_reset_to_zero() -> None:
    """A current of 2 at every step, without memory: ours fires always, theirs loses every other current."""
    currents = torch.full((4, 1, 1, 1), 2.0)
    theirs = stepped(snntorch.Synaptic(0.0, 0.0, reset_mechanism="zero"), currents)
    assert theirs.flatten().tolist() == [1, 0, 1, 0]
    ours = CurrentBasedLIF(alpha=0.0, beta=0.0, reset="zero")
    assert ours.spikes(currents).flatten().tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("reset", RESETS)
@given(beta=shares, threshold=st.floats(0.1, 2), seed=st.integers(0, 2**31))
@settings(max_examples=20)
def test_neutral_settings_are_lif(reset: Reset, beta: float, threshold: float, seed: int) -> None:
    """Spikes equal in float32 also; gradients are the same sums in another order."""
    lif = LIF(beta, threshold, reset)
    own: dict[str, Any] = {"beta": beta, "threshold": threshold, "reset": reset}
    learning = LIF(**own, learn_beta="per-layer", learn_threshold="per-neuron")
    start = {name: torch.stack([w, w]).double() for name, w in learning.initial(4).items()}
    # What is learned is kept in float32, so that is what the fixed one must have.
    rounded = LIF(float(start["beta"][0, 0]), float(start["threshold"][0, 0]), reset)
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(12, 2, 3, 4, dtype=torch.float64, generator=generator)
    upstream = torch.randn(drawn.shape, dtype=torch.float64, generator=generator)
    for neuron, learned, neutral in (
        (CurrentBasedLIF(alpha=0.0, **own), {}, lif),
        (AdaptiveLIF(adaptation=0.0, rho=0.9, **own), {}, lif),
        (AdaptiveLIF(adaptation=1.0, rho=1.0, **own), {}, lif),
        (learning, start, rounded),
    ):
        gradients = []
        for other, with_learned in ((neuron, learned), (neutral, {})):
            currents = drawn.clone().requires_grad_()
            spikes = other.spikes(currents, with_learned)
            gradients.append(torch.autograd.grad(spikes, currents, upstream)[0])
            single = {name: number.float() for name, number in with_learned.items()}
            gradients.append(other.spikes(drawn.float(), single))
        assert torch.equal(gradients[1], gradients[3])
        assert gradients[1].dtype == torch.float32
        torch.testing.assert_close(gradients[0], gradients[2], rtol=1e-12, atol=1e-12)


@given(
    adaptation=shares,
    rho=shares,
    reset=st.sampled_from(RESETS),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=50)
def test_an_adaptive_neurons_spikes_explain_themselves(
    adaptation: float, rho: float, reset: Reset, seed: int
) -> None:
    """Threshold and membrane as sums over the spikes before: S[t] says on which side of theta[t] U[t] is."""
    beta, threshold = 0.8, 0.7
    generator = torch.Generator().manual_seed(seed)
    currents = torch.randn(10, 1, 1, 6, dtype=torch.float64, generator=generator) + 0.4
    spikes = AdaptiveLIF(
        adaptation=adaptation, rho=rho, beta=beta, threshold=threshold, reset=reset
    ).spikes(currents)
    for n in range(6):
        current, S = currents[:, 0, 0, n].tolist(), spikes[:, 0, 0, n].tolist()
        theta = [
            threshold + adaptation * sum((1 - rho) * rho ** (t - 1 - k) * S[k] for k in range(t))
            for t in range(10)
        ]
        for t in range(10):
            since = max([k + 1 for k in range(t) if S[k]], default=0) if reset == "zero" else 0
            lost = sum(beta ** (t - 1 - k) * theta[k] * S[k] for k in range(t))
            U = sum(beta ** (t - k) * current[k] for k in range(since, t + 1))
            U -= lost * {"subtract": 1, "soft": beta}.get(reset, 0)
            assert S[t] == (U - theta[t] > 0) or abs(U - theta[t]) < 1e-12


def test_an_adaptive_neuron_tires_and_recovers() -> None:
    """Under a constant current its intervals only grow, to a limit; after a pause it fires as before."""
    neuron = AdaptiveLIF(adaptation=4.0, rho=0.9, beta=1.0, threshold=1.0, reset="zero")
    currents = torch.full((400, 1, 1, 1), 0.3, dtype=torch.float64)
    currents[150:270] = 0
    spikes = neuron.spikes(currents).flatten()
    intervals = spikes[:150].nonzero().flatten().diff()
    assert (intervals.diff() >= 0).all()
    assert int(intervals[0]) < int(intervals[-1]) == int(intervals[-2])
    assert int(intervals[0]) >= int(spikes.argmax()) + 1
    again = spikes[270:].nonzero().flatten().diff()
    assert again[:5].tolist() == intervals[:5].tolist()


@each_neuron
def test_membranes_for_a_read_out_never_fire(neuron: Neuron) -> None:
    """U[t] is a sum over currents I[t - n], each weighted by sum over m of alpha^m beta^(n - m)."""
    currents, learned = drawn_currents(), learned_by(neuron)
    membrane = neuron.membrane(currents, learned)
    for k, i in product(range(CLIENTS), range(PLACES)):
        own = constants(neuron, learned, k, i)
        alpha, beta = own["alpha"], own["beta"]
        weights = [sum(alpha**m * beta ** (n - m) for m in range(n + 1)) for n in range(STEPS)]
        for t in range(STEPS):
            U = sum(weights[n] * currents[t - n, k, :, i] for n in range(t + 1))
            torch.testing.assert_close(membrane[t, k, :, i], U, rtol=1e-12, atol=1e-12)
