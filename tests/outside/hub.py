"""A graph with one client in the middle."""

from fedspike.algorithms.graphs import Graph


class Hub(Graph, tag="hub"):
    """Everybody has a link to one client."""

    middle: int = 0

    def links(self, clients: int, seed: int) -> tuple[tuple[int, int], ...]:
        del seed
        return tuple((self.middle, k) for k in range(clients) if k != self.middle)
