"""The constants of a neuron, its decays and thresholds: fixed, or learned like weights.

A learned constant is a parameter of its layer, such as `hidden.beta`, and is kept as the number that it is:
the mean of the clients' models has the mean of their decays, and a checkpoint can be read. Where it is used
it is clamped, decays to [0, 1] and thresholds to 0 or more.

The clamp is snnTorch 1.0.0's (`learn_beta`; thresholds are free there). PLIF learns the logit of the decay
in its place (Fang et al., "Incorporating Learnable Membrane Time Constant", ICCV 2021). A plain clamp has no
gradient outside and would hold for good what once stepped over; here the gradient passes if going down it
leads back, as in TensorFlow Compression's `lower_bound` ("identity_if_towards").
"""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from fedspike.parts.sums import total
from fedspike.parts.tensors import Flow

Learning = Literal["no", "per-layer", "per-neuron"]
"""Whether a constant is learned: one for the layer, or one for each neuron."""
Learned = Mapping[str, Float[Tensor, "client _one_or_neuron"]]
"""A layer's learned constants by name, without the layer's; every client has its own."""
NOTHING: Learned = MappingProxyType({})


def initial(
    constants: Mapping[str, tuple[float, Learning]], neurons: int
) -> dict[str, Float[Tensor, " _one_or_neuron"]]:
    """The parameters of a layer of so many neurons for those of the constants that are learned, float32.

    >>> initial({"beta": (0.5, "per-layer"), "threshold": (1.0, "no"), "rho": (1.0, "per-neuron")}, 2)
    {'beta': tensor([0.5000]), 'rho': tensor([1., 1.])}
    """
    return {
        name: torch.full((1 if learning == "per-layer" else neurons,), start)
        for name, (start, learning) in constants.items()
        if learning != "no"
    }


def value(
    constant: float, name: str, learned: Learned, currents: Flow, largest: float = math.inf
) -> float | Float[Tensor, "client batch neuron"]:
    """The fixed number, or what was learned under this name as every neuron that gets `currents` meets it.

    >>> learned, currents = {"beta": torch.tensor([[0.5], [1.2]])}, torch.zeros(3, 2, 1, 2)
    >>> value(0.9, "beta", learned, currents, largest=1.0).tolist()
    [[[0.5, 0.5]], [[1.0, 1.0]]]
    """
    if name not in learned:
        return constant
    _, _, batch, neurons = currents.shape
    kept: Tensor = _Kept.apply(learned[name], largest, batch, neurons)  # type: ignore[no-untyped-call]
    return kept


class _Kept(torch.autograd.Function):
    """Clamped to 0 and `largest`; outside, only a gradient that leads back passes."""

    @staticmethod
    def forward(ctx: Any, number: Tensor, largest: float, batch: int, neurons: int) -> Tensor:
        kept = number.clamp(0, largest)
        ctx.save_for_backward(number - kept)
        return kept.unsqueeze(1).expand(-1, batch, neurons)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (beyond,) = ctx.saved_tensors
        gradient = total(gradients[0], 1)
        if beyond.shape[1] == 1:
            gradient = total(gradient, 1).unsqueeze(1)
        return gradient * (beyond * gradient >= 0), None, None, None
