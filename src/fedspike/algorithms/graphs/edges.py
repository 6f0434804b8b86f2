"""A graph of one's own, as its links.

A file of comma-separated values has a line for each, under these names:

    client,neighbour
    0,1
    1,2

A run keeps what the file said in its own settings, as the lists `client` and `neighbour`.
"""

from functools import partial
from typing import Annotated

from msgspec import Meta

from fedspike.algorithms.graphs.graph import Graph, Links
from fedspike.errors import InputError
from fedspike.reading import fill, whole_numbers

COLUMNS = ("client", "neighbour")
MOST_LINKS = 100_000
Numbers = Annotated[tuple[Annotated[int, Meta(ge=0, lt=2**31)], ...], Meta(max_length=MOST_LINKS)]


class Edges(Graph, tag="edges"):
    """Links that somebody wrote down, in a file or as two lists."""

    path: Annotated[str, Meta(description="comma-separated: client,neighbour")] = ""
    client: Annotated[
        Numbers, Meta(description="one end of each link, where there is no file")
    ] = ()
    neighbour: Annotated[Numbers, Meta(description="the other end of each link")] = ()

    def check(self) -> None:
        """Read the file. Raises InputError where it is none, and for ends that make no link."""
        fill(self, COLUMNS, partial(whole_numbers, columns=COLUMNS))
        if not 0 < len(self.client) == len(self.neighbour):
            raise InputError(
                f"a graph of client = {len(self.client)} and neighbour = {len(self.neighbour)} numbers",
                expected="two lists of one length, the two ends of each link",
                fix='write path = "links.csv", or the two lists',
                keys=(*COLUMNS, "path"),
            )
        for i, j in zip(self.client, self.neighbour, strict=True):
            if i == j:
                raise InputError(
                    f"a link from client {i} to itself",
                    expected="links between two clients",
                    fix="leave it out",
                    keys=(*COLUMNS, "path"),
                )

    def links(self, clients: int, seed: int) -> Links:
        """As written; twice is once."""
        del clients, seed
        ends = zip(self.client, self.neighbour, strict=True)
        return tuple(sorted({(min(link), max(link)) for link in ends}))
