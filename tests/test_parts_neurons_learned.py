"""Decays and thresholds that are learned: gradients, range, and what the network is told of them."""

import pytest
import snntorch
import torch
from torch import Tensor

import parts_example
from fedspike.parts.neurons import LIF, AdaptiveLIF, CurrentBasedLIF, Neuron
from fedspike.parts.neurons.constants import Learning, value
from parts_example import Reset

LEARNING: list[Neuron] = [
    LIF(0.7, 0.7, learn_beta="per-neuron", learn_threshold="per-layer"),
    CurrentBasedLIF(
        alpha=0.7, beta=0.7, threshold=0.7, learn_alpha="per-neuron", learn_beta="per-layer"
    ),
    AdaptiveLIF(
        adaptation=0.5,
        rho=0.7,
        beta=0.7,
        threshold=0.7,
        learn_rho="per-layer",
        learn_beta="per-neuron",
        learn_threshold="per-neuron",
    ),
]
each_learning = pytest.mark.parametrize("neuron", LEARNING, ids=parts_example.name)


@pytest.mark.parametrize("reset", ["subtract", "none"])
@pytest.mark.parametrize("learning", ["per-layer", "per-neuron"])
def test_what_is_learned_has_snntorchs_gradients(reset: Reset, learning: Learning) -> None:
    """Its alpha, beta and threshold, in float32: 1e-4 for sums over 12 steps, 5 samples and 4 neurons."""
    neuron = CurrentBasedLIF(
        alpha=0.6,
        beta=0.8,
        threshold=0.7,
        reset=reset,
        learn_alpha=learning,
        learn_beta=learning,
        learn_threshold=learning,
    )
    currents, upstream = torch.randn(2, 12, 1, 5, 4)
    learned = {
        name: number.unsqueeze(0).requires_grad_() for name, number in neuron.initial(4).items()
    }
    spikes = neuron.spikes(currents, learned)
    spikes.backward(upstream)  # type: ignore[no-untyped-call]

    learns = {"learn_alpha": True, "learn_beta": True, "learn_threshold": True}
    numbers = [number.detach()[0].clone() for number in learned.values()]
    theirs = snntorch.Synaptic(*numbers, reset_mechanism=reset, **learns)
    state: list[Tensor] = []
    recorded = []
    for current in currents:
        spike, *state = theirs(current, *state)
        recorded.append(spike)
    torch.stack(recorded).backward(upstream)  # type: ignore[no-untyped-call]
    assert torch.equal(spikes, torch.stack(recorded))
    for name, parameter in zip(learned, (theirs.alpha, theirs.beta, theirs.threshold), strict=True):
        (gradient,) = learned[name].grad  # type: ignore[misc]
        assert float(gradient.abs().min()) > 0
        torch.testing.assert_close(gradient, parameter.grad, rtol=1e-4, atol=1e-4)


@each_learning
@pytest.mark.parametrize(("batch", "places"), [(100, 400), (60, 1)])
def test_neither_company_nor_padding_changes_a_bit_of_a_client(
    neuron: Neuron, batch: int, places: int
) -> None:
    """Padding is samples without a say, at the end.

    torch cuts a sum of 40,000 numbers among its threads if it is the only one, and adds 60 numbers that lie
    in a row in another order than 64.
    """
    numbers = {
        name: torch.rand(2, len(start)) * 0.5 + 0.4
        for name, start in neuron.initial(places).items()
    }
    currents, upstream = torch.randn(2, 3, 2, batch, places)

    def gradients(clients: slice, padding: int) -> list[Tensor]:
        pad = (0, 0, 0, padding)
        given = torch.nn.functional.pad(currents[:, clients], pad, value=0.5)
        leaves = {
            name: number[clients].clone().requires_grad_() for name, number in numbers.items()
        }
        spikes = neuron.spikes(given, leaves)
        into = torch.nn.functional.pad(upstream[:, clients], pad)
        return list(torch.autograd.grad(spikes, list(leaves.values()), into))

    together = gradients(slice(0, 2), padding=0)
    for k, padding in ((0, 0), (1, 0), (0, 4), (1, 4)):
        alone = gradients(slice(k, k + 1), padding)
        for found, expected in zip(alone, together, strict=True):
            assert torch.equal(found[0], expected[k])


@each_learning
def test_a_membrane_that_is_read_out_learns_all_that_it_has(neuron: Neuron) -> None:
    """Autograd refuses a parameter that nothing depends on."""
    leaves = {
        name: start.unsqueeze(0).requires_grad_()
        for name, start in neuron.initial(4, spiking=False).items()
    }
    membrane = neuron.membrane(torch.randn(5, 1, 3, 4), leaves)
    gradients = torch.autograd.grad(membrane.sum(), list(leaves.values()))
    assert all((gradient != 0).all() for gradient in gradients)


def test_what_a_layer_learns_is_told_to_the_network() -> None:
    assert LIF().initial(5) == {}
    shapes = [
        {name: tuple(start.shape) for name, start in neuron.initial(5).items()}
        for neuron in LEARNING
    ]
    assert shapes == [
        {"beta": (5,), "threshold": (1,)},
        {"alpha": (5,), "beta": (1,)},
        {"rho": (1,), "beta": (5,), "threshold": (5,)},
    ]
    read_out = [set(neuron.initial(5, spiking=False)) for neuron in LEARNING]
    assert read_out == [{"beta"}, {"alpha", "beta"}, {"beta"}]
    initial = LIF(0.25, 1.5, learn_beta="per-layer", learn_threshold="per-neuron").initial(2)
    assert {name: start.tolist() for name, start in initial.items()} == {
        "beta": [0.25],
        "threshold": [1.5, 1.5],
    }
    assert all(start.dtype == torch.float32 for start in initial.values())


@pytest.mark.parametrize(
    ("number", "gradient", "kept", "passed"),
    [
        *((0.5, gradient, 0.5, gradient) for gradient in (-1.0, 1.0)),
        *((1.0, gradient, 1.0, gradient) for gradient in (-1.0, 1.0)),
        (1.2, 1.0, 1.0, 1.0),  # a step against it leads back
        (1.2, -1.0, 1.0, 0.0),
        (-0.2, -1.0, 0.0, -1.0),
        (-0.2, 1.0, 0.0, 0.0),
    ],
)
def test_a_learned_decay_is_kept_in_its_range_and_finds_back(
    number: float, gradient: float, kept: float, passed: float
) -> None:
    decay = torch.tensor([[number]], requires_grad=True)
    used = value(0.7, "beta", {"beta": decay}, torch.zeros(1, 1, 1, 1), largest=1.0)
    assert isinstance(used, Tensor)
    assert used.tolist() == [[[kept]]]
    used.backward(torch.tensor([[[gradient]]]))  # type: ignore[no-untyped-call]
    assert decay.grad is not None
    assert decay.grad.tolist() == [[passed]]
