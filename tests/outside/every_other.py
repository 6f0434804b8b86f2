"""Availability of clients that are there in every other round."""

import numpy as np

from fedspike.federation.availabilities import Availability, Moment


class EveryOther(Availability, tag="every-other"):
    """Client k is there in rounds that are k modulo `shifts`."""

    shifts: int = 2

    def chances(self, clients: np.ndarray, holds: np.ndarray, moment: Moment) -> np.ndarray:
        del holds
        due = clients % self.shifts == moment.round % self.shifts
        return np.where(due, 1.0, 0.0)
