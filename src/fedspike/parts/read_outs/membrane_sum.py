"""Membranes are added up."""

from typing import ClassVar

from fedspike.parts.read_outs.read_out import ReadOut
from fedspike.parts.sums import total
from fedspike.parts.tensors import Now, Output, Scores


class MembraneSum(ReadOut, tag="membrane-sum"):
    """How far each output membrane was charged in all: sum_t U[t], by neurons that never fire.

    T times the score of `MeanMembrane`, so that a softmax is so much sharper. Threshold, reset and surrogate
    of the output layer play no part.

    Source: Kim, Panda, "Revisiting Batch Normalization for Training Low-Latency Deep Spiking Neural Networks
    From Scratch", Frontiers in Neuroscience 15, 2021, whose output layer sums, too, but without leak.
    """

    spiking: ClassVar[bool] = False

    def scores(self, membranes: Output) -> Scores:
        """Of the output layer's membranes."""
        return total(membranes, 0)

    def share(self, flow: Now, step: int, time_steps: int) -> Scores:
        """U[t]."""
        del step, time_steps
        return flow * 1.0
