"""No normalisation."""

from fedspike.layers.shapes import BatchNorm, Convolution, Dense
from fedspike.parts.normalisations.normalisation import ByTime, Normalisation, Parameters
from fedspike.parts.tensors import Flow, Present


class Unnormalised(Normalisation, tag="none"):
    """What the synapses give goes to the neurons as it is."""

    def behind(self, layer: Dense | Convolution, time_steps: int) -> BatchNorm | None:
        """Nothing."""
        del layer, time_steps
        return None

    def normalised(
        self, currents: Flow, gamma: ByTime, running: Parameters, present: Present | None = None
    ) -> tuple[Flow, Parameters]:
        """The currents themselves."""
        del gamma, present
        return currents, running
