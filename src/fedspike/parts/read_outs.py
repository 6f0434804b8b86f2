"""From what the output layer did over time to one score per class.

| read-out | the output layer | score of a class | loss |
|---|---|---|---|
| `SpikeCount` | fires | its spikes | `SpikeCountMSE` or `CrossEntropy` |
| `MeanMembrane` | only leaks and adds | its mean membrane | `CrossEntropy` |
| `FirstSpike` | fires | minus the time of its first spike | `CrossEntropy` |

The class with the highest score is the answer.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class SpikeCount:
    """How often each output neuron fired: sum_t S[t], whole numbers from 0 to T.

    With cross-entropy this is snnTorch 1.0.0's `functional.ce_count_loss`.
    """

    spiking: ClassVar[bool] = True  # whether the output layer fires, or else only leaks and adds

    def scores(
        self, spikes: Float[Tensor, "time client batch class"]
    ) -> Float[Tensor, "client batch class"]:
        """Of the output layer's spikes."""
        return spikes.sum(0)


@dataclass(frozen=True)
class MeanMembrane:
    """How far each output membrane was charged on average: (1/T) sum_t U[t], by neurons that never fire.

    Threshold, reset and surrogate of the output layer play no part.

    Source: Kim, Panda, "Revisiting Batch Normalization for Training Low-Latency Deep Spiking Neural Networks
    From Scratch", Frontiers in Neuroscience 15, 2021, whose output layer sums without leak and without 1/T.
    """

    spiking: ClassVar[bool] = False

    def scores(
        self, membranes: Float[Tensor, "time client batch class"]
    ) -> Float[Tensor, "client batch class"]:
        """Of the output layer's membranes."""
        return membranes.mean(0)


@dataclass(frozen=True)
class FirstSpike:
    """How early each output neuron fired: minus the steps that passed before its first spike, -T if none did.

        time = sum_t prod_{t' <= t} (1 - S[t'])

    counts the steps up to which all was silent. It is linear in each S[t], so its derivative is exactly what
    adding or removing that one spike would change; this is the gradient. It reaches the first spike and all
    the silence before it, so a neuron that never fires learns too.

    Source: the score is that of snnTorch 1.0.0's `functional.ce_temporal_loss`, where a neuron that never
    fires counts as one that fires at the last step, and the derivative is taken to be 1 at the first spike
    and 0 elsewhere. The extension to numbers between 0 and 1: Owen, "Multilinear Extensions of Games",
    Management Science 18, 1972.

    >>> spikes = torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 1.0]]).reshape(2, 1, 1, 3)
    >>> FirstSpike().scores(spikes).tolist()
    [[[-1.0, -2.0, -0.0]]]
    """

    spiking: ClassVar[bool] = True

    def scores(
        self, spikes: Float[Tensor, "time client batch class"]
    ) -> Float[Tensor, "client batch class"]:
        """Of the output layer's spikes."""
        silent_up_to = torch.cumprod(1 - spikes, dim=0)
        return -silent_up_to.sum(0)


ReadOut = SpikeCount | MeanMembrane | FirstSpike
