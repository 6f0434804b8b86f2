"""No normalisation."""

from jaxtyping import Bool, Float
from torch import Tensor

from fedspike.layers.shapes import BatchNorm, Convolution, Dense
from fedspike.parts.normalisations.normalisation import Normalisation, Parameters


class Unnormalised(Normalisation, tag="none"):
    """What the synapses give goes to the neurons as it is."""

    def behind(self, layer: Dense | Convolution, time_steps: int) -> BatchNorm | None:
        """Nothing."""
        del layer, time_steps
        return None

    def normalised(
        self,
        currents: Float[Tensor, "time client batch neuron"],
        gamma: Float[Tensor, "client time channel"],
        running: Parameters,
        present: Bool[Tensor, "client batch"] | None = None,
    ) -> tuple[Float[Tensor, "time client batch neuron"], Parameters]:
        """The currents themselves."""
        del gamma, present
        return currents, running
