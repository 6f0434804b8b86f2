"""A local rule of one's own."""

from typing import Annotated

from jaxtyping import Float
from msgspec import Meta
from torch import Tensor

from fedspike.layers.operations import Table
from fedspike.parts.plasticity import Plasticity, Synapses


class Covariance(Plasticity, tag="covariance"):
    """A neuron that fires moves its weights towards the inputs that came before."""

    rate: Annotated[float, Meta(ge=0)] = 0.05

    def change(self, synapses: Synapses) -> Float[Tensor, "neuron input"]:
        """Towards the trace of the inputs."""
        return self.rate * synapses.s.unsqueeze(1) * (synapses.p - synapses.weight)

    def operations(self) -> Table:
        """A difference and a MAC for each update, and a MAC for the trace of each spike that enters."""
        return {"optimiser": {"update": {"mac": 1, "add": 1}, "event in": {"mac": 1}}}
