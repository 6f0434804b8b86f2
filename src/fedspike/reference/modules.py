"""The study's networks as snnTorch modules, stepped through time."""

from typing import Any

import snntorch
import snntorch.functional
import snntorch.surrogate
import torch
from jaxtyping import Float
from torch import Tensor, nn

from fedspike.errors import InputError
from fedspike.layers.shapes import Convolution, Dense, Pool
from fedspike.networks import ConventionalNetwork, Parameters, SizedNetwork, SpikingNetwork
from fedspike.parts.neurons import LIF
from fedspike.parts.normalisations import Unnormalised
from fedspike.parts.read_outs import SpikeCount


class Layers(nn.Module):
    """The layers of a network, as torch has them, and what entered them since the start."""

    def __init__(self, network: ConventionalNetwork | SpikingNetwork) -> None:
        super().__init__()
        self.layers = dict(network.architecture.described)
        for name, layer in self.layers.items():
            self.add_module(name, _layer_of(layer))
        self.names = network.architecture.names
        self.amplification = network.amplification  # of what a narrowed layer sends on
        self.events_in = dict.fromkeys(self.layers, 0)  # spikes, or values other than zero
        self.synapses_met = {n: 0 for n, x in self.layers.items() if isinstance(x, Convolution)}
        self.events_out = 0
        self.last_inputs: list[Tensor] = []  # what entered the last layer at each step of a pass

    def through(
        self, name: str, flowing: Float[Tensor, "batch *before"]
    ) -> Float[Tensor, "batch *after"]:
        """What comes out of a layer."""
        layer, module = self.layers[name], self.get_submodule(name)
        self.events_in[name] += int(torch.count_nonzero(flowing))
        flowing = flowing.reshape(len(flowing), *_shape_before(layer))
        if isinstance(module, nn.Conv2d):
            events, ones = (flowing != 0).to(flowing), torch.ones_like(module.weight)
            reached = nn.functional.conv2d(
                events, ones, None, module.stride, module.padding, groups=module.groups
            )
            self.synapses_met[name] += int(reached.sum())
        if name == self.names[-1]:
            self.last_inputs.append(flowing.flatten(1))
        if name in self.names[1:]:
            flowing = self.amplification * flowing
        out: Tensor = module(flowing)
        return out


def _layer_of(layer: Dense | Convolution | Pool) -> nn.Module:
    if isinstance(layer, Convolution):
        channels = (layer.in_channels, layer.out_channels)
        how = (layer.kernel, layer.stride, layer.padding)
        return nn.Conv2d(*channels, *how, groups=layer.groups)
    if isinstance(layer, Pool):
        return nn.AvgPool2d(layer.size) if layer.kind == "average" else nn.MaxPool2d(layer.size)
    return nn.Linear(layer.inputs, layer.outputs)


def _shape_before(layer: Dense | Convolution | Pool) -> tuple[int, ...]:
    if isinstance(layer, Convolution):
        return layer.in_channels, layer.height, layer.width
    if isinstance(layer, Pool):
        return layer.channels, layer.height, layer.width
    return (layer.inputs,)


class ConventionalModule(Layers):
    """Layers with ReLU behind all with weights but the last."""

    def forward(self, pixels: Float[Tensor, "batch pixel"]) -> Float[Tensor, "batch class"]:
        """Scores of one batch."""
        flowing, self.last_inputs = pixels, []
        for name in self.layers:
            flowing = self.through(name, flowing)
            if name in self.names[:-1]:
                flowing = torch.relu(flowing)
        return flowing


class Arctan(snntorch.surrogate.ATan):  # type: ignore[misc]
    """snnTorch's default surrogate, which always answers in float32, kept in the type of its input."""

    @staticmethod
    def forward(ctx: Any, input_: Tensor, alpha: float) -> Tensor:
        """Spikes, 0.0 and 1.0."""
        return snntorch.surrogate.ATan.forward(ctx, input_, alpha).to(input_.dtype)  # type: ignore[no-any-return]


def arctan(distance: Tensor) -> Tensor:
    """The spike function at U - theta, with the arctangent's gradient."""
    spikes: Tensor = Arctan.apply(distance, 2.0)
    return spikes


class SpikingModule(Layers):
    """Layers, snnTorch's leaky neurons behind all with weights, stepped through time."""

    def __init__(self, network: SpikingNetwork) -> None:
        super().__init__(network)
        neuron, norm = network.neuron, network.snn.normalisation
        if not (
            isinstance(neuron, LIF)
            and isinstance(network.read_out, SpikeCount)
            and isinstance(norm, Unnormalised)
        ):
            raise InputError(
                f"{type(neuron).__name__} with {type(network.read_out).__name__}, normalised by {norm}, "
                "in the reference",
                expected="the founding study's network: LIF neurons whose spikes are counted",
                fix="ask the simulator, which has all of them",
            )
        # As float64, or snnTorch would round them to float32 once and for all.
        beta, threshold = torch.tensor([neuron.beta, neuron.threshold], dtype=torch.float64)
        self.neurons = nn.ModuleDict(
            {
                name: snntorch.Leaky(
                    beta=beta,
                    threshold=threshold,
                    reset_mechanism=neuron.reset,
                    spike_grad=arctan,
                )
                for name in self.names
            }
        )

    def forward(
        self, spikes: Float[Tensor, "time batch pixel"]
    ) -> Float[Tensor, "time batch class"]:
        """Output spikes of one batch at every time step, from rest."""
        membranes = {name: torch.zeros(0) for name in self.names}  # what Leaky takes for rest
        recorded, self.last_inputs = [], []
        for flowing in spikes:
            for name in self.layers:
                flowing = self.through(name, flowing)
                if name in self.names:
                    flowing, membranes[name] = self.neurons[name](flowing, membranes[name])
            self.events_out += int(flowing.sum())
            recorded.append(flowing)
        return torch.stack(recorded)


def module_of(
    network: SizedNetwork, model: Parameters, dtype: torch.dtype
) -> SpikingModule | ConventionalModule:
    """The network with the numbers of a model."""
    module: SpikingModule | ConventionalModule
    if isinstance(network, SpikingNetwork):
        module = SpikingModule(network)
    else:
        assert isinstance(network, ConventionalNetwork)
        module = ConventionalModule(network)
    module.to(dtype)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(model[name])
    return module
