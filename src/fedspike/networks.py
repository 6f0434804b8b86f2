"""One architecture, two twins: the conventional (ANN) and the spiking (SNN) network.

Both have the same parameters: same names, shapes, initial values and bytes on the wire. What differs is
what flows: real numbers once, or spikes over T time steps.

    ANN: x -> ReLU(W x + b) -> ... -> W x + b                   scores = values of the last layer
    SNN: s[t] -> LIF(W s[t] + b) -> ... -> LIF(W s[t] + b)      scores = spike counts of the last layer

Every tensor of a network carries the clients as an axis: client k's samples meet client k's weights.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fedspike.encoding import Address, RateCode
from fedspike.errors import InputError
from fedspike.neurons import LIF

Parameters = dict[str, Tensor]


@dataclass(frozen=True)
class Forward:
    """What a forward pass returns.

    `spikes_in[layer][client]` is the exact number of spikes that entered the layer, over all time steps
    and all samples present; it is empty for the ANN, whose synapses work for every sample.
    """

    scores: Float[Tensor, "client batch class"]
    spikes_in: dict[str, list[int]]


@dataclass(frozen=True)
class Architecture:
    """Fully connected layers; `layers` counts neurons from the input to the classes.

    >>> architecture = Architecture((784, 100, 10))
    >>> architecture.names, architecture.parameters, architecture.synapses
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
        parameters = {}
        for name, (inputs, outputs) in self.sizes.items():
            bound = inputs**-0.5
            for part, shape in (("weight", (outputs, inputs)), ("bias", (outputs,))):
                values = generator.uniform(-bound, bound, shape).astype(np.float32)
                parameters[f"{name}.{part}"] = torch.from_numpy(values)
        return parameters


@dataclass(frozen=True)
class ANN:
    """The conventional twin: ReLU layers, read once per sample."""

    architecture: Architecture

    def encode(
        self, pixels: Float[Tensor, "client batch pixel"], address: Address
    ) -> Float[Tensor, "client batch pixel"]:
        """The pixels themselves; nothing is random, so the address is not used."""
        del address
        return pixels

    def forward(
        self,
        parameters: Parameters,
        inputs: Float[Tensor, "client batch pixel"],
        present: Bool[Tensor, "client batch"] | None = None,
    ) -> Forward:
        """Scores are the values of the output layer, before any softmax."""
        del present
        *hidden, output = self.architecture.names
        for name in hidden:
            inputs = torch.relu(_linear(parameters, name, inputs))
        return Forward(scores=_linear(parameters, output, inputs), spikes_in={})


@dataclass(frozen=True)
class SNN:
    """The spiking twin: LIF layers, read for T time steps, answering with its spike counts."""

    architecture: Architecture
    neuron: LIF
    code: RateCode

    def encode(
        self, pixels: Float[Tensor, "client batch pixel"], address: Address
    ) -> Float[Tensor, "time client batch pixel"]:
        """The input spikes of one batch, by the network's code."""
        return self.code.spikes(pixels, address)

    def forward(
        self,
        parameters: Parameters,
        inputs: Float[Tensor, "time client batch pixel"],
        present: Bool[Tensor, "client batch"] | None = None,
    ) -> Forward:
        """Scores are the output layer's spikes, summed over time.

        `present` marks the samples that are real where a batch was padded; only they are counted.
        """
        spikes, spikes_in = inputs, {}
        for name in self.architecture.names:
            spikes_in[name] = _count(spikes, present)
            # The weights do not change with time, so one product serves all time steps.
            rows = spikes.movedim(0, 1).flatten(1, 2)
            currents = _linear(parameters, name, rows)
            currents = currents.reshape(len(rows), len(spikes), -1, currents.shape[2])
            spikes = self.neuron.spikes(currents.movedim(1, 0))
        return Forward(scores=spikes.sum(0), spikes_in=spikes_in)


Network = ANN | SNN


def _linear(
    parameters: Parameters, name: str, rows: Float[Tensor, "client row input"]
) -> Float[Tensor, "client row output"]:
    weight, bias = parameters[f"{name}.weight"], parameters[f"{name}.bias"]
    return torch.baddbmm(bias.unsqueeze(1), rows, weight.transpose(1, 2))


def _count(
    spikes: Float[Tensor, "time client batch neuron"], present: Bool[Tensor, "client batch"] | None
) -> list[int]:
    """Spikes per client. Sums of 0s and 1s over neurons are exact in float32 below 2^24 neurons."""
    per_sample = spikes.detach().sum(3).long().sum(0)
    if present is not None:
        per_sample = per_sample * present
    counts: list[Any] = per_sample.sum(1).tolist()
    return counts
