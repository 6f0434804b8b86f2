"""What a network asks of its neurons."""

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from fedspike.parts.neurons.constants import NOTHING, Learned


@runtime_checkable
class Neuron(Protocol):
    """A layer's neurons, a frozen record of constants.

    A layer named "hidden" has the parameters `initial(neurons)` under names such as `hidden.decay`; stacked
    like every parameter, client first, they come back as `learned`, without the layer's name. An output layer
    whose membrane is read out is not `spiking`, and has none that only a spike would need.
    """

    @property
    def compiled(self) -> bool:
        """Whether the compiled kernels have these neurons."""

    def for_kernels(self) -> tuple[float, float, str]:
        """Decay, threshold and reset, as the compiled kernels take them; ValueError if not `compiled`."""

    def initial(self, neurons: int, spiking: bool = True) -> dict[str, Tensor]:
        """The parameters that a layer of so many neurons gets for what is learned: [1] or [neuron] each."""

    def spikes(
        self, currents: Float[Tensor, "time client batch neuron"], learned: Learned = NOTHING
    ) -> Float[Tensor, "time client batch neuron"]:
        """Run the neurons through all time steps from rest; spikes are 0.0 and 1.0."""

    def membrane(
        self, currents: Float[Tensor, "time client batch neuron"], learned: Learned = NOTHING
    ) -> Float[Tensor, "time client batch neuron"]:
        """The membranes of neurons that only leak and add, for a read-out that looks at these."""
