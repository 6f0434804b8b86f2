"""What a learner is: how a client gets from the parameters that it starts with to better ones."""

from typing import ClassVar

from fedspike.layers.operations import Table
from fedspike.networks import Network
from fedspike.part import Part


class Learner(Part):
    """Local training. `learns_by_gradients` says whether algorithms can correct gradients in it."""

    learns_by_gradients: ClassVar[bool] = True

    def suited(self, network: Network) -> "Learner":
        """The learner for a network of an experiment's file, whose tables may be meant for its twin."""
        del network
        return self

    def operations(self) -> Table | None:
        """What it does to each parameter, phase `optimiser`; None where nobody has counted it."""
        return None
