"""A day's rhythm: devices train at night, and each has a night of its own.

    p_k(h) = mean + swing sin(2 pi (h + phi_k) / 24),    phi_k uniform from 0 to `spread_h` hours

The form is ours, the simplest with a day in it. Its size is from Bonawitz et al., "Towards Federated Learning
at Scale: System Design", MLSys 2019, appendix A: between low and peak four times as many devices take part.
"""

from typing import Annotated

import numpy as np
from msgspec import Meta

from fedspike.errors import InputError
from fedspike.federation.availabilities.availability import (
    HOUR_S,
    Availability,
    Chances,
    Clients,
    Holds,
    Moment,
)
from fedspike.randomness import uniforms

DAY_H = 24


class Daily(Availability, tag="daily"):
    """A client is there more likely at some hours of the day than at others."""

    mean: Annotated[float, Meta(ge=0, le=1, description="probability over the day")] = 0.5
    swing: Annotated[float, Meta(ge=0, le=0.5, description="so much more or less of it")] = 0.3
    spread_h: Annotated[
        float, Meta(ge=0, le=DAY_H, description="hours over which the clients' days begin")
    ] = DAY_H
    hours_per_round: Annotated[float, Meta(gt=0, le=1e6)] = 1.0

    def check(self) -> None:
        """Raise InputError where the probability would leave 0 to 1."""
        if not self.swing <= self.mean <= 1 - self.swing:
            raise InputError(
                f"mean = {self.mean} with swing = {self.swing}",
                expected="probabilities from 0 to 1 at every hour",
                fix=f"set swing = {min(self.mean, 1 - self.mean):.3g}",
                keys=("swing", "mean"),
            )

    @property
    def needs_classes(self) -> bool:
        """It does not."""
        return False

    @property
    def wait_s(self) -> float:
        """As long as a round without a clock."""
        return HOUR_S * self.hours_per_round

    def chances(self, clients: Clients, holds: Holds, moment: Moment) -> Chances:
        """The equation; of a fleet without a clock, h is that of its rounds one after another."""
        del holds
        phi = self.spread_h * uniforms(moment.seed, "day", 0, clients)
        h = (moment.round - 1) * self.hours_per_round
        if moment.clock_s is not None:
            h = moment.clock_s / HOUR_S
        return self.mean + self.swing * np.sin(2 * np.pi * (h + phi) / DAY_H)
