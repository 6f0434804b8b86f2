"""The current-based LIF neuron: a spike that arrives feeds the membrane for a while, not just once.

    J[t] = alpha*J[t-1] + I[t]          the current through the synapses
    and then the LIF neuron of `lif.py` with J in place of I

This is snnTorch 1.0.0's `Synaptic` with reset "subtract" or "none". With reset "zero" that one also drops
J[t] at the step after a spike, U[t] = (1 - R[t])*(beta*U[t-1] + J[t]), while its `Leaky` keeps I[t]. Here
both neurons do as `Leaky`, so that alpha = 0 is the LIF neuron whatever the reset.
"""

from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor

from fedspike.parts.neurons.constants import NOTHING, Constant, Learned, check_decay, initial, value
from fedspike.parts.neurons.lif import LIF, leak


@dataclass(frozen=True)
class CurrentBasedLIF:
    """LIF neurons behind synapses whose current decays by `alpha` per time step.

    Alpha is a number, or `Learnable` and then a parameter of the layer, "synaptic_decay".
    """

    alpha: Constant
    lif: LIF = field(default_factory=LIF)

    def __post_init__(self) -> None:
        check_decay("alpha", self.alpha)

    @property
    def compiled(self) -> bool:
        """The compiled kernels do not have them."""
        return False

    def for_kernels(self) -> tuple[float, float, str]:
        """Raise ValueError: see `compiled`."""
        raise ValueError(f"no compiled kernel has these neurons: {self}")

    def initial(self, neurons: int, spiking: bool = True) -> dict[str, Tensor]:
        """The parameters that a layer gets for what is learned: [1] or [neuron] each."""
        synapses = initial({"synaptic_decay": self.alpha}, neurons)
        return synapses | self.lif.initial(neurons, spiking)

    def spikes(
        self, currents: Float[Tensor, "time client batch neuron"], learned: Learned = NOTHING
    ) -> Float[Tensor, "time client batch neuron"]:
        """Run synapses and membranes through all time steps from rest; spikes are 0.0 and 1.0.

        >>> import torch
        >>> one_spike_arrives = torch.tensor([0.8, 0, 0, 0, 0]).reshape(5, 1, 1, 1)
        >>> CurrentBasedLIF(alpha=0.5).spikes(one_spike_arrives).flatten().tolist()
        [0.0, 1.0, 0.0, 0.0, 0.0]
        """
        return self.lif.spikes(self._through_synapses(currents, learned), learned)

    def membrane(
        self, currents: Float[Tensor, "time client batch neuron"], learned: Learned = NOTHING
    ) -> Float[Tensor, "time client batch neuron"]:
        """The membranes of neurons that only leak and add: they never fire, so they are never reset."""
        return self.lif.membrane(self._through_synapses(currents, learned), learned)

    def _through_synapses(self, currents: Tensor, learned: Learned) -> Tensor:
        return leak(currents, value(self.alpha, "synaptic_decay", learned, currents, largest=1.0))
