"""Plain torch with autograd: the oracle, and what computes where there are no kernels."""

from dataclasses import dataclass, replace

import torch

from fedspike.engine.engines import Engine, Learned, Share, in_parts, losses_of
from fedspike.networks import Batch, Forward, Parameters, SizedNetwork
from fedspike.networks.operators import PLAIN, Operators
from fedspike.parts.losses import Loss
from fedspike.parts.neurons import Competitive
from fedspike.parts.optimisers import Optimiser, Step
from fedspike.parts.plasticity import Competed, Plasticity, Presented
from fedspike.parts.tensors import PerClient


@dataclass(frozen=True)
class PlainEngine(Engine):
    """Every part as it is written, but for the `operators` that have a kernel."""

    device: torch.device
    operators: Operators = PLAIN

    def forward(self, network: SizedNetwork, parameters: Parameters, batch: Batch) -> Forward:
        """See `Engine`."""
        with torch.no_grad():
            return network.run(parameters, batch, self.operators)

    def learn(
        self, network: SizedNetwork, loss: Loss, parameters: Parameters, batch: Batch
    ) -> Learned:
        """See `Engine`."""
        kept = network.statistics().keys()
        leaves = {n: w.detach().requires_grad_() for n, w in parameters.items() if n not in kept}

        def learn(part: Batch, share: Share) -> Learned:
            forward = network.run(parameters | leaves, part, self.operators)
            losses = losses_of(loss, forward.scores, part, network.time_steps)
            if part.compared is not None:
                term, frozen = part.compared.term, part.compared.frozen
                losses = losses + term(forward.representations, frozen, part.present)
            losses = share(losses)
            slopes = _slopes(losses, leaves)
            # What has a past would keep all of it, part by part, until the batch is through.
            forward = replace(forward, scores=forward.scores.detach(), last_input=None)
            return Learned(forward, losses.detach(), slopes)

        whole = self.device.type != "cpu" or loss.penalises  # which may be of the whole minibatch
        size = None if whole else network.samples_in_cache
        return in_parts(batch, size, learn)

    def step(self, optimiser: Optimiser, step: Step) -> None:
        """See `Engine`."""
        optimiser.step(step)

    def compete(
        self, plasticity: Plasticity, neuron: Competitive, presented: Presented
    ) -> Competed:
        """See `Engine`."""
        return plasticity.shown(neuron, presented)

    def bytes_per_sample(self, network: SizedNetwork) -> int:
        """See `Engine`."""
        return network.bytes_per_sample

    def bytes_of_step(self, network: SizedNetwork, rows: int) -> int:
        """See `Engine`: what autograd keeps; in parts, the gradients of one of them, too."""
        at_once = (network.samples_in_cache if self.device.type == "cpu" else None) or rows
        part = 0 if at_once >= rows else 4 * network.architecture.parameters
        return min(rows, at_once) * network.bytes_at_peak + part


def _slopes(losses: PerClient, leaves: Parameters) -> Parameters:
    # No client's loss depends on another's weights, so the gradient of their sum is everybody's own.
    slopes = torch.autograd.grad(losses, list(leaves.values()), torch.ones_like(losses))
    return dict(zip(leaves, slopes, strict=True))
