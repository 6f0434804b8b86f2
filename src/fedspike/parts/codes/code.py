"""What a code is: it turns samples into what enters a spiking network at each of its time steps."""

from collections.abc import Iterator
from typing import ClassVar

from fedspike.layers.operations import Table
from fedspike.part import Part, abstractmethod
from fedspike.parts.codes.address import Address
from fedspike.parts.tensors import Frames, Now, Trains


class Code(Part):
    """Pixels to spikes: what comes out depends on the pixels, the address and the time steps alone.

    So every engine, every order of work and every resumed run sees the same spikes. `binary` says whether
    these are spikes, or else numbers that are the same at each step; `moving`, whether a sample may also be T
    frames; `signed`, whether pixels may also be negative, from -1 on; `recorded`, whether samples are trains
    of spikes, as bits. `inputs_per_number` inputs of the network are there for each number of a sample.
    """

    binary: ClassVar[bool] = True
    moving: ClassVar[bool] = False
    signed: ClassVar[bool] = False
    recorded: ClassVar[bool] = False
    bytes_per_step: ClassVar[int] = 0  # of a table that it keeps

    @abstractmethod
    def spikes(self, pixels: Frames, address: Address, time_steps: int) -> Trains:
        """The spikes of one batch, 0.0 and 1.0 in the type of `pixels`: [time, client, batch, input].

        Of several inputs for each number come first all first ones, then all second ones, and so on.
        """

    @property
    def inputs_per_number(self) -> int:
        """How many of the network's inputs each number of a sample has."""
        return 1

    def entering(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of what enters the first layer, of samples of this one: more features, or channels."""
        if self.inputs_per_number == 1:
            return shape
        plain = (1, *shape) if len(shape) == 2 else shape
        return (self.inputs_per_number * plain[0], *plain[1:])

    def steps(self, pixels: Frames, address: Address, time_steps: int) -> Iterator[Now]:
        """The same spikes one time step after the other; the kinds that ship make each as it is asked for."""
        yield from self.spikes(pixels, address, time_steps)

    def bytes_of_steps(self, inputs: int, samples: int, time_steps: int) -> int:
        """Memory beside the inputs of a step, where it makes one after the other: the table that it keeps."""
        del inputs, samples
        return self.bytes_per_step * time_steps

    def fitted(self, time_steps: int) -> "Code":
        """This code for so many time steps; raises InputError where it takes more or fewer."""
        del time_steps
        return self

    def step_weights(self, time_steps: int) -> tuple[float, ...] | None:
        """By what the first layer's synaptic input is weighted at each step; None: all alike."""
        del time_steps
        return None

    def operations(self) -> Table | None:
        """What a device does for it: phase `encode` of a sample, and what it adds to the first layer.

        None where nobody has counted it; the bill then says so.
        """
        return None


def encoder(**per_input_and_step: int) -> dict[str, dict[str, dict[str, int]]]:
    """A pixel is read once and looked at in each step; a spike that comes out is written.

    When a pixel spikes under a code without randomness is taken to be known with the pixel.
    """
    return {
        "encode": {
            "input and step": per_input_and_step,
            "input": {"read_input": 1},
            "event in": {"write_output": 1},
        }
    }
