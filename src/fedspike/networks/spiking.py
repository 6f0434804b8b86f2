"""The spiking twin.

s[t] -> LIF(W s[t] + b) -> ... -> LIF(W s[t] + b) -> read-out        scores, one for each class
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from fedspike.encoding import Code, entry
from fedspike.kernels import packed, passes
from fedspike.kernels.packed import PackedSpikes
from fedspike.kernels.passes import Wanted
from fedspike.networks.architecture import Architecture, Parameters
from fedspike.networks.batch import Batch, Forward, Learned, count
from fedspike.networks.conventional import linear
from fedspike.neurons import LIF, Neuron
from fedspike.neurons import Learned as LearnedConstants
from fedspike.readouts import MeanMembrane, ReadOut, SpikeCount


@dataclass(frozen=True)
class SNN:
    """The spiking twin: layers of neurons, read for T time steps.

    Any code, any neuron and any read-out go together. What the compiled passes do not have (`passable`)
    plain torch computes.
    """

    architecture: Architecture
    neuron: Neuron
    code: Code
    read_out: ReadOut = field(default_factory=SpikeCount)

    def init(self, generator: np.random.Generator) -> Parameters:
        """The same weights as the ANN's, and the constants of the neurons that are learned."""
        parameters = self.architecture.init(generator)
        for name, (_, neurons) in self.architecture.sizes.items():
            constants = self.neuron.initial(neurons, self._fires(name))
            parameters |= {f"{name}.{constant}": start for constant, start in constants.items()}
        return parameters

    @property
    def passable(self) -> bool:
        """Whether the compiled passes have this neuron and read-out."""
        return self.neuron.compiled and isinstance(self.read_out, SpikeCount | MeanMembrane)

    def takes(self, pixels: int) -> bool:
        """Whether samples of so many numbers fit: one per input or, where they move, T frames of these."""
        inputs = self.architecture.layers[0]
        return pixels == inputs or (self.code.moving and pixels == inputs * self.code.time_steps)

    def bytes_per_sample(self, device: str) -> int:
        """Memory of a training step, about: all as plain floats; compiled, next to nothing."""
        if self.passable and packed.computes_on(device):
            return 0
        return 12 * self.code.time_steps * sum(self.architecture.layers)

    def run(self, parameters: Parameters, batch: Batch) -> Forward:
        """From pixels to scores: encode, then `forward`; in compiled kernels where they have it all."""
        if self.passes(batch) and not torch.is_grad_enabled():
            return self.compiled(parameters, batch).forward
        x = batch.x
        if x.shape[2] != self.architecture.layers[0]:
            x = x.reshape(*x.shape[:2], self.code.time_steps, -1)
        return self.forward(parameters, self.code.spikes(x, batch.address), batch.present)

    def passes(self, batch: Batch) -> bool:
        """Whether `compiled` takes this batch. If plain torch must compute instead, that is logged once."""
        if not packed.can_take(batch.pixels):
            return False
        still = batch.pixels.shape[1] == self.architecture.layers[0]
        if not (still and self.passable):
            what = f"{self.neuron} and {self.read_out}" if still else "inputs that move"
            packed.log_once(f"plain torch computes, several times slower: no kernel has {what}")
        return still and self.passable

    def compiled(
        self, parameters: Parameters, batch: Batch, wanted: Wanted | None = None
    ) -> Learned:
        """`run` in compiled kernels and, if something is `wanted`, its losses and gradients too.

        Autograd gives the same through `run`; here no membrane leaves the processor's cache.
        """
        passed = passes.spiking(
            batch.pixels,
            batch.positions,
            entry(self.code, batch.address),
            self.neuron.for_kernels(),
            self.architecture.stacked(parameters),
            integrates=not self.read_out.spiking,
            wanted=wanted,
        )
        events_in = dict(zip(self.architecture.names, passed.events, strict=True))
        # Spike counts are the scores, and all of them together the spikes that left the last layer.
        events_out = count(passed.scores.sum(2), batch.present) * self.read_out.spiking
        forward = Forward(passed.scores, events_in, events_out)
        return Learned(forward, passed.losses, self.architecture.named(passed.gradients))

    def forward(
        self,
        parameters: Parameters,
        spikes: Float[Tensor, "time client batch pixel"],
        present: Bool[Tensor, "client batch"] | None = None,
    ) -> Forward:
        """From what the code gave to scores, in plain torch: what the kernels must equal."""
        events_in = {}
        for name in self.architecture.names:
            first = name == self.architecture.names[0]
            events_in[name] = self._entered(
                spikes.detach(), first and not self.code.binary, present
            )
            if first and self.code.step_weights is not None:
                weights = torch.tensor(self.code.step_weights, dtype=spikes.dtype)
                spikes = spikes * weights.to(spikes.device).view(-1, 1, 1, 1)
            # The weights do not change with time, so one product serves all time steps.
            rows = spikes.movedim(0, 1).flatten(1, 2)
            currents = linear(parameters, name, rows)
            currents = currents.reshape(len(rows), len(spikes), -1, currents.shape[2]).movedim(1, 0)
            constants = _constants(parameters, name)
            if not self._fires(name):
                scores = self.read_out.scores(self.neuron.membrane(currents, constants))
                return Forward(scores, events_in, torch.zeros_like(events_in[name]))
            spikes = self.neuron.spikes(currents, constants)
        left = self._entered(spikes.detach(), False, present)
        return Forward(self.read_out.scores(spikes), events_in, left)

    def firing_rates(
        self, samples: int, events_in: Mapping[str, int], events_out: int
    ) -> dict[str, float]:
        """Share of each layer's neurons that spike at a step, from what entered the layers and left the last.

        >>> from fedspike.encoding import RateCode
        >>> network = SNN(Architecture((784, 100, 10)), LIF(), RateCode(time_steps=50))
        >>> network.firing_rates(1, {"hidden": 11_215, "output": 500}, events_out=50)
        {'hidden': 0.1, 'output': 0.1}
        """
        _, *following = self.architecture.names
        left = [*(events_in[name] for name in following), events_out]
        possible = samples * self.code.time_steps
        return {
            name: events / (possible * neurons)
            for (name, (_, neurons)), events in zip(
                self.architecture.sizes.items(), left, strict=True
            )
            if self._fires(name)
        }

    def packed_forward(
        self,
        parameters: Parameters,
        spikes: PackedSpikes,
        present: Bool[Tensor, "client batch"] | None = None,
    ) -> Forward:
        """The same on spikes as bits, operator by operator, for LIF neurons whose spikes are counted."""
        assert isinstance(self.neuron, LIF)
        events_in = {}
        for name in self.architecture.names:
            events_in[name] = count(spikes.counts().sum(2), present)
            weight, bias = parameters[f"{name}.weight"], parameters[f"{name}.bias"]
            spikes = self.neuron.packed(packed.linear(spikes, weight, bias))
        scores = spikes.scores()
        return Forward(scores, events_in, count(scores.detach().sum(2), present))

    def _fires(self, layer: str) -> bool:
        return layer != self.architecture.names[-1] or self.read_out.spiking

    @staticmethod
    def _entered(
        spikes: Float[Tensor, "time client batch neuron"],
        constant: bool,
        present: Bool[Tensor, "client batch"] | None,
    ) -> Int64[Tensor, " client"]:
        """Spikes, or, of a constant input, its values that are not 0."""
        if constant:
            return count((spikes[0] != 0).sum(2), present)
        # Sums of 0s and 1s: exact in float32 over less than 2^24 neurons, then in int64.
        return count(spikes.sum(3).long().sum(0), present)


def _constants(parameters: Parameters, layer: str) -> LearnedConstants:
    """The learned constants of a layer's neurons, without its name."""
    own = {name.removeprefix(f"{layer}."): tensor for name, tensor in parameters.items()}
    of_synapses = ("weight", "bias")
    return {n: tensor for n, tensor in own.items() if "." not in n and n not in of_synapses}
