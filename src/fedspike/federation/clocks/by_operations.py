"""Time by what a device does: its bytes over the radio, and its operations one after the other.

    download = 8 * downlink bytes / downlink rate * r_k
    training = (arithmetic + words) / operations a second * s_k * (1 + X)
    upload   = 8 * uplink bytes / uplink rate * r_k

Operations and 32-bit words of the training are those of the energy bill (energy/counts.py), as latency has
them (energy/on_device.py): an SNN takes as long as its spikes make it, an ANN as its products do. s_k is how
slow the client is, and r_k its radio, each drawn once (`fleet.speed_spread`, `fleet.radio_spread`). X is
drawn in each round from an exponential distribution of mean `straggling`: the shifted one of Lee, Lam,
Pedarsani, Papailiopoulos, Ramchandran, "Speeding Up Distributed Machine Learning Using Codes", IEEE Trans.
Inf. Theory 64(3), 2018. Left out: that devices do several operations at once, and some slower than others;
waiting for memory; waking up; the time of the server; and whatever the bill does not count.
"""

from typing import Annotated

import numpy as np
from msgspec import Meta

from fedspike.federation.clocks.clock import Clock, Effort, Spent

Kilobits = Annotated[float, Meta(gt=0, le=1e9, description="kbit/s of a device's radio")]


class ByOperations(Clock, tag="by-operations"):
    """A client takes as long as its operations and its bytes do.

    The usual speed is that of the duty `two-aa`, the usual rates are Bluetooth Low Energy's 1 Mbit/s.
    """

    operations_per_second: Annotated[
        float, Meta(gt=0, le=1e18, description="and words, of a device of the mean kind")
    ] = 64e6
    downlink_kbps: Kilobits = 1000.0
    uplink_kbps: Kilobits = 1000.0
    straggling: Annotated[
        float, Meta(ge=0, le=1e6, description="mean of the chance delay, in times of the training")
    ] = 0.0

    def spent(self, effort: Effort, generator: np.random.Generator) -> Spent:
        """The equations."""
        bits = 8 * effort.radio_slowness
        training = effort.operations / self.operations_per_second * effort.slowness
        return Spent(
            download_s=bits * effort.downlink_bytes / (1000 * self.downlink_kbps),
            training_s=training * (1 + self.straggling * generator.standard_exponential()),
            upload_s=bits * effort.uplink_bytes / (1000 * self.uplink_kbps),
        )
