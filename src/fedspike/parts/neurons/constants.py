"""The constants of a neuron, its decays and thresholds: fixed, or learned like weights.

A learned constant is a parameter of its layer, such as `hidden.decay`, and is kept as the number that it is:
the mean of the clients' models has the mean of their decays, and a checkpoint can be read. Where it is used
it is clamped, decays to [0, 1] and thresholds to 0 or more.

The clamp is snnTorch 1.0.0's (`learn_beta`; thresholds are free there). PLIF learns the logit of the decay
in its place (Fang et al., "Incorporating Learnable Membrane Time Constant", ICCV 2021). A plain clamp has no
gradient outside and would hold for good what once stepped over; here the gradient passes if going down it
leads back, as in TensorFlow Compression's `lower_bound` ("identity_if_towards").
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from fedspike.errors import InputError


@dataclass(frozen=True)
class Learnable:
    """A constant that is learned, from `start` on: one for the layer, or one per neuron.

    >>> Learnable(0.9).initial(neurons=3), Learnable(1.0, per="neuron").initial(neurons=3)
    (tensor([0.9000]), tensor([1., 1., 1.]))
    """

    start: float
    per: Literal["layer", "neuron"] = "layer"

    def __post_init__(self) -> None:
        if self.per not in ("layer", "neuron"):
            raise InputError(
                f'per = "{self.per}"',
                expected='"layer" or "neuron"',
                fix='"layer" learns one constant for the whole layer',
            )

    def initial(self, neurons: int) -> Float[Tensor, " _one_or_neuron"]:
        """The parameter before any training, float32: [1] or [neuron]."""
        return torch.full((1 if self.per == "layer" else neurons,), self.start)


Constant = float | Learnable
Learned = Mapping[str, Float[Tensor, "client _one_or_neuron"]]
"""A layer's learned constants by name, without the layer's; every client has its own."""
NOTHING: Learned = MappingProxyType({})


def initial(constants: dict[str, Constant], neurons: int) -> dict[str, Tensor]:
    """The parameters that a layer of so many neurons gets for those of the constants that are learned."""
    return {
        name: constant.initial(neurons)
        for name, constant in constants.items()
        if isinstance(constant, Learnable)
    }


def value(
    constant: Constant,
    name: str,
    learned: Learned,
    currents: Float[Tensor, "time client batch neuron"],
    largest: float = math.inf,
) -> float | Float[Tensor, "client batch neuron"]:
    """The fixed number, or what was learned under this name as every neuron that gets `currents` meets it.

    >>> learned, currents = {"decay": torch.tensor([[0.5], [1.2]])}, torch.zeros(3, 2, 1, 2)
    >>> value(Learnable(0.9), "decay", learned, currents, largest=1.0).tolist()
    [[[0.5, 0.5]], [[1.0, 1.0]]]
    """
    if not isinstance(constant, Learnable):
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
        # A running sum adds in order, so that padding at the end of a batch changes no bit.
        gradient = gradients[0].cumsum(1)[:, -1]
        if beyond.shape[1] == 1:
            gradient = gradient.sum(1, keepdim=True)
        return gradient * (beyond * gradient >= 0), None, None, None


def check_decay(name: str, constant: Constant) -> None:
    """Raise InputError unless it is, or starts, in [0, 1]."""
    if not 0 <= _start(constant) <= 1:
        raise InputError(
            f"{name} = {_start(constant)}",
            expected="a decay in [0, 1]",
            fix="0.9 is a usual value",
        )


def check_threshold(constant: Constant) -> None:
    """Raise InputError unless it is, or starts, above 0."""
    if not 0 < _start(constant) < math.inf:
        raise InputError(
            f"threshold = {_start(constant)}", expected="a threshold > 0", fix="1.0 is usual"
        )


def _start(constant: Constant) -> float:
    return constant.start if isinstance(constant, Learnable) else constant
