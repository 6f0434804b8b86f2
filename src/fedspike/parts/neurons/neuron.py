"""What a neuron is: currents through all time steps to spikes, or to membranes."""

from typing import ClassVar

from torch import Tensor

from fedspike.errors import InputError
from fedspike.layers.operations import Place, Table
from fedspike.part import Part, abstractmethod
from fedspike.parts.neurons.constants import NOTHING, Learned
from fedspike.parts.tensors import Flow, Now

Kept = dict[str, Now]
"""What neurons keep from step to step, by its symbol; nothing at rest."""


class Neuron(Part):
    """A layer's neurons, a frozen record of constants.

    A layer named "hidden" has the parameters `initial(neurons)` under names such as `hidden.beta`; stacked
    like every parameter, client first, they come back as `learned`, without the layer's name. An output layer
    whose membrane is read out is not `spiking`, and has none that only a spike would need. `competes` says
    that a spike silences all others of its layer, as local rules need it: then it is a `Competitive`.
    """

    competes: ClassVar[bool] = False

    def initial(self, neurons: int, spiking: bool = True) -> dict[str, Tensor]:
        """The parameters that a layer of so many neurons gets for what is learned: [1] or [neuron] each."""
        del neurons, spiking
        return {}

    @abstractmethod
    def spikes(self, currents: Flow, learned: Learned = NOTHING) -> Flow:
        """Run the neurons through all time steps from rest: [time, client, batch, neuron], 0.0 and 1.0."""

    @abstractmethod
    def membrane(self, currents: Flow, learned: Learned = NOTHING) -> Flow:
        """The membranes of neurons that only leak and add: [time, client, batch, neuron]."""

    def fires(self, kept: Kept, current: Now) -> tuple[Now, Kept]:
        """A step of `spikes`, for neurons of which no constant is learned: spikes, and what is kept then."""
        del kept, current
        raise self._no_step()

    def leaks(self, kept: Kept, current: Now) -> tuple[Now, Kept]:
        """A step of `membrane`: membranes, and what is kept then."""
        del kept, current
        raise self._no_step()

    def _no_step(self) -> InputError:
        return InputError(
            f"{type(self).__name__}, which is written for all time steps at once",
            expected="fires and leaks, a step of the neuron, for whoever learns step by step",
            fix=f"write them in {type(self).__name__}, as the neurons that ship do",
            keys=("learner", "neuron"),
        )

    def lengthened(self, factor: float) -> "Neuron":
        """The same neurons in time steps so many times as long.

        Raises InputError where nobody knows the constants of other steps.
        """
        raise InputError(
            f"{type(self).__name__} in time steps {factor:g} times as long",
            expected="neurons whose decays are fixed, so that those of other time steps are known",
            fix="keep the decays as they are, or do not learn them",
            keys=("neuron",),
        )

    @property
    def rises(self) -> tuple[float, float] | None:
        """Of a threshold that rises with each spike: by how much, and the share left of it after a step."""
        return None

    def words(self, place: Place) -> int:
        """Words that a neuron keeps from step to step."""
        del place
        return 1

    def operations(self, place: Place) -> Table | None:
        """What a neuron does, phases `neuron` and `surrogate`; None where nobody has counted it.

        A surrogate in one of its fields adds its own operations to them.
        """
        del place
        return None
