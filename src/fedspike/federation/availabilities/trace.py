"""Availability as it was written down: who was there from which round to which.

A file of comma-separated values has a line for each stay, under these names:

    client,first,last
    0,1,20
    0,45,100
    3,10,100

Client 0 is there in rounds 1 to 20 and 45 to 100, client 3 in 10 to 100, and nobody else ever. A run keeps
what the file said in its own settings, as the lists `client`, `first` and `last`.

With `unit` these are hours or seconds of the simulated clock, of which the first is number 1. How many a run
takes nobody knows before it ends, so after the last one the trace begins again.
"""

from functools import partial
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta

from fedspike.errors import InputError
from fedspike.federation.availabilities.availability import (
    HOUR_S,
    Availability,
    Chances,
    Clients,
    Holds,
    Moment,
)
from fedspike.reading import fill, whole_numbers

COLUMNS = ("client", "first", "last")
MOST_STAYS = 100_000
SECONDS = {"seconds": 1.0, "hours": HOUR_S}
Number = Annotated[int, Meta(ge=0, lt=2**31)]
Place = Annotated[int, Meta(ge=1, lt=2**31)]


class Trace(Availability, tag="trace"):
    """Clients are there when a trace says so; a file of it, or its stays as three lists."""

    path: Annotated[str, Meta(description="comma-separated: client,first,last")] = ""
    client: Annotated[
        tuple[Number, ...],
        Meta(max_length=MOST_STAYS, description="of each stay, where there is no file"),
    ] = ()
    first: Annotated[
        tuple[Place, ...],
        Meta(max_length=MOST_STAYS, description="round, or other unit, of each stay"),
    ] = ()
    last: Annotated[
        tuple[Place, ...],
        Meta(max_length=MOST_STAYS, description="round, or other unit, of each stay"),
    ] = ()
    unit: Annotated[
        Literal["rounds", "hours", "seconds"],
        Meta(description="of first and last; hours and seconds are simulated ones"),
    ] = "rounds"

    @property
    def needs_clock(self) -> bool:
        """For hours and seconds."""
        return self.unit in SECONDS

    @property
    def needs_classes(self) -> bool:
        """It does not."""
        return False

    @property
    def wait_s(self) -> float:
        """One of its hours or seconds."""
        return SECONDS.get(self.unit, 0.0)

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
            if not 1 <= first <= last:
                raise InputError(
                    f"client {client} from first = {first} to last = {last}, in {self.unit}",
                    expected="1 or later, and no stay that ends before it begins",
                    fix="exchange them, or begin at 1",
                    keys=("first", "last", "path"),
                )

    def demand(self, clients: int, rounds: int) -> None:
        """Raise InputError for a trace that is shorter than the run, or of other clients."""
        if not self.needs_clock and max(self.last) < rounds:
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
        """1 in a stay, else 0; where nobody knows the hour, 1 for whoever has a stay."""
        del holds
        first, last, now = np.array(self.first), np.array(self.last), moment.round
        if self.needs_clock:
            if moment.clock_s is None:
                return np.isin(clients, np.array(self.client)).astype(np.float64)
            now = int(moment.clock_s // SECONDS[self.unit]) % max(self.last) + 1
        stays = (first <= now) & (now <= last)
        return np.isin(clients, np.array(self.client)[stays]).astype(np.float64)
