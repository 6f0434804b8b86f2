"""Everybody is always there."""

import numpy as np
from jaxtyping import Float64, Int64

from fedspike.federation.availabilities.availability import Availability, Moment


class Always(Availability, tag="always"):
    """All clients are there in every round."""

    def chances(
        self,
        clients: Int64[np.ndarray, " client"],
        holds: Int64[np.ndarray, "client class"],
        moment: Moment,
    ) -> Float64[np.ndarray, " client"]:
        """1."""
        del holds, moment
        return np.ones(len(clients))
