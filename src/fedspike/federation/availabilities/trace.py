"""Availability as it was written down: who was there from which round to which.

A file of comma-separated values has a line for each stay, under these names:

    client,first,last
    0,1,20
    0,45,100
    3,10,100

Client 0 is there in rounds 1 to 20 and 45 to 100, client 3 in 10 to 100, and nobody else ever. A run keeps
what the file said in its own settings, as the lists `client`, `first` and `last`.
"""

from functools import partial
from typing import Annotated

import numpy as np
from msgspec import Meta

from fedspike.errors import InputError
from fedspike.federation.availabilities.availability import (
    Availability,
    Chances,
    Clients,
    Holds,
    Moment,
)
from fedspike.reading import fill, whole_numbers

COLUMNS = ("client", "first", "last")
MOST_STAYS = 100_000
Number = Annotated[int, Meta(ge=0, lt=2**31)]


class Trace(Availability, tag="trace"):
    """Clients are there when a trace says so; a file of it, or its stays as three lists."""

    path: Annotated[str, Meta(description="comma-separated: client,first,last")] = ""
    client: Annotated[
        tuple[Number, ...],
        Meta(max_length=MOST_STAYS, description="of each stay, where there is no file"),
    ] = ()
    first: Annotated[
        tuple[Number, ...], Meta(max_length=MOST_STAYS, description="round of each stay")
    ] = ()
    last: Annotated[
        tuple[Number, ...], Meta(max_length=MOST_STAYS, description="round of each stay")
    ] = ()

    def check(self) -> None:
        """Read the file. Raises InputError where it is none, and for lists of unlike lengths."""
        fill(self, COLUMNS, partial(whole_numbers, columns=COLUMNS))
        lengths = len(self.client), len(self.first), len(self.last)
        if not 0 < min(lengths) == max(lengths):
            raise InputError(
                "a trace of client = {}, first = {} and last = {} numbers".format(*lengths),
                expected="three lists of one length, a client and two rounds for each stay",
                fix='write path = "trace.csv", or the three lists',
                keys=(*COLUMNS, "path"),
            )
        for client, first, last in zip(self.client, self.first, self.last, strict=True):
            if first > last:
                raise InputError(
                    f"client {client} from round first = {first} to round last = {last}",
                    expected="the last round of a stay not before its first",
                    fix="exchange them",
                    keys=("first", "last", "path"),
                )

    def demand(self, clients: int, rounds: int) -> None:
        """Raise InputError for a trace that is shorter than the run, or of other clients."""
        if max(self.last) < rounds:
            raise InputError(
                f"a trace whose last round is {max(self.last)}, for {rounds} rounds",
                expected="a trace as long as the run, at least",
                fix=f"set rounds = {max(self.last)}, or go on with the trace",
                keys=("last", "path"),
            )
        if max(self.client) >= clients:
            raise InputError(
                f"a trace of client {max(self.client)}, of clients 0 to {clients - 1}",
                expected="clients of this fleet",
                fix=f"set fleet.clients = {max(self.client) + 1}",
                keys=("client", "path"),
            )

    def chances(self, clients: Clients, holds: Holds, moment: Moment) -> Chances:
        """1 in a stay, else 0."""
        del holds
        first, last = np.array(self.first), np.array(self.last)
        stays = (first <= moment.round) & (moment.round <= last)
        return np.isin(clients, np.array(self.client)[stays]).astype(np.float64)
