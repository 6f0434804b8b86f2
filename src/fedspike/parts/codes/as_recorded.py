"""No code: spikes of an event camera or an artificial cochlea go in as they were recorded."""

from collections.abc import Iterator
from typing import ClassVar

import torch
from jaxtyping import Int64
from torch import Tensor

from fedspike.layers.operations import Table
from fedspike.parts.codes.address import Address
from fedspike.parts.codes.code import Code
from fedspike.parts.tensors import Frames, Now, Trains


class AsRecorded(Code, tag="as-recorded"):
    """Spikes of recordings, as an event camera or an artificial cochlea made them; nothing is encoded.

        s[t] = 1 where an input had at least one event in time step t of the recording

    For data whose samples are recordings, in as many time steps as these have. `pixels` are the trains as
    bits: bit t % 64 of word t // 64 of an input is its spike at step t, [client, batch, input and word].

    No source: it is the definition of a spike train in discrete time.

    >>> trains = torch.tensor([[[0b101, 0b010]]])  # of two inputs, in a word each
    >>> address = Address(seed=0, purpose="encode", round=1, clients=(0,), first_samples=(0,))
    >>> AsRecorded().spikes(trains, address, time_steps=3)[:, 0, 0].tolist()
    [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]
    """

    recorded: ClassVar[bool] = True

    def operations(self) -> Table:
        """An event is read and handed on; where nothing happens nothing is done."""
        return {"encode": {"event in": {"read_input": 1, "write_output": 1}}}

    def spikes(self, pixels: Frames, address: Address, time_steps: int) -> Trains:
        """The spikes of one batch, as 0.0 and 1.0; of `address` nothing is needed."""
        return torch.stack([*self.steps(pixels, address, time_steps)])

    def steps(self, pixels: Frames, address: Address, time_steps: int) -> Iterator[Now]:
        """A bit of each train."""
        del address
        trains = _by_input(pixels, time_steps)
        for step in range(time_steps):
            yield (trains[..., step // 64] >> step % 64 & 1).float()


def _by_input(pixels: Frames, time_steps: int) -> Int64[Tensor, "client batch input word"]:
    return pixels.reshape(*pixels.shape[:2], -1, -(-time_steps // 64))
