"""No simulated time."""

import numpy as np

from fedspike.federation.clocks.clock import Clock, Effort, Spent


class Untimed(Clock, tag="none"):
    """Rounds are counted, and take no time."""

    @property
    def runs(self) -> bool:
        """It does not."""
        return False

    def spent(self, effort: Effort, generator: np.random.Generator) -> Spent:
        """None."""
        del effort, generator
        return Spent(0.0, 0.0, 0.0)
