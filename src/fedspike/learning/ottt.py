"""Online training through time (OTTT)."""

from torch.autograd import grad

from fedspike.learning.online import Memory, Online
from fedspike.networks import Parameters, SizedNetwork, Step
from fedspike.parts.tensors import Scores


class OTTT(Online, tag="ottt"):
    """Online training through time: errors go back through the layers of the present step alone.

        a_i[t]  = beta a_i[t-1] + s_i[t]                     a trace of each input
        dW_ji  += sum over the samples of delta_j[t] a_i[t]
        delta   = dE[t]/dU[t]                                through the layers of step t

    The memory of a step does not grow with the time steps. A bias has the trace of an input that is always 1.
    With one layer and a loss of the last step it is backpropagation, but for the reset "zero", of which the
    trace knows nothing.

    Source: Xiao, Meng, Zhang, He, Lin, "Online Training Through Time for Spiking Neural Networks", NeurIPS
    2022, in its variant OTTT_A: the optimiser steps once a minibatch, with the sum over all steps.
    Departures: there the loss is a sum of losses of single steps, here it is the one that backpropagation
    has of the scores at the end, estimated at each step; error = "step" is the nearest to theirs. What
    neurons keep beside the membrane, an adaptive threshold, has a part in spikes and none in the gradient.
    """

    def slopes(
        self, network: SizedNetwork, step: Step, error: Scores, leaves: Parameters, memory: Memory
    ) -> Parameters:
        """Autograd, to which the present step is all there is."""
        del network, memory
        *_, out = step.flow.values()
        return dict(zip(leaves, grad(out, list(leaves.values()), error), strict=True))
