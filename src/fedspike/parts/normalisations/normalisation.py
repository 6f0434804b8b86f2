"""What stands between the synapses of a layer and its neurons."""

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from fedspike.layers.shapes import BatchNorm, Convolution, Dense
from fedspike.part import Part, abstractmethod
from fedspike.parts.tensors import Flow, Present

Parameters = dict[str, Tensor]
ByTime = Float[Tensor, "client time channel"]


class Normalisation(Part):
    """Of all layers with weights but the last.

    `replaces_bias` says whether synapses have no bias, `pools_statistics` whether the server pools the
    clients' running statistics, or else these never leave their client.
    """

    replaces_bias: ClassVar[bool] = False

    @property
    def pools_statistics(self) -> bool:
        """Whether the server pools the clients' running statistics."""
        return False

    @abstractmethod
    def behind(self, layer: Dense | Convolution, time_steps: int) -> BatchNorm | None:
        """The layer behind this one, None for none."""

    @abstractmethod
    def normalised(
        self, currents: Flow, gamma: ByTime, running: Parameters, present: Present | None = None
    ) -> tuple[Flow, Parameters]:
        """Normalised currents, and the running statistics after them."""
