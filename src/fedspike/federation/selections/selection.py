"""What selects a round's clients from those that are there.

Whom a server asks decides whose data the model sees. Where clients are drawn with unlike chances, who is
drawn more often counts more, beside the weight that the algorithm's rule gives to each answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from fedspike.part import Part, abstractmethod


@dataclass(frozen=True)
class There:
    """The clients that are there, in the order of their numbers, and what a server knows of them.

    `samples` are those that each holds. `losses` has the loss of a client's mean sample in the last training
    whose answer was accepted; who never trained is not in it.
    """

    clients: Int64[np.ndarray, " client"]
    samples: Int64[np.ndarray, " client"]
    losses: Mapping[int, float]


class Selection(Part):
    """Who of the clients that are there is asked in a round, where not all are."""

    @property
    def by_loss(self) -> bool:
        """Whether it asks for losses, which a server then remembers."""
        return False

    def demand(self, asked: int, clients: int) -> None:
        """Raise InputError where it cannot select so many of so many clients."""
        del asked, clients

    @abstractmethod
    def select(
        self, there: There, wanted: int, generator: np.random.Generator
    ) -> Int64[np.ndarray, " wanted"]:
        """Fewer clients than are there, none twice."""
