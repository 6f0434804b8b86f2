"""A ring: the fewest links with no client at an end."""

from fedspike.algorithms.graphs.graph import Graph, Links


class Ring(Graph, tag="ring"):
    """Client k has links to k - 1 and k + 1, and the last one to the first.

    >>> Ring().links(4, seed=0)
    ((0, 1), (1, 2), (2, 3), (0, 3))
    """

    def links(self, clients: int, seed: int) -> Links:
        """Of two clients one link, of one none."""
        del seed
        chain = tuple((k, k + 1) for k in range(clients - 1))
        return (*chain, (0, clients - 1)) if clients > 2 else chain
