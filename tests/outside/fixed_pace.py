"""A clock by which every client takes as long for a byte as for an operation."""

from typing import Annotated

import numpy as np
from msgspec import Meta

from fedspike.federation.clocks import Clock
from fedspike.federation.clocks.clock import Effort, Spent


class FixedPace(Clock, tag="fixed-pace"):
    """So many bytes and operations a second."""

    pace: Annotated[float, Meta(gt=0)] = 1e6

    def spent(self, effort: Effort, generator: np.random.Generator) -> Spent:
        del generator
        done = (effort.downlink_bytes, effort.operations, effort.uplink_bytes)
        return Spent(*(number / self.pace for number in done))
