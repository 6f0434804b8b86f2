"""Neurons that compete: the first to fire keeps all others of its layer silent.

    U[t] = beta*(1 - R[t])*U[t-1] + I[t],    R[t] = 1 if any neuron of the layer fired at t-1, else 0
    S_j[t] = 1 if U_j[t] - theta_j is the largest of the layer and above 0, else 0

A spike inhibits the whole layer, so at most one neuron fires at a time step, and all begin again from rest.
Each neuron has a threshold of its own, a parameter of the layer. Local learning raises it a little with each
spike and lets it sink slowly, so that every neuron gets its share of the samples; at other times it stays.

Source: Diehl, Cook, "Unsupervised learning of digit recognition using spike-timing-dependent plasticity",
Frontiers in Computational Neuroscience 9, 2015, whose inhibitory neurons fire for each excitatory one and
hold all others down. Here inhibition is that reset, which lasts one step, and currents have no time course.
"""

from typing import Annotated, ClassVar

import torch
from msgspec import Meta
from torch import Tensor

from fedspike.layers.operations import Place, Table
from fedspike.parts.neurons.constants import NOTHING, Learned, value
from fedspike.parts.neurons.leaky import STATE, Decay, leak
from fedspike.parts.neurons.neuron import Neuron
from fedspike.parts.surrogates import Atan, Surrogate, fire
from fedspike.parts.tensors import Flow


class Competitive(Neuron, tag="competitive"):
    """Leaky neurons of which one at most fires at a time step: the one farthest above its threshold.

    Every spike of a layer sets all its membranes to rest. The thresholds are parameters of the layer,
    "threshold", one for each neuron; while a local rule learns, a spike raises its neuron's by `rise`, and
    after each sample the part `sinking` of what is above the start is left.
    """

    beta: Annotated[Decay, Meta(description="share of a membrane left after a step")] = 0.95
    threshold: Annotated[float, Meta(gt=0, description="where each threshold starts")] = 10.0
    rise: Annotated[
        float, Meta(ge=0, description="of a threshold with each spike, in learning")
    ] = 0.1
    sinking: Annotated[
        Decay, Meta(description="share of a threshold's rise left after a sample, in learning")
    ] = 0.99999
    surrogate: Surrogate = Atan()

    competes: ClassVar[bool] = True

    def initial(self, neurons: int, spiking: bool = True) -> dict[str, Tensor]:
        """A threshold for each neuron that fires."""
        return {"threshold": torch.full((neurons,), self.threshold)} if spiking else {}

    def spikes(self, currents: Flow, learned: Learned = NOTHING) -> Flow:
        """Run the layer through all time steps from rest; spikes are 0.0 and 1.0.

        The gradient flows to the neuron that wins, and as ever not through R.

        >>> two = torch.tensor([4.0, 6.0]).expand(4, 1, 1, 2)
        >>> Competitive(beta=1.0).spikes(two).squeeze().tolist()
        [[0.0, 0.0], [0.0, 1.0], [0.0, 0.0], [0.0, 1.0]]
        """
        theta = value(self.threshold, "threshold", learned, currents)
        U = torch.zeros_like(currents[0])
        R = U[..., :1]
        spikes = []
        for current in currents:
            U = self.beta * (1 - R) * U + current
            distance = U - theta
            winner = torch.zeros_like(U).scatter_(2, distance.argmax(2, keepdim=True), 1.0)
            S = winner * fire(distance, self.surrogate)
            R = S.detach().amax(2, keepdim=True)
            spikes.append(S)
        return torch.stack(spikes)

    def membrane(self, currents: Flow, learned: Learned = NOTHING) -> Flow:
        """The membranes of neurons that only leak and add: they never fire, so nothing inhibits them."""
        del learned
        return leak(currents, self.beta)

    def operations(self, place: Place) -> Table:
        """A leak, a bias, and two comparisons at each step: with the threshold, and with the best so far.

        Where the membrane is read out nothing is compared. The reset to rest is in the potentials' write.
        """
        update = {"multiply": 1, "add": int(place.added), "read_bias": int(place.bias), **STATE}
        slope = {"surrogate": {"output and step": {"multiply": 1, "add": 1}}}
        if not place.fires:
            return {"neuron": {"output and step": update, "output": {"write_output": 1}}} | slope
        return {
            "neuron": {
                "output and step": update | {"compare": 2},
                "event out": {"write_output": 1},
            }
        } | slope
