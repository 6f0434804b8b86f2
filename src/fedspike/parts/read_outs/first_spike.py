"""The first spike decides."""

from typing import Any

import torch
from torch import Tensor

from fedspike.parts.read_outs.read_out import ReadOut
from fedspike.parts.tensors import Output, Scores


class FirstSpike(ReadOut, tag="first-spike"):
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

    def scores(self, spikes: Output) -> Scores:
        """Of the output layer's spikes."""
        return _Scored.apply(spikes)  # type: ignore[no-any-return,no-untyped-call]


class _Scored(torch.autograd.Function):
    """Scores and their gradient are whole numbers of steps, so no sum of them is rounded."""

    @staticmethod
    def forward(ctx: Any, spikes: Tensor) -> Tensor:
        so_far = spikes.cumsum(0)
        before = (so_far == 0).sum(0)
        ctx.save_for_backward(spikes, so_far, before)
        return -before.to(spikes.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """Of a silent step the silent ones from it on; of the first spike the steps until the second one."""
        spikes, so_far, before = ctx.saved_tensors
        t = torch.arange(len(spikes), device=spikes.device).view(-1, 1, 1, 1)
        once = so_far == 1
        steps: Tensor = (before - t).clamp(min=0) + spikes * once * once.sum(0)
        return gradients[0] * steps
