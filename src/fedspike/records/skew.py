"""How unevenly the classes, and the samples, lie on the clients, from the samples of each class on each."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int64
from msgspec import Struct


class Skew(Struct, frozen=True):
    """The measures of a partition, with n_ic samples of class c on client i, n_i there and N in all.

    - `label_entropy`, in bits: sum_i n_i/N H(n_i1/n_i, n_i2/n_i, ...), with H(p) = -sum_c p_c log2 p_c;
      0 where each client holds one class
    - `entropy_of_all`, in bits: H of the classes of all clients together; without skew the two are equal
    - `total_variation`: sum_i n_i/N 1/2 sum_c |n_ic/n_i - N_c/N|; 0 is even, below 1 the most. Classes that
      lie equally far from each other make this the earth mover's distance. Zhao et al., "Federated Learning
      with Non-IID Data", arXiv 1806.00582, call twice as much so: they leave out the half.
    - `smallest` and `largest`: the samples of a client; seats that nobody took do not count
    """

    label_entropy: float
    entropy_of_all: float
    total_variation: float
    smallest: int
    largest: int

    @property
    def samples(self) -> str:
        """How many samples a client holds, in words.

        >>> skew([[5, 5], [10, 10]]).samples, skew([[1000, 0], [0, 1000]]).samples
        ('10 to 20', '1,000')
        """
        ends = sorted({self.smallest, self.largest})
        return " to ".join(f"{samples:,}" for samples in ends)


def skew(class_counts: Sequence[Sequence[int]] | Int64[np.ndarray, "client class"]) -> Skew:
    """The measures of these samples of each class on each client.

    >>> skew([[5, 5], [10, 10]])
    Skew(label_entropy=1.0, entropy_of_all=1.0, total_variation=0.0, smallest=10, largest=20)
    >>> skew([[10, 0], [0, 10]])
    Skew(label_entropy=0.0, entropy_of_all=1.0, total_variation=0.5, smallest=10, largest=10)
    """
    counts = np.asarray(class_counts, dtype=float)
    sizes, all_samples = counts.sum(1), max(counts.sum(), 1.0)
    expected = sizes[:, None] * counts.sum(0) / all_samples
    held = sizes[sizes > 0]
    *of_clients, of_all = _entropies(np.vstack([counts, counts.sum(0)]))
    return Skew(
        round(float(sizes @ np.array(of_clients) / all_samples), 6),
        round(float(of_all), 6),
        round(float(np.abs(counts - expected).sum() / 2 / all_samples), 6),
        int(held.min(initial=counts.sum())),
        int(held.max(initial=0)),
    )


def _entropies(counts: Float64[np.ndarray, "row class"]) -> Float64[np.ndarray, " row"]:
    """In bits, of samples of each class; 0 where there are none."""
    shares = counts / np.maximum(counts.sum(-1, keepdims=True), 1)
    logarithms = np.log2(shares, out=np.zeros_like(shares), where=shares > 0)
    entropy: np.ndarray = np.abs((shares * logarithms).sum(-1))  # no -0.0
    return entropy
