"""A learning rate that falls along half a cosine.

    eta_r = eta (lowest + (1 - lowest) (1 + cos(pi (r - 1) / R)) / 2)

in R rounds; after these it stays as it is in the last of them.

Source: Loshchilov, Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017, equation 5,
without restarts, and of rounds in place of batches.
"""

import math
from typing import Annotated

from msgspec import Meta

from fedspike.parts.schedules.schedule import Schedule


class Cosine(Schedule, tag="cosine"):
    """Falls slowly, then fast, then slowly again.

    >>> [round(Cosine(rounds=4).share(number), 3) for number in range(1, 7)]
    [1.0, 0.854, 0.5, 0.146, 0.146, 0.146]
    """

    rounds: Annotated[int, Meta(ge=1, lt=2**31, description="R, in which it falls")] = 100
    lowest: Annotated[
        float, Meta(ge=0, le=1, description="the share of the learning rate that it falls towards")
    ] = 0.0

    def share(self, round: int) -> float:
        """The equation."""
        turned = math.pi * (min(round, self.rounds) - 1) / self.rounds
        return self.lowest + (1 - self.lowest) * (1 + math.cos(turned)) / 2
