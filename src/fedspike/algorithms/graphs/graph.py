"""What a graph is: which clients exchange models, and how much each counts for the other.

    W_ij = 1 / (1 + max(d_i, d_j)) for each link,    W_ii = 1 - sum of the others of its row

d_i is the number of links of client i. W is symmetric and doubly stochastic: what is mixed by it keeps its
mean. Source: Xiao, Boyd, Lashkari, "A Scheme for Robust Distributed Sensor Fusion Based on Average
Consensus", IPSN 2005, the Metropolis weights.
"""

from collections.abc import Collection
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float64

from fedspike.errors import InputError
from fedspike.part import Part, abstractmethod

Links = tuple[tuple[int, int], ...]
Weights = Float64[np.ndarray, "client client"]
MOST_CLIENTS = 1000  # each has a model, and the matrix a number for each two of them
SHOWN = 10  # clients of a part that an error names


class Graph(Part):
    """Clients that are linked exchange models, each way over every link, the same in all rounds."""

    @abstractmethod
    def links(self, clients: int, seed: int) -> Links:
        """Each link once, as two different clients. Raises InputError for a number that it cannot link."""

    def weights(self, clients: int, seed: int) -> Weights:
        """W, by default that of Metropolis."""
        return metropolis(self.links(clients, seed), clients)

    def over(self, clients: int, seed: int) -> "FleetGraph":
        """The graph over so many clients. Raises InputError where it does not link all of them."""
        if clients > MOST_CLIENTS:
            raise InputError(
                f"a graph over {clients} clients",
                expected=f"at most {MOST_CLIENTS}, each of which has a model of its own",
                fix=f"set fleet.clients = {MOST_CLIENTS}, or take an algorithm with a server",
                keys=("graph", "fleet.clients"),
            )
        links = self.links(clients, seed)
        last = max((max(link) for link in links), default=0)
        if last >= clients:
            raise InputError(
                f"the graph {self.kind} with client {last}, of clients 0 to {clients - 1}",
                expected="clients of this fleet",
                fix=f"set fleet.clients = {last + 1}",
                keys=("graph", "fleet.clients"),
            )
        made = FleetGraph(links, self.weights(clients, seed))
        parts = made.parts
        if len(parts) > 1:
            raise InputError(
                f"the graph {self.kind} in {len(parts)} parts: {'; '.join(map(_named, parts))}",
                expected="one part, in which each client reaches every other one",
                fix=f"link client {parts[0][0]} and client {parts[1][0]}",
                keys=("graph", "fleet.clients"),
            )
        return made


class FleetGraph(Graph, dict=True):
    """A graph over the clients of a fleet: its links, and W."""

    pairs: Links
    W: Any

    def links(self, clients: int, seed: int) -> Links:
        """Those that it has."""
        del clients, seed
        return self.pairs

    def weights(self, clients: int, seed: int) -> Weights:
        """Those that it has."""
        del clients, seed
        matrix: Weights = self.W
        return matrix

    @property
    def clients(self) -> int:
        """How many there are."""
        return len(self.W)

    @cached_property
    def neighbours(self) -> tuple[frozenset[int], ...]:
        """Of each client those to whom it has a link."""
        own = [set[int]() for _ in range(self.clients)]
        for i, j in self.pairs:
            own[i].add(j)
            own[j].add(i)
        return tuple(map(frozenset, own))

    @property
    def parts(self) -> list[list[int]]:
        """The clients that reach one another, the part of client 0 first."""
        parts, rest = list[list[int]](), set(range(self.clients))
        while rest:
            part = sorted(self._tree(min(rest)))
            parts.append(part)
            rest -= set(part)
        return parts

    def among(self, there: Collection[int]) -> Weights:
        """W where only these are there: what others would count, a client counts itself.

        >>> FleetGraph(((0, 1), (1, 2)), np.full((3, 3), 1 / 3)).among([1, 2])[1].round(2)
        array([0.  , 0.67, 0.33])
        """
        present = np.zeros(self.clients, bool)
        present[list(there)] = True
        W = np.where(present[:, None] & present, self.W, 0.0)
        np.fill_diagonal(W, 0.0)
        np.fill_diagonal(W, 1 - W.sum(1))
        return W

    def spanning_tree(self) -> "FleetGraph":
        """The tree of shortest ways from a centre: the client whose farthest one is nearest; first by number.

        No spanning tree has a longest way that is shorter by more than one link.
        """
        trees = [self._tree(root) for root in range(self.clients)]
        depths = [max(depth for depth, _ in tree.values()) for tree in trees]
        centre = trees[int(np.argmin(depths))]
        links = tuple((above, k) for k, (_, above) in sorted(centre.items()) if above >= 0)
        return FleetGraph(links, metropolis(links, self.clients))

    def _tree(self, root: int) -> dict[int, tuple[int, int]]:
        """Of each client that the root reaches, how far it is, and who stands before it; -1 of the root."""
        tree, now = {root: (0, -1)}, [root]
        while now:
            after = []
            for client in now:
                for other in sorted(self.neighbours[client] - tree.keys()):
                    tree[other] = (tree[client][0] + 1, client)
                    after.append(other)
            now = after
        return tree


def metropolis(links: Links, clients: int) -> Weights:
    """W of these links; the equation."""
    degrees, W = np.zeros(clients), np.zeros((clients, clients))
    for i, j in links:
        degrees[[i, j]] += 1
    for i, j in links:
        W[i, j] = W[j, i] = 1 / (1 + max(degrees[i], degrees[j]))
    np.fill_diagonal(W, 1 - W.sum(1))
    return W


def _named(part: list[int]) -> str:
    rest = f" and {len(part) - SHOWN} more" if len(part) > SHOWN else ""
    clients = ", ".join(map(str, part[:SHOWN]))
    return f"client{'s' * (len(part) > 1)} {clients}{rest}"
