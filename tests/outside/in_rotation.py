"""Selection of neighbours."""

import numpy as np

from fedspike.federation.selections import Selection
from fedspike.federation.selections.selection import There


class InRotation(Selection, tag="in-rotation"):
    """A stride through the clients, from a place drawn anew in each round."""

    stride: int = 1

    def select(self, there: There, wanted: int, generator: np.random.Generator) -> np.ndarray:
        first = generator.integers(len(there.clients))
        places = (first + self.stride * np.arange(wanted)) % len(there.clients)
        return np.take(there.clients, places)
