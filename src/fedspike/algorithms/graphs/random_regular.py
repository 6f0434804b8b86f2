"""A random regular graph: few links, and yet few of them from any client to any other.

Source: Steger, Wormald, "Generating Random Regular Graphs Quickly", Combinatorics, Probability and Computing
8, 1999, in passes: what is left of the clients' ends is paired anew. What is not connected is drawn again.
"""

from typing import Annotated

import numpy as np
from msgspec import Meta

from fedspike.algorithms.graphs.graph import FleetGraph, Graph, Links
from fedspike.errors import InputError
from fedspike.randomness import stream

DRAWS = 1000  # graphs of degree 2, which are connected least often, need about 30 with 1000 clients


class RandomRegular(Graph, tag="random-regular"):
    """Everybody has `degree` links, to clients drawn by the seed."""

    degree: Annotated[int, Meta(ge=1, lt=1000, description="links of each client")] = 4

    def links(self, clients: int, seed: int) -> Links:
        """Raises InputError where there is no such graph of so many clients."""
        even = min(4, (clients - 1) // 2 * 2)  # which goes with any number of clients
        odd = clients * self.degree % 2
        if self.degree >= clients or odd or (self.degree == 1 and clients > 2):
            raise InputError(
                f"a random regular graph of degree = {self.degree} with {clients} clients",
                expected="2 or more links of each, fewer than clients, and an even number of ends in all",
                fix=f"set degree = {even}" if even else "set fleet.clients = 10",
                keys=("degree", "fleet.clients"),
            )
        generator = stream(seed, "graph")
        for _ in range(DRAWS):
            drawn = self._drawn(clients, generator)
            if drawn and len(FleetGraph(drawn, np.zeros((clients, clients))).parts) == 1:
                return drawn
        raise InputError(
            f"{DRAWS} random graphs of degree = {self.degree}, none of them connected",
            expected="a degree with which nearly all are",
            fix="set degree = 4",
            keys=("degree",),
        )

    def _drawn(self, clients: int, generator: np.random.Generator) -> Links:
        """The links of one draw; none where it ended with clients that can only have a link twice."""
        ends, links = np.repeat(np.arange(clients), self.degree), set[tuple[int, int]]()
        while len(ends):
            left, before = list[int](), len(links)
            for i, j in np.sort(generator.permutation(ends).reshape(-1, 2), axis=1).tolist():
                if i == j or (i, j) in links:
                    left += [i, j]
                else:
                    links.add((i, j))
            ends, own = np.array(left, np.int64), sorted({*left})
            pairs = {(i, j) for i in own for j in own if i < j}
            if len(links) == before and pairs <= links:
                return ()
        return tuple(sorted(links))
