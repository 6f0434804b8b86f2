"""A code of one's own."""

from typing import Annotated

import torch
from msgspec import Meta

from fedspike.layers.operations import Table
from fedspike.parts.codes import Address, Code
from fedspike.parts.tensors import Frames, Trains


class Thermometer(Code, tag="thermometer"):
    """The brighter a pixel, the longer it spikes.

    s[t] = 1 where gain x > t / T
    """

    gain: Annotated[float, Meta(gt=0, description="x is multiplied by it")] = 1.0

    def spikes(self, pixels: Frames, address: Address, time_steps: int) -> Trains:
        """The equation."""
        del address
        steps = torch.arange(time_steps, device=pixels.device, dtype=pixels.dtype) / time_steps
        return (self.gain * pixels > steps.reshape(-1, 1, 1, 1)).to(pixels.dtype)

    def operations(self) -> Table:
        """A pixel is read once and compared at each step; a spike is written."""
        return {
            "encode": {
                "input": {"read_input": 1},
                "input and step": {"compare": 1},
                "event in": {"write_output": 1},
            }
        }
