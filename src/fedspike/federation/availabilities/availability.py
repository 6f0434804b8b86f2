"""Which clients are there in a round: a server knows, and asks nobody else."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from fedspike.part import Part, abstractmethod

HOUR_S = 3600.0
Clients = Int64[np.ndarray, " client"]
Holds = Int64[np.ndarray, "client class"]
Chances = Float64[np.ndarray, " client"]


@dataclass(frozen=True)
class Moment:
    """When a round begins; `clock_s` is the simulated time since the first one, where there is a clock."""

    seed: int
    round: int
    clock_s: float | None = None


class Availability(Part):
    """How likely a client is there in a round; it depends on no other client.

    Who is not there is not asked, and no answer is missing. Whoever is there and asked may still drop out.
    """

    @property
    def needs_clock(self) -> bool:
        """Whether it is of simulated time."""
        return False

    @property
    def everybody(self) -> bool:
        """Whether all clients are there in every round, so that nobody has to be asked for."""
        return False

    @property
    def needs_classes(self) -> bool:
        """Whether it looks at what the clients hold; else it is told nothing of that."""
        return True

    @property
    def wait_s(self) -> float:
        """How much simulated time a round takes in which nobody is there."""
        return 0.0

    def demand(self, clients: int, rounds: int) -> None:
        """Raise InputError where it does not say who of so many clients is there in each of these rounds."""
        del clients, rounds

    @abstractmethod
    def chances(self, clients: Clients, holds: Holds, moment: Moment) -> Chances:
        """The probability that each of these clients is there, which hold so many samples of each class."""
