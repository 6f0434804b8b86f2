"""The spiking twin.

s[t] -> LIF(W s[t] + b) -> ... -> LIF(W s[t] + b)       scores = spike counts of the last layer
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from fedspike.encoding import RateCode, entry
from fedspike.kernels import packed, passes
from fedspike.kernels.packed import PackedSpikes
from fedspike.networks.architecture import Architecture, Parameters
from fedspike.networks.batch import Batch, Forward, Learned, count
from fedspike.networks.conventional import linear
from fedspike.neurons import LIF


@dataclass(frozen=True)
class SNN:
    """The spiking twin: LIF layers, read for T time steps, answering with its spike counts."""

    architecture: Architecture
    neuron: LIF
    code: RateCode

    def bytes_per_sample(self, device: str) -> int:
        """Memory of a training step, about: all as plain floats; compiled, next to nothing."""
        if packed.computes_on(device):
            return 0
        return 12 * self.code.time_steps * sum(self.architecture.layers)

    def run(self, parameters: Parameters, batch: Batch) -> Forward:
        """From pixels to scores: encode, then `forward`; in compiled kernels where they are active."""
        if not packed.can_take(batch.pixels):
            spikes = self.code.spikes(batch.x, batch.address)
            return self.forward(parameters, spikes, batch.present)
        if torch.is_grad_enabled():
            bits = self.code.packed(batch.x, batch.address)
            return self.packed_forward(parameters, bits, batch.present)
        return self.compiled(parameters, batch).forward

    def compiled(
        self, parameters: Parameters, batch: Batch, wanted: passes.Wanted | None = None
    ) -> Learned:
        """`run` in compiled kernels and, if something is `wanted`, its losses and gradients too.

        Autograd gives the same through `run`; here no membrane leaves the processor's cache.
        """
        code = entry(self.code, batch.address)
        neuron, layers = self.neuron.for_kernels(), self.architecture.stacked(parameters)
        passed = passes.spiking(batch.pixels, batch.positions, code, neuron, layers, wanted=wanted)
        events_in = dict(zip(self.architecture.names, passed.events.sum(2), strict=True))
        forward = _read_out(passed.scores, events_in, batch.present)
        return Learned(forward, passed.losses, self.architecture.named(passed.gradients))

    def forward(
        self,
        parameters: Parameters,
        spikes: Float[Tensor, "time client batch pixel"],
        present: Bool[Tensor, "client batch"] | None = None,
    ) -> Forward:
        """Scores are the output layer's spikes, summed over time."""
        events_in = {}
        for name in self.architecture.names:
            # Sums of 0s and 1s: exact in float32 over less than 2^24 neurons, then in int64.
            events_in[name] = count(spikes.detach().sum(3).long().sum(0), present)
            # The weights do not change with time, so one product serves all time steps.
            rows = spikes.movedim(0, 1).flatten(1, 2)
            currents = linear(parameters, name, rows)
            currents = currents.reshape(len(rows), len(spikes), -1, currents.shape[2])
            spikes = self.neuron.spikes(currents.movedim(1, 0))
        return _read_out(spikes.sum(0), events_in, present)

    def packed_forward(
        self,
        parameters: Parameters,
        spikes: PackedSpikes,
        present: Bool[Tensor, "client batch"] | None = None,
    ) -> Forward:
        """The same on spikes as bits, with gradients for whatever is done with the scores."""
        events_in = {}
        for name in self.architecture.names:
            events_in[name] = count(spikes.counts().sum(2), present)
            weight, bias = parameters[f"{name}.weight"], parameters[f"{name}.bias"]
            spikes = self.neuron.packed(packed.linear(spikes, weight, bias))
        return _read_out(spikes.scores(), events_in, present)


def _read_out(
    counts: Float[Tensor, "client batch class"],
    events_in: dict[str, Int64[Tensor, " client"]],
    present: Bool[Tensor, "client batch"] | None,
) -> Forward:
    """Spike counts are the scores, and all of them together the spikes that left the last layer."""
    return Forward(counts, events_in, count(counts.detach().sum(2), present))
