"""The first spike decides."""

import torch

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
        silent_up_to = torch.cumprod(1 - spikes, dim=0)
        return -silent_up_to.sum(0)
