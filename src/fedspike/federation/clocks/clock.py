"""Simulated time: how long a client takes for a round, from what it did and sent."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from msgspec import Meta, Struct

from fedspike.part import Part, abstractmethod

Seconds = Annotated[float, Meta(ge=0, le=1e30)]


class Spent(Struct, frozen=True, forbid_unknown_fields=True):
    """The simulated seconds of a client's round."""

    download_s: Seconds
    training_s: Seconds
    upload_s: Seconds

    @property
    def total_s(self) -> float:
        """From the order to the answer."""
        return self.download_s + self.training_s + self.upload_s


@dataclass(frozen=True)
class Effort:
    """What a client did in a round: the operations and words that its training took, and the bytes.

    `slowness` is how many times as long it trains as a device of the mean kind, `radio_slowness` how many
    times as long a byte takes.
    """

    operations: int
    downlink_bytes: int
    uplink_bytes: int
    slowness: float
    radio_slowness: float = 1.0


class Clock(Part):
    """How long clients take."""

    @property
    def runs(self) -> bool:
        """Whether there is any time at all."""
        return True

    @abstractmethod
    def spent(self, effort: Effort, generator: np.random.Generator) -> Spent:
        """The seconds of a client's round; chance may make it slower."""
