"""The compiled kernels as an engine: float32 on the CPU.

A network of which the kernels have every part goes through them in one pass; no spike and no membrane leaves
the processor's cache. Of all others they compute the operators that they have, beside plain torch.
"""

from dataclasses import dataclass
from typing import TypeGuard

import torch
from torch import Tensor

from fedspike import engine
from fedspike.engine import compiled, kernel_parts, normalisations, one_pass, packed
from fedspike.engine.engines import Engine, Learned, Stepped, calibration
from fedspike.engine.one_pass import InOnePass
from fedspike.engine.packed import array
from fedspike.engine.plain_torch import PlainEngine
from fedspike.errors import warn_once
from fedspike.networks import (
    Batch,
    DenseLayers,
    Forward,
    Parameters,
    SizedNetwork,
    SpikingNetwork,
)
from fedspike.networks.batch import count, events
from fedspike.networks.operators import PLAIN, Fired, Operators
from fedspike.parts.codes import Address, Code
from fedspike.parts.losses import Loss
from fedspike.parts.neurons import Competitive, Neuron
from fedspike.parts.neurons import Learned as Constants
from fedspike.parts.optimisers import Adam, Optimiser, Step
from fedspike.parts.plasticity import Competed, PairRule, Plasticity, Presented
from fedspike.parts.tensors import Flow, Frames, Present, Trains

SLOWER = "plain torch computes, several times slower"
# Products of a weight and a number that enters it, of which a kernel takes none that is 0: about a second of
# two cores. Nothing interrupts a kernel. And samples, of each of which it keeps some numbers.
_WORK_AT_ONCE, _SAMPLES_AT_ONCE = 2e11, 2**18


def _encoded(code: Code, x: Frames, address: Address, time_steps: int) -> Trains:
    """Of still images, the codes without randomness and the rate code."""
    if x.dim() == 3 and kernel_parts.has_spikes(code):
        return kernel_parts.packed_spikes(code, x, address, time_steps).dense()
    return PLAIN.encoded(code, x, address, time_steps)


def _fired(neuron: Neuron, currents: Flow, constants: Constants, present: Present) -> Fired:
    """Of LIF neurons with the arctangent, with their spikes counted."""
    fixed = kernel_parts.usual(neuron)
    if fixed is None:
        return PLAIN.fired(neuron, currents, constants, present)
    in_order = currents.movedim(0, 2).contiguous()  # a kernel writes in no other
    spikes, counts = packed.fire(in_order, present, compiled.Neuron(*fixed))
    return spikes.movedim(2, 0), counts


def _time_axis(neuron: Neuron) -> int:
    """Behind the samples, where `packed.fire` has it."""
    return 1 if kernel_parts.usual(neuron) is None else 2


_KERNELS = Operators(_encoded, _fired, packed.average, _time_axis)
_OPERATORS = PlainEngine(torch.device("cpu"), _KERNELS)


@dataclass(frozen=True)
class CompiledEngine(Engine):
    """Networks in one pass, or operator by operator."""

    device = torch.device("cpu")
    operators = _KERNELS

    @property
    def by_operators(self) -> Engine:
        """Beside plain torch."""
        return _OPERATORS

    def forward(self, network: SizedNetwork, parameters: Parameters, batch: Batch) -> Forward:
        """See `Engine`."""
        if _passes(network, batch):
            return one_pass.passed(network, parameters, batch).forward
        if isinstance(network, SpikingNetwork) and _competes(network, parameters):
            return self._competed(network, parameters, batch)
        return _OPERATORS.forward(network, parameters, batch)

    def learn(
        self, network: SizedNetwork, loss: Loss, parameters: Parameters, batch: Batch
    ) -> Learned:
        """See `Engine`; what enters the last layer does not leave a pass of the kernels."""
        if batch.compared is not None:
            if _passes(network, batch):
                warn_once(f"{SLOWER}: no kernel compares representations")
            return _OPERATORS.learn(network, loss, parameters, batch)
        classes, steps = network.architecture.layers[-1], network.time_steps
        wanted = kernel_parts.wanted(loss, classes, steps)
        if wanted is not None and _passes(network, batch):
            arrays = _calibrated(loss, batch, classes)
            return one_pass.passed(network, parameters, batch, wanted, arrays)
        if loss.penalises and _passes(network, batch):
            return one_pass.twice_passed(network, loss, parameters, batch)
        return _OPERATORS.learn(network, loss, parameters, batch)

    def train(
        self,
        network: SizedNetwork,
        loss: Loss,
        optimiser: Optimiser,
        parameters: Parameters,
        batches: Batch,
    ) -> Stepped | None:
        """See `Engine`; Adam, of a dense network, while that takes about a second."""
        classes, steps = network.architecture.layers[-1], network.time_steps
        samples = batches.positions.numel()
        work = samples * network.architecture.parameters * max(1, steps)
        if work > _WORK_AT_ONCE or samples > _SAMPLES_AT_ONCE:
            return None
        if not _passes(network, batches):
            return None
        wanted = kernel_parts.wanted(loss, classes, steps)
        assert type(optimiser) is Adam  # see `steps_itself`
        arrays, adam = _calibrated(loss, batches, classes), kernel_parts.adam(optimiser)
        learned = one_pass.passed(network, parameters, batches, wanted, arrays, adam=adam)
        return Stepped(learned.forward, learned.losses)

    def steps_itself(self, network: SizedNetwork, loss: Loss, optimiser: Optimiser) -> bool:
        """See `Engine`."""
        wanted = kernel_parts.wanted(loss, network.architecture.layers[-1], network.time_steps)
        if type(optimiser) is not Adam or wanted is None:
            return False
        return one_pass.has(network) and one_pass.is_stepped(network)

    def step(self, optimiser: Optimiser, step: Step) -> None:
        """See `Engine`; of Adam there is a kernel."""
        if type(optimiser) is not Adam:
            optimiser.step(step)
            return
        constants = kernel_parts.adam(optimiser)
        threads = torch.get_num_threads()
        for name, weight in step.parameters.items():
            m, v = (step.memory[moment][name].numpy() for moment in ("m", "v"))
            g = array(step.gradients[name])
            engine.kernels.adam(g, constants, step.number, weight.numpy(), m, v, threads)

    def compete(
        self, plasticity: Plasticity, neuron: Competitive, presented: Presented
    ) -> Competed:
        """See `Engine`; of the pair rule there is a kernel, side by side for all clients."""
        if type(plasticity) is not PairRule or type(neuron) is not Competitive:
            return plasticity.shown(neuron, presented)
        steps, clients, samples, _ = presented.spikes.shape
        winners = torch.empty(clients, samples, steps, dtype=torch.int64)
        updates = torch.empty(clients, dtype=torch.int64)
        rule = compiled.Competition(
            *(neuron.beta, neuron.threshold, neuron.rise, neuron.sinking),
            *(plasticity.tau_in, plasticity.tau_out, plasticity.incoming),
            *(plasticity.a_plus, plasticity.a_minus),
            presented.learns,
        )
        engine.kernels.compete(
            rule,
            array(presented.spikes.movedim(0, 2)),
            array(presented.competitors),
            presented.weight.numpy(),
            presented.threshold.numpy(),
            winners.numpy(),
            updates.numpy(),
            torch.get_num_threads(),
        )
        return Competed(winners, updates)

    def _competed(self, network: SpikingNetwork, parameters: Parameters, batch: Batch) -> Forward:
        """A network of competing neurons, event by event."""
        neurons = network.competition
        assert neurons is not None  # see `_competes`
        weight, threshold = (
            parameters[f"{neurons.inner}.{part}"].detach().contiguous()
            for part in ("weight", "threshold")
        )
        spikes = neurons.entering(batch, self.operators)
        between = torch.tensor([0, weight.shape[1]]) * batch.present.unsqueeze(2)
        shown = Presented(spikes, between, weight, threshold, learns=False)
        winners = self.compete(PairRule(), neurons.neuron, shown).winners
        by_sample = events(spikes), (winners >= 0).sum(2)
        entered, left = (count(numbers, batch.present) for numbers in by_sample)
        scores = neurons.read(network.amplified(parameters), winners)
        events_in = {neurons.inner: entered, neurons.outer: left}
        return Forward(scores, events_in, torch.zeros_like(left))

    def bytes_per_sample(self, network: SizedNetwork) -> int:
        """See `Engine`; a normalised network has all samples of a minibatch in memory."""
        in_cache = one_pass.has(network) and not normalisations.there_are(network)
        return 0 if in_cache else network.bytes_per_sample

    def clients_at_once(self, network: SizedNetwork, rows: int) -> int:
        """See `Engine`; a pass holds samples of no more clients than threads."""
        return super().clients_at_once(network, 0 if one_pass.has(network) else rows)

    def has_small_operators(self, network: SizedNetwork) -> bool:
        """See `Engine`; a pass is one."""
        return not one_pass.has(network) and super().has_small_operators(network)

    def bytes_of_step(self, network: SizedNetwork, rows: int) -> int:
        """See `Engine`."""
        if one_pass.has(network):
            return one_pass.bytes_of_step(network, rows)
        return _OPERATORS.bytes_of_step(network, rows)


def _competes(network: SpikingNetwork, parameters: Parameters) -> bool:
    """Whether its neurons compete as the kernel has it, which adds no bias, and membranes are read."""
    return (
        (neurons := network.competition) is not None
        and isinstance(network.architecture, DenseLayers)
        and type(neurons.neuron) is Competitive
        and not network.read_out.spiking
        and not normalisations.there_are(network)
        and not parameters[f"{neurons.inner}.bias"].any()
    )


def _calibrated(loss: Loss, batch: Batch, classes: int) -> dict[str, Tensor]:
    """What a loss makes of scores, as the kernels take it."""
    to_classes = calibration(loss, batch, classes)
    return {} if to_classes is None else to_classes._asdict()


def _passes(network: SizedNetwork, batch: Batch) -> TypeGuard[InOnePass]:
    """Whether they take this batch too. If not, and if that is no convolution, it is logged once."""
    still = batch.pixels.shape[1] == network.stored
    if batch.dropout and normalisations.there_are(network):
        warn_once(f"{SLOWER}: no kernel has dropout beside a normalisation")
        return False
    if still and one_pass.has(network):
        return True
    dense = isinstance(network.architecture, DenseLayers)
    if isinstance(network, SpikingNetwork) and dense and network.competition is None:
        parts = (network.neuron, network.read_out, network.snn.normalisation)
        what = " and ".join(map(str, parts)) if still else "inputs that move"
        warn_once(f"{SLOWER}: no kernel has {what}")
    return False
