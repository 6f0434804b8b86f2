"""Availability that hangs on what a client holds, so that the rest is no fair sample of the data.

    p_k = p_min + (1 - p_min) c_k / (C - 1),    c_k the smallest class that client k holds, of 0 ... C - 1

Source: Gu, Huang, Zhang, Huang, "Fast Federated Learning in the Presence of Arbitrary Device Unavailability",
NeurIPS 2021, section 6, with the authors' code (MIFA_code, data/gen_avail_prob.py, "adversarial").
"""

from typing import Annotated

import numpy as np
from msgspec import Meta

from fedspike.errors import InputError
from fedspike.federation.availabilities.availability import (
    Availability,
    Chances,
    Clients,
    Holds,
    Moment,
)


class ByClass(Availability, tag="by-class"):
    """The smaller a client's smallest class, the seldomer it is there."""

    least: Annotated[float, Meta(gt=0, le=1, description="p_min, of who holds class 0")] = 0.1

    def chances(self, clients: Clients, holds: Holds, moment: Moment) -> Chances:
        """The equation. Raises InputError where nobody said what the clients hold."""
        del clients, moment
        if not holds.shape[1]:
            raise InputError(
                f"availability {self.kind} of clients of which nobody said what they hold",
                expected="clients of a plan, whose data have classes",
                fix="write Plan(fleet=Fleet(availability=ByClass()), ...)",
            )
        c, C = (holds > 0).argmax(1), holds.shape[1]
        return np.asarray(self.least + (1 - self.least) * c / max(1, C - 1))
