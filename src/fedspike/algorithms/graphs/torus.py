"""A torus: a grid whose ends meet."""

import math
from typing import Annotated

from msgspec import Meta

from fedspike.algorithms.graphs.graph import Graph, Links
from fedspike.errors import InputError


class Torus(Graph, tag="torus"):
    """Clients in rows and columns, each with links to the four beside it; the ends of a row or column meet.

    With one row, as of a prime number of clients, it is a ring.

    >>> len(Torus().links(9, seed=0)), Torus(rows=2).links(4, seed=0)
    (18, ((0, 1), (0, 2), (1, 3), (2, 3)))
    """

    rows: Annotated[int, Meta(ge=0, lt=2**31, description="0: as square as it can be")] = 0

    def links(self, clients: int, seed: int) -> Links:
        """Raises InputError where the rows cannot be equally long."""
        del seed
        squarest = max(r for r in range(1, math.isqrt(clients) + 1) if clients % r == 0)
        rows = self.rows or squarest
        if clients % rows:
            raise InputError(
                f"a torus of rows = {rows} with {clients} clients",
                expected="rows that are equally long",
                fix=f"set rows = {squarest}, or fleet.clients = {rows * math.ceil(clients / rows)}",
                keys=("rows", "fleet.clients"),
            )
        columns = clients // rows
        links = set()
        for k in range(clients):
            row, column = divmod(k, columns)
            right, below = row * columns + (column + 1) % columns, (k + columns) % clients
            links |= {(min(k, other), max(k, other)) for other in (right, below) if other != k}
        return tuple(sorted(links))
