"""Spikes are counted."""

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from fedspike.parts.read_outs.read_out import ReadOut


class SpikeCount(ReadOut, tag="count"):
    """How often each output neuron fired: sum_t S[t], whole numbers from 0 to T.

    With cross-entropy this is snnTorch 1.0.0's `functional.ce_count_loss`.
    """

    counts: ClassVar[bool] = True

    def scores(
        self, spikes: Float[Tensor, "time client batch class"]
    ) -> Float[Tensor, "client batch class"]:
        """Of the output layer's spikes."""
        return spikes.sum(0)
