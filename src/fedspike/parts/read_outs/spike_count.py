"""Spikes are counted."""

from typing import ClassVar

from fedspike.parts.read_outs.read_out import ReadOut
from fedspike.parts.sums import total
from fedspike.parts.tensors import Now, Output, Scores


class SpikeCount(ReadOut, tag="count"):
    """How often each output neuron fired: sum_t S[t], whole numbers from 0 to T.

    With cross-entropy this is snnTorch 1.0.0's `functional.ce_count_loss`.
    """

    counts: ClassVar[bool] = True

    def scores(self, spikes: Output) -> Scores:
        """Of the output layer's spikes."""
        return total(spikes, 0)

    def share(self, flow: Now, step: int, time_steps: int) -> Scores:
        """The spikes of the step."""
        del step, time_steps
        return flow * 1.0
