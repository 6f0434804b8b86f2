"""Membranes are averaged."""

from typing import ClassVar

from fedspike.parts.read_outs.read_out import ReadOut
from fedspike.parts.sums import total
from fedspike.parts.tensors import Now, Output, Scores


class MeanMembrane(ReadOut, tag="membrane"):
    """How far each output membrane was charged on average: (1/T) sum_t U[t], by neurons that never fire.

    Threshold, reset and surrogate of the output layer play no part.

    Source: Kim, Panda, "Revisiting Batch Normalization for Training Low-Latency Deep Spiking Neural Networks
    From Scratch", Frontiers in Neuroscience 15, 2021, whose output layer sums without leak and without 1/T.
    """

    spiking: ClassVar[bool] = False

    def scores(self, membranes: Output) -> Scores:
        """Of the output layer's membranes."""
        return total(membranes, 0) / len(membranes)

    def share(self, flow: Now, step: int, time_steps: int) -> Scores:
        """U[t] / T."""
        del step
        return flow / time_steps
