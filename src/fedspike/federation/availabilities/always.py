"""Everybody is always there."""

import numpy as np

from fedspike.federation.availabilities.availability import (
    Availability,
    Chances,
    Clients,
    Holds,
    Moment,
)


class Always(Availability, tag="always"):
    """All clients are there in every round."""

    @property
    def everybody(self) -> bool:
        """They are."""
        return True

    def chances(self, clients: Clients, holds: Holds, moment: Moment) -> Chances:
        """1."""
        del holds, moment
        return np.ones(len(clients))
