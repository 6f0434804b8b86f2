"""A share of samples drawn apart from the others, the same one for every seed."""

import numpy as np
from jaxtyping import Int64

from fedspike.randomness import stream

Positions = Int64[np.ndarray, " some"]


def drawn_apart(labels: np.ndarray, share: float, purpose: str) -> tuple[Positions, Positions]:
    """Ascending positions of what stays, and of what is drawn: of each class the same share.

    To the nearest sample; one of each class stays at least.

    >>> [positions.tolist() for positions in drawn_apart(np.array([0, 1] * 3), 0.3, "test")]
    [[1, 2, 4, 5], [0, 3]]
    """
    drawn = []
    for label in np.unique(labels):
        of_class = np.flatnonzero(labels == label)
        many = min(round(share * len(of_class)), len(of_class) - 1)
        drawn.append(stream(0, purpose, client=int(label)).permutation(of_class)[:many])
    apart = np.sort(np.concatenate(drawn))
    return np.setdiff1d(np.arange(len(labels)), apart), apart
