"""Selection by data: a client's chance is in proportion to its samples.

    p_k = n_k / n

Source: Li, Huang, Yang, Wang, Zhang, "On the Convergence of FedAvg on Non-IID Data", ICLR 2020, scheme I. The
paper draws with replacement and averages the answers with equal weights, which is right on average. We draw
without, one after the other in proportion to what is left, so that no device trains twice in a round; then
large clients come a little less often than p_k says, and the less the smaller the share of clients drawn.
"""

from typing import Annotated

import numpy as np
from jaxtyping import Float64, Int64
from msgspec import Meta

from fedspike.errors import InputError
from fedspike.federation.selections.selection import Selection, There


class Weighted(Selection, tag="weighted"):
    """A client's chance is in proportion to its samples, or to a weight of its own.

    Who holds more is asked more often. An average by samples would count it twice: set `rule.by = "clients"`.
    """

    weights: Annotated[
        tuple[Annotated[float, Meta(ge=0, le=1e12)], ...],
        Meta(
            description="of clients 0, 1, 2, ... in turn; empty: the samples that each holds",
            max_length=10_000,
        ),
    ] = ()

    def check(self) -> None:
        """Raise InputError for weights of which none is above 0."""
        if self.weights and not any(self.weights):
            raise InputError(
                f"weights = {list(self.weights)}: they sum to 0",
                expected="a weight above 0 of a client at least",
                fix="leave weights out: then the samples of each count",
                keys=("weights",),
            )

    def demand(self, asked: int, clients: int) -> None:
        """Raise InputError where fewer clients than are asked have a weight above 0."""
        whole, rest = divmod(clients, len(self.weights) or 1)
        above = whole * np.count_nonzero(self._of(np.arange(len(self.weights) or 1)))
        above += np.count_nonzero(self._of(np.arange(rest)))
        if above < asked:
            raise InputError(
                f"weights = {list(self.weights)}: {above} of {clients} clients have one above 0",
                expected=f"as many, at least, as are asked in a round, {asked}",
                fix="give more clients a weight, or lower clients_per_round",
                keys=("weights", "clients_per_round"),
            )

    def select(
        self, there: There, wanted: int, generator: np.random.Generator
    ) -> Int64[np.ndarray, " wanted"]:
        """Drawn one after the other; of weight 0 only where nobody else is there."""
        p = self.chances(there)
        drawable = np.count_nonzero(p)
        if drawable < wanted:
            others = generator.choice(there.clients[p == 0], wanted - drawable, replace=False)
            return np.concatenate([there.clients[p > 0], others])
        return generator.choice(there.clients, wanted, replace=False, p=p)

    def chances(self, there: There) -> Float64[np.ndarray, " client"]:
        """p of each client that is there."""
        weights = there.samples.astype(np.float64)
        if self.weights:
            weights = self._of(there.clients)
        total = weights.sum()
        return weights / total if total else weights

    def _of(self, clients: Int64[np.ndarray, " client"]) -> Float64[np.ndarray, " client"]:
        weights: np.ndarray = np.array(self.weights or (1.0,))
        return np.asarray(weights[clients % len(weights)])
