"""The compiled kernels as an engine: float32 on the CPU.

A network of which the kernels have every part goes through them in one pass; no spike and no membrane leaves
the processor's cache. Of all others they compute the operators that they have, beside plain torch.
"""

from dataclasses import dataclass
from typing import TypeGuard

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from fedspike.engine import compiled, kernel_parts, packed, passes
from fedspike.engine.engines import Engine, Learned
from fedspike.engine.plain import PlainEngine
from fedspike.errors import warn_once
from fedspike.networks import (
    Batch,
    ConventionalNetwork,
    DenseLayers,
    Forward,
    Parameters,
    SizedNetwork,
    SpikingNetwork,
)
from fedspike.networks.batch import count
from fedspike.networks.operators import PLAIN
from fedspike.parts.codes import Address, Code
from fedspike.parts.losses import Loss
from fedspike.parts.neurons import Learned as Constants
from fedspike.parts.neurons import Neuron
from fedspike.parts.optimisers import Adam, Optimiser

InOnePass = SpikingNetwork | ConventionalNetwork


class Kernels:
    """The operators of which there are kernels; see `networks.operators.Operators`."""

    def encoded(
        self,
        code: Code,
        x: Float[Tensor, "client batch *time pixel"],
        address: Address,
        time_steps: int,
    ) -> Float[Tensor, "time client batch pixel"]:
        """Of still images, the codes without randomness and the rate code."""
        if x.dim() == 3 and kernel_parts.has_spikes(code):
            return kernel_parts.packed_spikes(code, x, address, time_steps).dense()
        return PLAIN.encoded(code, x, address, time_steps)

    def fired(
        self,
        neuron: Neuron,
        currents: Float[Tensor, "time client batch neuron"],
        constants: Constants,
        present: Bool[Tensor, "client batch"],
    ) -> tuple[Float[Tensor, "time client batch neuron"], Int64[Tensor, "client neuron"] | None]:
        """Neurons of fixed constants, with their spikes counted."""
        fixed = kernel_parts.constants(neuron)
        if fixed is None:
            return PLAIN.fired(neuron, currents, constants, present)
        in_order = currents.movedim(0, 2).contiguous()  # a kernel writes in no other
        spikes, counts = packed.fire(in_order, present, compiled.Neuron(*fixed))
        return spikes.movedim(2, 0), counts

    def averaged(
        self, images: Float[Tensor, "image row column"], size: int
    ) -> Float[Tensor, "image _row _column"]:
        """All."""
        return packed.average(images, size)

    def time_axis(self, neuron: Neuron) -> int:
        """Behind the samples, where `packed.fire` has it."""
        return 1 if kernel_parts.constants(neuron) is None else 2


_OPERATORS = PlainEngine(torch.device("cpu"), Kernels())


@dataclass(frozen=True)
class CompiledEngine(Engine):
    """Networks in one pass, or operator by operator."""

    device = torch.device("cpu")

    def forward(self, network: SizedNetwork, parameters: Parameters, batch: Batch) -> Forward:
        """See `Engine`."""
        if _passes(network, batch):
            return _passed(network, parameters, batch).forward
        return _OPERATORS.forward(network, parameters, batch)

    def learn(
        self,
        network: SizedNetwork,
        loss: Loss,
        parameters: Parameters,
        batch: Batch,
        statistics: Parameters | None = None,
    ) -> Learned:
        """See `Engine`."""
        classes, steps = network.architecture.layers[-1], network.time_steps
        wanted = kernel_parts.wanted(loss, batch.labels, classes, steps)
        if wanted is not None and _passes(network, batch):
            return _passed(network, parameters, batch, wanted)
        return _OPERATORS.learn(network, loss, parameters, batch, statistics)

    def step(
        self,
        optimiser: Optimiser,
        parameters: Parameters,
        gradients: Parameters,
        memory: dict[str, Parameters],
        number: int,
    ) -> None:
        """See `Engine`; of Adam there is a kernel."""
        if type(optimiser) is not Adam:
            optimiser.step(parameters, gradients, memory, number)
            return
        constants = (optimiser.learning_rate, optimiser.beta1, optimiser.beta2, optimiser.epsilon)
        for name, weight in parameters.items():
            moments = memory["m"][name], memory["v"][name]
            passes.adam(weight, gradients[name], moments, number, constants)

    def bytes_per_sample(self, network: SizedNetwork) -> int:
        """See `Engine`."""
        return 0 if _has_pass(network) else network.bytes_per_sample


def _has_pass(network: SizedNetwork) -> TypeGuard[InOnePass]:
    """Whether the kernels have the whole network."""
    if isinstance(network, ConventionalNetwork):
        return isinstance(network.architecture, DenseLayers) and network.quantiser is None
    return (
        isinstance(network, SpikingNetwork)
        and isinstance(network.architecture, DenseLayers)
        and not network.statistics()
        and kernel_parts.has_code(network.code)
        and kernel_parts.has_read_out(network.read_out)
        and kernel_parts.constants(network.neuron) is not None
    )


def _passes(network: SizedNetwork, batch: Batch) -> TypeGuard[InOnePass]:
    """Whether they take this batch too. If not, and if that is no convolution, it is logged once."""
    still = batch.pixels.shape[1] == network.architecture.layers[0]
    if still and _has_pass(network):
        return True
    if isinstance(network, SpikingNetwork) and isinstance(network.architecture, DenseLayers):
        parts = (network.neuron, network.read_out, network.snn.normalisation)
        what = " and ".join(map(str, parts)) if still else "inputs that move"
        warn_once(f"plain torch computes, several times slower: no kernel has {what}")
    return False


def _passed(
    network: InOnePass,
    parameters: Parameters,
    batch: Batch,
    wanted: passes.Wanted | None = None,
) -> Learned:
    """A network in one pass and, if something is `wanted`, losses and gradients too."""
    assert isinstance(network.architecture, DenseLayers)  # see `_has_pass`
    layers = network.architecture.stacked(parameters)
    if isinstance(network, SpikingNetwork):
        neuron = kernel_parts.constants(network.neuron)
        assert neuron is not None
        passed = passes.spiking(
            batch.pixels,
            batch.positions,
            layers,
            kernel_parts.encoding(network.code, batch.address, network.time_steps),
            compiled.Neuron(*neuron),
            integrates=not network.read_out.spiking,
            wanted=wanted,
        )
        # Spike counts are the scores, and all of them together the spikes that left the last layer.
        events_out = count(passed.scores.sum(2), batch.present) * network.read_out.spiking
    else:
        passed = passes.conventional(batch.pixels, batch.positions, layers, wanted)
        events_out = torch.zeros(len(batch.positions), dtype=torch.int64)
    events_in = dict(zip(network.architecture.names, passed.events, strict=True))
    forward = Forward(passed.scores, events_in, events_out)
    return Learned(forward, passed.losses, network.architecture.named(passed.gradients))
