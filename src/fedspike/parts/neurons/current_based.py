"""The current-based LIF neuron: a spike that arrives feeds the membrane for a while, not just once.

    J[t] = alpha*J[t-1] + I[t]          the current through the synapses
    and then the LIF neuron of `lif.py` with J in place of I

This is snnTorch 1.0.0's `Synaptic` with reset "subtract" or "none". With reset "zero" that one also drops
J[t] at the step after a spike, U[t] = (1 - R[t])*(beta*U[t-1] + J[t]), while its `Leaky` keeps I[t]. Here
both neurons do as `Leaky`, so that alpha = 0 is the LIF neuron whatever the reset.
"""

from typing import Annotated, ClassVar

from msgspec import Meta
from torch import Tensor

from fedspike.layers.operations import Place, Table, joined
from fedspike.parts.neurons.constants import NOTHING, Learned, Learning, value
from fedspike.parts.neurons.leaky import STATE, Decay, leak
from fedspike.parts.neurons.lif import LIF
from fedspike.parts.neurons.neuron import Kept
from fedspike.parts.tensors import Flow, Now


class CurrentBasedLIF(LIF, tag="current-based", kw_only=True):
    """LIF neurons behind synapses whose current decays by alpha in a step.

    Learned, alpha is a parameter of the layer, "alpha".
    """

    alpha: Annotated[Decay, Meta(description="share of a synapse's current left after a step")]
    learn_alpha: Annotated[Learning, Meta(description="alpha is learned")] = "no"

    decays: ClassVar[tuple[str, ...]] = ("alpha", "beta")

    def learning(self, spiking: bool) -> dict[str, tuple[float, Learning]]:
        """Alpha, too."""
        return {"alpha": (self.alpha, self.learn_alpha)} | super().learning(spiking)

    def words(self, place: Place) -> int:
        """The potential and the synapses' current."""
        del place
        return 2

    def operations(self, place: Place) -> Table:
        """Those of a LIF neuron, and of a current that decays, is added to, read and written."""
        current = {
            "neuron": {"output and step": {"multiply": 1, "add": 1, **STATE}},
            "surrogate": {"output and step": {"multiply": 1, "add": 1}},
        }
        return joined([(super().operations(place), 1), (current, 1)])

    def spikes(self, currents: Flow, learned: Learned = NOTHING) -> Flow:
        """Run synapses and membranes through all time steps from rest; spikes are 0.0 and 1.0.

        >>> import torch
        >>> one_spike_arrives = torch.tensor([0.8, 0, 0, 0, 0]).reshape(5, 1, 1, 1)
        >>> CurrentBasedLIF(alpha=0.5).spikes(one_spike_arrives).flatten().tolist()
        [0.0, 1.0, 0.0, 0.0, 0.0]
        """
        return super().spikes(self._through_synapses(currents, learned), learned)

    def membrane(self, currents: Flow, learned: Learned = NOTHING) -> Flow:
        """The membranes of neurons that only leak and add: they never fire, so they are never reset."""
        return super().membrane(self._through_synapses(currents, learned), learned)

    def fires(self, kept: Kept, current: Now) -> tuple[Now, Kept]:
        """Both equations at one step."""
        J = self._arrived(kept, current)
        S, after = super().fires(kept, J)
        return S, {**after, "J": J}

    def leaks(self, kept: Kept, current: Now) -> tuple[Now, Kept]:
        """Both equations at one step, of neurons that never fire."""
        J = self._arrived(kept, current)
        U, after = super().leaks(kept, J)
        return U, {**after, "J": J}

    def _arrived(self, kept: Kept, current: Now) -> Now:
        return self.alpha * kept["J"] + current if "J" in kept else current

    def _through_synapses(self, currents: Tensor, learned: Learned) -> Tensor:
        return leak(currents, value(self.alpha, "alpha", learned, currents, largest=1.0))
