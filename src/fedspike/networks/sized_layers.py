"""Layers with sizes, as a network that runs has them, and their initial weights."""

import math
from abc import ABC, abstractmethod
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from fedspike.layers.shapes import Dense, Pool, TwinSynapses

Parameters = dict[str, Tensor]
InitialWeights = Literal["torch", "he"]
# Numbers of the largest layer, over all time steps, that stay in a cache of 4 MB and those before it.
_CACHED = 2**20


class Layers(ABC):
    """Layers one after the other, of which the first and the last have weights."""

    initial_weights: InitialWeights

    @property
    @abstractmethod
    def described(self) -> dict[str, TwinSynapses | Pool]:
        """The layers from input to output."""

    @cached_property
    def weighted(self) -> dict[str, TwinSynapses]:
        """Those that have weights."""
        layers = self.described.items()
        return {name: layer for name, layer in layers if isinstance(layer, TwinSynapses)}

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The layers that have weights, first to last."""
        return tuple(self.weighted)

    @cached_property
    def layers(self) -> tuple[int, ...]:
        """Neurons (behind a pool: values) from the input to the classes."""
        first, *_ = self.described.values()
        return (first.inputs, *(layer.outputs for layer in self.described.values()))

    @property
    def synapses(self) -> int:
        """Connections between neurons; there are none with padding."""
        return sum(layer.synapses for layer in self.weighted.values())

    @property
    def parameters(self) -> int:
        """Learned numbers: weights, and a bias per neuron or, of a convolution, channel."""
        return sum(layer.parameters for layer in self.weighted.values())

    @abstractmethod
    def narrowed(self, width: float) -> "Layers":
        """The same layers with the share `width` of each hidden layer's units, rounded up."""

    def samples_in_cache(self, time_steps: int) -> int | None:
        """Samples whose largest layer, over all time steps, stays in a cache; None: any number.

        Layers of images are so large that everything else waits for memory.
        """
        if all(isinstance(layer, Dense) for layer in self.described.values()):
            return None
        return max(1, _CACHED // (time_steps * max(self.layers)))

    def init(self, generator: np.random.Generator) -> Parameters:
        """Draw initial weights and biases; a neuron has n inputs.

            torch   both uniform on +-1/sqrt(n), as torch's layers draw them
            he      weights uniform on +-sqrt(6/n), a variance of 2/n; biases 0

        The second keeps the size of what passes through layers of ReLUs, where the first makes it smaller
        from layer to layer: deep networks then begin to learn late, or not at all.

        Weights are `[channels, channels before / groups, kernel, kernel]` or `[outputs, inputs]`, biases
        `[channels]` or `[outputs]`, float32.

        Source: He, Zhang, Ren, Sun, "Delving Deep into Rectifiers", ICCV 2015, eq. 10.
        """
        he = self.initial_weights == "he"
        parameters: Parameters = {}
        for name, layer in self.weighted.items():
            weight = layer.weight_shape
            bound = math.prod(weight[1:]) ** -0.5
            for part, shape, most in (
                ("weight", weight, bound * 6**0.5 if he else bound),
                ("bias", weight[:1], 0.0 if he else bound),
            ):
                values = generator.uniform(-most, most, shape).astype(np.float32)
                parameters[f"{name}.{part}"] = torch.from_numpy(values)
        return parameters


def narrow(units: int, width: float) -> int:
    """The share `width` of so many neurons or channels, rounded up, but for an error in the last bits.

    >>> narrow(100, 1 / 16), narrow(30, 0.1), narrow(30, 1e-9)
    (7, 3, 1)
    """
    return max(1, math.ceil(round(units * width, 6)))
