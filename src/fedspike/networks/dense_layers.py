"""Fully connected layers, sized: their shapes, and the initial weights."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fedspike.errors import InputError
from fedspike.layers.shapes import Dense

Parameters = dict[str, Tensor]


@dataclass(frozen=True)
class DenseLayers:
    """Fully connected layers; `layers` counts neurons from the input to the classes.

    >>> layers = DenseLayers((784, 100, 10))
    >>> layers.names, layers.parameters, layers.synapses
    (('hidden', 'output'), 79510, 79400)
    """

    layers: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.layers) < 2 or min(self.layers) < 1:
            raise InputError(
                f"layers = {self.layers}",
                expected="an input and an output layer at least, each of one neuron or more",
                fix="the founding study's network is (784, 100, 10)",
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The layers that have weights, first to last."""
        hidden = len(self.layers) - 2
        inner = ("hidden",) if hidden == 1 else tuple(f"hidden{i + 1}" for i in range(hidden))
        return (*inner, "output")

    @property
    def sizes(self) -> dict[str, tuple[int, int]]:
        """Inputs and outputs of every layer that has weights."""
        return dict(
            zip(self.names, zip(self.layers[:-1], self.layers[1:], strict=True), strict=True)
        )

    @property
    def described(self) -> dict[str, Dense]:
        """The layers from input to output, as the energy bill has them."""
        return {name: Dense(*size) for name, size in self.sizes.items()}

    @property
    def weighted(self) -> dict[str, Dense]:
        """Those that have weights: all."""
        return self.described

    def stacked(self, parameters: Parameters) -> list[tuple[Tensor, Tensor]]:
        """Weight and bias of every layer, first to last."""
        return [(parameters[f"{name}.weight"], parameters[f"{name}.bias"]) for name in self.names]

    def named(self, layers: list[tuple[Tensor, Tensor]]) -> Parameters:
        """The parameters whose `stacked` layers these are."""
        parameters: Parameters = {}
        for name, (weight, bias) in zip(self.names, layers, strict=False):  # none, or all
            parameters |= {f"{name}.weight": weight, f"{name}.bias": bias}
        return parameters

    @property
    def synapses(self) -> int:
        """Connections between neurons, sum of inputs x outputs."""
        return sum(inputs * outputs for inputs, outputs in self.sizes.values())

    @property
    def parameters(self) -> int:
        """Learned numbers: a weight per synapse and a bias per neuron."""
        return self.synapses + sum(self.layers[1:])

    def init(self, generator: np.random.Generator) -> Parameters:
        """Draw initial weights and biases, uniform on +-1/sqrt(inputs): the default of torch's Linear.

        Weights are `[outputs, inputs]`, biases `[outputs]`, float32.
        """
        parameters: Parameters = {}
        for name, (inputs, outputs) in self.sizes.items():
            parameters |= drawn(name, (outputs, inputs), generator)
        return parameters


def drawn(name: str, weight: tuple[int, ...], generator: np.random.Generator) -> Parameters:
    """A layer's weight of this shape, outputs first, and its bias, each uniform on +-1/sqrt(inputs)."""
    bound = math.prod(weight[1:]) ** -0.5
    parameters = {}
    for part, shape in (("weight", weight), ("bias", weight[:1])):
        values = generator.uniform(-bound, bound, shape).astype(np.float32)
        parameters[f"{name}.{part}"] = torch.from_numpy(values)
    return parameters
