"""What a local learning rule is, and a layer of competing neurons that learns by one.

    for each sample, one after the other, from rest:
        for each time step t:
            U <- beta*U + W x[t];   the neuron farthest above its threshold fires, and all U <- 0
            p <- p - p/tau_in + x[t],    q <- q - q/tau_out + s[t]        traces of inputs and neurons
            W <- clamp(W + change, 0, 1)         where a synapse was met by a spike, in or out
            theta <- theta + rise                of the neuron that fired
        each neuron that fired: its incoming weights, rescaled to their sum
        theta <- start + sinking*(theta - start)

Source: Diehl, Cook, "Unsupervised learning of digit recognition using spike-timing-dependent plasticity",
Frontiers in Computational Neuroscience 9, 2015.
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float, Int64
from msgspec import Meta
from torch import Tensor

from fedspike.layers.operations import Table
from fedspike.part import Part, abstractmethod
from fedspike.parts.neurons import Competitive
from fedspike.parts.tensors import Counts, Trains, Winners

TimeConstant = Annotated[float, Meta(ge=1, description="time steps in which a trace fades")]


@dataclass(frozen=True)
class Synapses:
    """The synapses of one client's layer at a time step, after its neurons have fired.

    `x` and `s` are what came in and what fired, `p` and `q` their traces.
    """

    weight: Float[Tensor, "neuron input"]
    x: Float[Tensor, " input"]
    s: Float[Tensor, " neuron"]
    p: Float[Tensor, " input"]
    q: Float[Tensor, " neuron"]


@dataclass(frozen=True)
class Presented:
    """What competing neurons are shown: every client's samples, one after the other.

    `weight` and `threshold` change in place if the neurons learn. `competitors` are the first neuron that may
    fire for a sample and the one behind the last; a sample that has none is padding.
    """

    spikes: Trains
    competitors: Int64[Tensor, "client batch 2"]
    weight: Float[Tensor, "client neuron input"]
    threshold: Float[Tensor, "client neuron"]
    learns: bool = True


@dataclass(frozen=True)
class Competed:
    """Who fired at each step of each sample, -1 for nobody; and how often a weight was changed."""

    winners: Winners
    updates: Counts


class Plasticity(Part):
    """A rule that changes a synapse by what its own two neurons do, with a trace of each.

    `incoming` is the sum that a neuron's weights are rescaled to after each sample in which it fired; a
    weight is between 0 and 1 where the rule changes it.
    """

    tau_in: TimeConstant = 10.0
    tau_out: TimeConstant = 10.0
    incoming: Annotated[float, Meta(gt=0, description="sum of a neuron's incoming weights")] = 78.4

    @abstractmethod
    def change(self, synapses: Synapses) -> Float[Tensor, "neuron input"]:
        """What is added to each weight at a time step."""

    def operations(self) -> Table | None:
        """What it does for each update of a weight and each spike, phase `optimiser`; None: not counted."""
        return None

    def settled(
        self, weight: Float[Tensor, "*client neuron input"]
    ) -> Float[Tensor, "*client neuron input"]:
        """No weight below 0, and each neuron's rescaled; a neuron that has none stays so.

        >>> from fedspike.parts.plasticity import PairRule
        >>> PairRule(incoming=3.0).settled(torch.tensor([[-1.0, 1.0, 0.5], [0.0, 0.0, 0.0]])).tolist()
        [[0.0, 2.0, 1.0], [0.0, 0.0, 0.0]]
        """
        positive = weight.double().clamp(min=0)
        sums = positive.cumsum(-1)[..., -1:]
        return (positive * (self.incoming / sums.masked_fill(sums == 0, 1.0))).to(weight.dtype)

    def shown(self, neuron: Competitive, presented: Presented) -> Competed:
        """Show every client its samples: the loop at the top, in plain torch."""
        steps, clients, samples, _ = presented.spikes.shape
        winners = torch.full((clients, samples, steps), -1)
        updates = torch.zeros(clients, dtype=torch.int64)
        first, last = presented.competitors.unbind(2)
        for client, sample in (first < last).nonzero().tolist():
            here = slice(int(first[client, sample]), int(last[client, sample]))
            who, changed = self._sample(neuron, presented, client, sample, here)
            winners[client, sample] = torch.tensor(who)
            updates[client] += changed
        return Competed(winners, updates)

    def _sample(
        self, neuron: Competitive, presented: Presented, client: int, sample: int, here: slice
    ) -> tuple[list[int], int]:
        """The loop over time of one sample: who fired at each step, and how often a weight changed."""
        spikes = presented.spikes[:, client, sample]
        W, theta = presented.weight[client], presented.threshold[client]
        U, p, q = torch.zeros_like(theta), torch.zeros_like(spikes[0]), torch.zeros_like(theta)
        who, updates = list[int](), 0
        for x in spikes:
            U = neuron.beta * U
            for i in x.nonzero().flatten().tolist():  # in this order, as the kernels sum
                U = U + W[:, i] * x[i]
            distance, j = (U - theta)[here].max(0)
            s = torch.zeros_like(theta)
            who.append(-1)
            if distance > 0:
                who[-1] = here.start + int(j)
                s[who[-1]] = 1.0
                U = torch.zeros_like(U)
            if not presented.learns:
                continue
            p, q = p - p / self.tau_in + x, q - q / self.tau_out + s
            met = torch.outer(s, torch.ones_like(x)) + torch.outer(q, x) != 0
            changed = (W + self.change(Synapses(W, x, s, p, q))).clamp(0, 1)
            W.copy_(torch.where(met, changed, W))
            updates += int(met.sum())
            theta += neuron.rise * s
        if presented.learns:
            for fired in {one for one in who if one >= 0}:
                total = np.cumsum(W[fired].double().numpy())[-1]
                W[fired].mul_(float(np.float32(self.incoming / total)) if total > 0 else 1.0)
                updates += W.shape[1]
            theta.copy_(neuron.threshold + neuron.sinking * (theta - neuron.threshold))
        return who, updates
