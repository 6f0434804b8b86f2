"""A balanced tree: the fewest links that there can be."""

from typing import Annotated

from msgspec import Meta

from fedspike.algorithms.graphs.graph import Graph, Links


class Tree(Graph, tag="tree"):
    """Client 0 has `children` clients below it, each of these has as many, and so on.

    With 1 it is a chain, with as many as there are other clients a star.

    >>> Tree().links(5, seed=0), Tree(children=1).links(3, seed=0)
    (((0, 1), (0, 2), (1, 3), (1, 4)), ((0, 1), (1, 2)))
    """

    children: Annotated[int, Meta(ge=1, lt=2**31)] = 2

    def links(self, clients: int, seed: int) -> Links:
        """From each client to the one above it."""
        del seed
        return tuple(((k - 1) // self.children, k) for k in range(1, clients))
