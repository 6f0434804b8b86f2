"""Decays and thresholds that are learned: gradients, range, and what the network is told of them."""

from typing import Any

import jaxtyping
import pytest
import snntorch
import torch
from torch import Tensor

from fedspike.errors import InputError
from fedspike.parts.neurons import LIF, AdaptiveLIF, CurrentBasedLIF, Learnable, Neuron
from fedspike.parts.neurons.constants import value
from fedspike.parts.neurons.lif import Reset

LAYER, NEURON = Learnable(0.7), Learnable(0.7, per="neuron")
LEARNING: list[Neuron] = [
    LIF(NEURON, LAYER),
    CurrentBasedLIF(alpha=NEURON, beta=LAYER, threshold=0.7),
    AdaptiveLIF(adaptation=0.5, rho=LAYER, beta=NEURON, threshold=NEURON),
]


@pytest.mark.parametrize("reset", ["subtract", "none"])
@pytest.mark.parametrize("per", ["layer", "neuron"])
def test_what_is_learned_has_snntorchs_gradients(reset: Reset, per: Any) -> None:
    """Its alpha, beta and threshold, in float32: 1e-4 for sums over 12 steps, 5 samples and 4 neurons."""
    start = {"synaptic_decay": 0.6, "decay": 0.8, "threshold": 0.7}
    alpha, beta, threshold = (Learnable(number, per) for number in start.values())
    neuron = CurrentBasedLIF(alpha=alpha, beta=beta, threshold=threshold, reset=reset)
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


@pytest.mark.parametrize("neuron", LEARNING)
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


@pytest.mark.parametrize("neuron", LEARNING)
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
        {"decay": (5,), "threshold": (1,)},
        {"synaptic_decay": (5,), "decay": (1,)},
        {"threshold_decay": (1,), "decay": (5,), "threshold": (5,)},
    ]
    read_out = [set(neuron.initial(5, spiking=False)) for neuron in LEARNING]
    assert read_out == [{"decay"}, {"synaptic_decay", "decay"}, {"decay"}]
    initial = LIF(Learnable(0.25), Learnable(1.5, per="neuron")).initial(2)
    assert {name: start.tolist() for name, start in initial.items()} == {
        "decay": [0.25],
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
    used = value(LAYER, "decay", {"decay": decay}, torch.zeros(1, 1, 1, 1), largest=1.0)
    assert isinstance(used, Tensor)
    assert used.tolist() == [[[kept]]]
    used.backward(torch.tensor([[[gradient]]]))  # type: ignore[no-untyped-call]
    assert decay.grad is not None
    assert decay.grad.tolist() == [[passed]]


def test_constants_are_learned_per_layer_or_per_neuron(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in production, where nothing checks the annotations."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(InputError, match=r'"client"\n  expected: "layer" or "neuron"\n'):
        Learnable(0.9, per="client")  # type: ignore[arg-type]
