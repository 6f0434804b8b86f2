"""Groups of samples cut in proportions drawn from a Dirichlet distribution."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from msgspec import Meta

from fedspike.data.partition.partition import Indices, deal
from fedspike.errors import InputError
from fedspike.randomness import stream

# Up to 1e9: by then the proportions of 10 clients agree to 4 digits.
Concentration = Annotated[
    float,
    Meta(
        gt=0, le=1e9, extra={"fix": "0.1 is a strong skew, 100 almost none; or the partition IID"}
    ),
]
DIRICHLET_ATTEMPTS = 1000


def dirichlet_cuts(
    groups: Sequence[Indices], clients: int, seed: int, alpha: float, min_samples: int
) -> list[Indices]:
    """Each group cut among the clients in its own Dirichlet(alpha) proportions."""
    samples = sum(group.size for group in groups)
    call = f"alpha = {alpha}, min_samples = {min_samples}, clients = {clients}, {samples} samples"
    if clients * min_samples > samples:
        raise InputError(
            call,
            expected="clients * min_samples <= samples",
            fix=f"lower min_samples to {samples // clients} or less",
            keys=("min_samples", "clients"),
        )
    for attempt in range(DIRICHLET_ATTEMPTS):
        generator = stream(seed, "partition", round=attempt)  # a redraw has an address of its own
        counts = np.zeros((clients, len(groups)), dtype=np.int64)
        for column, group in enumerate(groups):
            proportions = generator.dirichlet(np.full(clients, alpha))
            inner_cuts = np.rint(np.cumsum(proportions)[:-1] * group.size)
            counts[:, column] = np.diff(inner_cuts, prepend=0, append=group.size)
        if counts.sum(axis=1).min() >= min_samples:
            return deal(groups, counts, generator)
    raise InputError(
        f"{call}: in {DIRICHLET_ATTEMPTS} draws some client always had fewer",
        expected="a skew that leaves every client min_samples",
        fix="raise alpha, lower min_samples, or lower clients",
        keys=("alpha", "min_samples", "clients"),
    )
