"""A neuron of one's own."""

from typing import Annotated

import torch
from msgspec import Meta

from fedspike.layers.operations import Place, Table
from fedspike.parts.neurons import Neuron
from fedspike.parts.neurons.constants import NOTHING, Learned
from fedspike.parts.surrogates import Atan, Surrogate, fire
from fedspike.parts.tensors import Flow


class Integrator(Neuron, tag="integrator"):
    """Neurons that add and never leak; a spike takes the threshold off.

    U[t] = U[t-1] + I[t] - threshold S[t-1],    S[t] = 1 where U[t] > threshold
    """

    threshold: Annotated[float, Meta(gt=0)] = 1.0
    surrogate: Surrogate = Atan()

    def spikes(self, currents: Flow, learned: Learned = NOTHING) -> Flow:
        """The equation, from U = 0."""
        del learned
        U = S = torch.zeros_like(currents[0])
        spikes = []
        for current in currents:
            U = U + current - self.threshold * S.detach()
            S = fire(U - self.threshold, self.surrogate)
            spikes.append(S)
        return torch.stack(spikes)

    def membrane(self, currents: Flow, learned: Learned = NOTHING) -> Flow:
        """The running sum."""
        del learned
        return currents.cumsum(0)

    def operations(self, place: Place) -> Table:
        """An addition and, where it fires, a comparison at each step; a spike takes one more addition."""
        step = {"add": 1, "read_bias": place.bias, "read_potential": 1, "write_potential": 1}
        if not place.fires:
            return {"neuron": {"output and step": step, "output": {"write_output": 1}}}
        return {
            "neuron": {
                "output and step": step | {"compare": 1},
                "event out": {"add": 1, "write_output": 1},
            },
            "surrogate": {"output and step": {"add": 1}},
        }
