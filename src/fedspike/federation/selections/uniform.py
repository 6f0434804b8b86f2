"""Uniform selection, without replacement."""

import numpy as np
from jaxtyping import Int64

from fedspike.federation.selections.selection import Selection, There


class Uniform(Selection, tag="uniform"):
    """All clients have the same chance."""

    def select(
        self, there: There, wanted: int, generator: np.random.Generator
    ) -> Int64[np.ndarray, " wanted"]:
        """Drawn without replacement."""
        return generator.choice(there.clients, wanted, replace=False)
