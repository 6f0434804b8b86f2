"""The complete graph: all that a mean over all takes, without a server."""

from itertools import combinations

from fedspike.algorithms.graphs.graph import Graph, Links


class Complete(Graph, tag="complete"):
    """Everybody has a link to everybody.

    >>> Complete().links(3, seed=0)
    ((0, 1), (0, 2), (1, 2))
    """

    def links(self, clients: int, seed: int) -> Links:
        """All pairs."""
        del seed
        return tuple(combinations(range(clients), 2))
