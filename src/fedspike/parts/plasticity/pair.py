"""Spike-timing-dependent plasticity between pairs of spikes, by traces.

    dW_ji = a_plus*s_j*p_i - a_minus*q_j*x_i

Who fires strengthens the synapses whose inputs came just before; an input that comes just after its neuron
fired weakens its synapse.

Source: Song, Miller, Abbott, "Competitive Hebbian learning through spike-timing-dependent synaptic
plasticity", Nature Neuroscience 3, 2000; with traces, Morrison, Diesmann, Gerstner, "Phenomenological models
of synaptic plasticity based on spike timing", Biological Cybernetics 98, 2008. This is SpikingJelly's
`stdp_linear_step` with weight functions of a_plus and a_minus.
"""

from typing import Annotated

import torch
from jaxtyping import Float
from msgspec import Meta
from torch import Tensor

from fedspike.layers.operations import Table
from fedspike.parts.plasticity.plasticity import Plasticity, Synapses


class PairRule(Plasticity, tag="pair"):
    """STDP: a spike strengthens the synapses of inputs that came before it, and weakens those of later ones.

    dW = a_plus*s*p - a_minus*q*x
    """

    a_plus: Annotated[float, Meta(ge=0, description="how much a spike strengthens")] = 0.01
    a_minus: Annotated[float, Meta(ge=0, description="how much a late input weakens")] = 0.0001

    def change(self, synapses: Synapses) -> Float[Tensor, "neuron input"]:
        """The equation.

        >>> one = torch.ones(1)
        >>> PairRule(a_plus=0.5, a_minus=0.25).change(Synapses(one[None], one, one, one, one)).item()
        0.25
        """
        stronger = self.a_plus * torch.outer(synapses.s, synapses.p)
        return stronger - torch.outer(self.a_minus * synapses.q, synapses.x)

    def operations(self) -> Table:
        """A MAC for each update of a weight, and one for the trace of each spike, in or out.

        Rescaling updates each weight of a neuron once. A threshold's rise is an addition.
        """
        return {
            "optimiser": {
                "update": {"mac": 1},
                "event in": {"mac": 1},
                "event out": {"mac": 1, "add": 1},
            }
        }
