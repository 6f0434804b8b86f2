"""Who the clients are and who takes part in a round, with which of its samples."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from jaxtyping import Int64
from msgspec import Meta, Struct

from fedspike.data.partition import Holdings, Listed, Unknown
from fedspike.errors import InputError
from fedspike.federation.availabilities import Always, Availability, Moment
from fedspike.federation.clocks import ByOperations, Clock, Untimed
from fedspike.federation.selections import Selection, Uniform
from fedspike.federation.selections.selection import There
from fedspike.part import demand_limits, tag
from fedspike.randomness import stream, uniforms

__all__ = ["Fleet"]  # what `import fedspike` gives

Count = Annotated[int, Meta(ge=1, lt=2**31)]


class Fleet(Struct, frozen=True, forbid_unknown_fields=True, repr_omit_defaults=True):
    """How many clients there are, who of them trains in a round, and with how much of its data.

    Each round `clients_per_round` take part, each with `samples_per_round` of its samples, or all that it has
    if it has fewer. Who is there says the `availability`, and who of these is asked the `selection`; where
    fewer are there, all of them are asked. Each of those drops out with the probability `dropout`, anew in
    every round: it receives nothing, trains nothing and sends nothing. If less than the share `quorum` of
    those waited for is accepted, or nobody, the server skips the round and keeps its model.

    With `over_selection` the server asks so many times as many clients, and the round ends with the first
    `clients_per_round` answers. Source: Bonawitz et al., "Towards Federated Learning at Scale: System
    Design", MLSys 2019, section 2.2, which asks 1.3 times as many. Which simulated client answers first hangs
    on its samples and on its speed, which is drawn once: the logarithm of the time that a sample takes is
    normally distributed, with the standard deviation `speed_spread`.

    With a `clock` rounds take simulated time; an answer that comes more than `deadline_s` after its order is
    too late. The time that a byte takes is drawn for each client as that of a sample is, with the standard
    deviation `radio_spread`.

    Client k has `memory_kb[k mod n]` times 1000 bytes for its training (federation/training_memory.py);
    remedies that have smaller networks choose by it.
    """

    clients: Annotated[Count, Meta(description="how many devices")] = 10
    clients_per_round: Annotated[
        Count | Literal["all"], Meta(description="drawn anew in each round")
    ] = "all"
    samples_per_round: Annotated[
        Count | Literal["all"],
        Meta(description="of each client's samples, drawn anew in each round"),
    ] = "all"
    dropout: Annotated[
        float, Meta(ge=0, lt=1, description="probability that a client of a round drops out")
    ] = 0.0
    quorum: Annotated[
        float, Meta(ge=0, le=1, description="share of a round's clients that must be accepted")
    ] = 0.0

    over_selection: Annotated[
        float,
        Meta(ge=1, le=10, description="how many times as many are asked; the first ones count"),
    ] = 1.0
    speed_spread: Annotated[
        float,
        Meta(ge=0, le=3, description="how unlike the devices' speeds are; 0: they are the same"),
    ] = 0.0

    radio_spread: Annotated[
        float,
        Meta(ge=0, le=3, description="how unlike the devices' radios are, where a clock runs"),
    ] = 0.0

    memory_kb: Annotated[
        tuple[Annotated[float, Meta(gt=0, le=1e12)], ...],
        Meta(
            description="for training, of clients 0, 1, 2, ... in turn; empty: enough",
            max_length=10_000,
        ),
    ] = ()
    unfit: Annotated[
        Literal["refuse", "absent"],
        Meta(description="a client into whose memory nothing fits is refused, or takes no part"),
    ] = "refuse"
    deadline_s: Annotated[
        float,
        Meta(ge=0, le=1e12, description="simulated seconds that a round lasts at most; 0: none"),
    ] = 0.0
    clock: Clock = Untimed()
    selection: Selection = Uniform()
    availability: Availability = Always()

    def __post_init__(self) -> None:
        demand_limits(self)
        times = f" * {self.over_selection}" if self.over_selection > 1 else ""
        if times and self.clients_per_round == "all":
            raise InputError(
                f"over_selection = {self.over_selection} of all clients",
                expected="a number of clients whose answers end a round",
                fix=f"set clients_per_round = {max(1, int(self.clients / self.over_selection))}",
                keys=("over_selection", "clients_per_round"),
            )
        if self.cohort_size > self.clients:
            raise InputError(
                f"clients_per_round = {self.clients_per_round}{times}, clients = {self.clients}",
                expected=f"at most {self.clients} clients in a round",
                fix='set clients_per_round = "all", or raise clients',
                keys=("clients_per_round", "clients"),
            )
        self._demand_clock()
        self.selection.demand(self.cohort_size, self.clients)

    def _demand_clock(self) -> None:
        """Raise InputError where something is said of time, and there is none."""
        timed = {
            "deadline_s": self.deadline_s,
            "radio_spread": self.radio_spread,
            "availability": self.availability.kind if self.availability.needs_clock else "",
        }
        for name, value in timed.items():
            if value and not self.clock.runs:
                raise InputError(
                    f"{name} = {value} of rounds that take no time",
                    expected=f"a clock with {name}",
                    fix=f'set clock.kind = "{tag(ByOperations)}", or leave {name} out',
                    keys=(name, "clock"),
                )

    @property
    def cohort_size(self) -> int:
        """Clients that are asked in a round."""
        return self.asked_of(self.clients)

    def asked_of(self, clients: int) -> int:
        """How many of so many clients are asked in a round."""
        if self.clients_per_round == "all":
            return clients
        # Rounded up, but not for an error in the last bits.
        return math.ceil(round(self.clients_per_round * self.over_selection, 6))

    def as_one_client(self) -> "Fleet":
        """A single client that trains on as many samples in a round as all of these."""
        samples = self.samples_per_round
        total = samples if samples == "all" else samples * self.cohort_size
        return Fleet(clients=1, samples_per_round=total)


EVERYBODY = Fleet()
NO_LOSSES: Mapping[int, float] = {}
NOTHING = np.zeros((0, 0), np.int64)  # of what clients hold, for whoever does not ask


@dataclass(frozen=True)
class Given:
    """A partition into these shards, whatever the labels; of all clients, or of these `own` ones."""

    shards: Sequence[np.ndarray]
    own: tuple[int, ...] | None = None

    def __call__(self, labels: np.ndarray, clients: int, seed: int) -> Sequence[np.ndarray]:
        """The shards."""
        del labels, clients, seed
        return self.shards


@dataclass(frozen=True)
class Held:
    """The partition of real devices, each of which says how many samples of every class it holds.

    Where these are, devices know. A seat that nobody has taken yet holds none.
    """

    counts: tuple[tuple[int, ...], ...]
    dealt: ClassVar[bool] = False
    own: ClassVar[tuple[int, ...]] = ()

    def __call__(self, labels: np.ndarray, clients: int, seed: int) -> Holdings:
        """As many positions for each client as it holds samples, all the same: they take no memory."""
        del labels, clients, seed
        return Unknown([sum(counts) for counts in self.counts])


def _positions(client: int, shard: Any) -> Int64[np.ndarray, " sample"]:
    """The positions as an array, the same one where it is such an array already."""
    try:
        positions = np.asarray(shard)
    except (TypeError, ValueError, RuntimeError):  # ragged, on a GPU
        positions = np.asarray(None)
    if positions.size == 0 and positions.ndim == 1:
        positions = positions.astype(np.int64)
    if positions.ndim != 1 or positions.dtype.kind not in "iu" or positions.min(initial=0) < 0:
        raise InputError(
            f"client {client} holds {positions.dtype} of shape {positions.shape} "
            f"from {positions.min() if positions.dtype.kind in 'iu' else 'no number'}",
            expected="the positions of its samples in the training set, whole numbers from 0, in one row",
            fix="of a mask, np.flatnonzero(mask)",
        )
    return positions.astype(np.int64, copy=False)


@dataclass(frozen=True)
class Devices:
    """The clients of a fleet; `shards[k]` are the positions of client k's samples in the training set.

    Lists and ranges are converted. Raises InputError for positions that are no whole numbers from 0 on, and
    for a client without samples; with `open_seats` that is a seat that nobody has taken yet, in no cohort.
    Nor are those in any who are `unfit`: nothing fits into their memory. `holds[k]` says how many samples of
    each class client k holds; of no class where nobody said so.
    """

    shards: Any  # made Holdings
    fleet: Fleet = EVERYBODY
    open_seats: bool = False
    unfit: frozenset[int] = frozenset()
    holds: Any = None  # an array, int64 [client, class], or what makes it of the first clients

    def __post_init__(self) -> None:
        if not len(self.shards):
            raise InputError("a fleet without clients", expected="one at least", fix="add a client")
        shards = self.shards
        if not isinstance(shards, Holdings):
            shards = Listed.of([_positions(client, shard) for client, shard in enumerate(shards)])
        vars(self).update(shards=shards)
        filled = np.count_nonzero(shards.sizes)
        if filled < (1 if self.open_seats else len(shards)):
            empty = int(np.argmin(shards.sizes > 0))
            raise InputError(
                f"client {empty} holds no samples",
                expected="at least one sample on every client",
                fix="use fewer clients or a less skewed partition",
            )
        if self.fleet.asked_of(len(shards)) > len(shards):
            raise InputError(
                f"clients_per_round = {self.fleet.clients_per_round}",
                expected=f"a number from 1 to the number of clients, {len(self.shards)}",
                fix="leave it out to let every client take part in every round",
            )

    @cached_property
    def class_counts(self) -> Int64[np.ndarray, "client class"]:
        """How many samples of each class every client holds; of no class where nobody said so."""
        return self.of_classes()

    def of_classes(self, most: int | None = None) -> Int64[np.ndarray, "client class"]:
        """The same, of the first clients alone where there are more than so many."""
        if self.holds is None:
            return np.zeros((len(self.shards[:most]), 0), np.int64)
        return np.asarray(self.holds(most) if callable(self.holds) else self.holds[:most])

    @cached_property
    def members(self) -> Int64[np.ndarray, " client"]:
        """The clients that hold samples and can train: all, but for open seats and who is unfit."""
        there = np.flatnonzero(self.shards.sizes)
        return there[~np.isin(there, list(self.unfit))] if self.unfit else there

    @property
    def cohort_size(self) -> int:
        """Clients that are asked in a round."""
        return min(self.fleet.asked_of(len(self.members)), len(self.members))

    @property
    def enough(self) -> int | None:
        """Clients whose answers end a round; None where it ends with those of all that were asked."""
        asked = self.fleet.clients_per_round
        if asked == "all" or self.fleet.over_selection == 1:
            return None
        return min(asked, len(self.members))

    def samples(self, client: int) -> int:
        """Samples that the client trains on in one epoch of a round."""
        held, wanted = int(self.shards.sizes[client]), self.fleet.samples_per_round
        return held if wanted == "all" else min(held, wanted)

    def there(
        self, seed: int, round: int, clock_s: float | None = None
    ) -> Int64[np.ndarray, " client"]:
        """The members that are there in a round, by number; whether one is depends on nobody else."""
        members, moment = self.members, Moment(seed, round, clock_s)
        availability = self.fleet.availability
        if availability.everybody:
            return members
        holds = self.class_counts[members] if availability.needs_classes else NOTHING
        p = availability.chances(members, holds, moment)
        return members[uniforms(seed, "availability", round, members) < p]

    def cohort(
        self,
        seed: int,
        round: int,
        at_work: Collection[int] = (),
        losses: Mapping[int, float] = NO_LOSSES,
        clock_s: float | None = None,
    ) -> list[int]:
        """The clients of a round, selected from those that are there; most samples first, then by number.

        Those `at_work` since a round before are among the round's clients, and not asked again. `losses` are
        the clients' last ones, as far as they are known.
        """
        there = self.there(seed, round, clock_s)
        clients = there[~np.isin(there, list(at_work))] if at_work else there
        if (wanted := self.cohort_size - len(at_work)) < len(clients):
            there_now = There(clients, self.shards.sizes[clients], losses)
            clients = self.fleet.selection.select(there_now, wanted, stream(seed, "cohort", round))
        return self.in_order(clients.tolist())

    def in_order(self, clients: Sequence[int]) -> list[int]:
        """Most samples first, then by number."""
        return sorted(clients, key=lambda client: (-self.samples(client), client))

    def present(self, seed: int, round: int) -> list[int]:
        """The cohort without those who drop out, in the same order."""
        cohort = self.cohort(seed, round)
        return [client for client in cohort if not self.drops_out(seed, round, client)]

    def drops_out(self, seed: int, round: int, client: int) -> bool:
        """Whether a client of the round's cohort drops out; it depends on nobody else."""
        if not self.fleet.dropout:
            return False
        return bool(stream(seed, "dropout", round, client).random() < self.fleet.dropout)

    def training_time(self, seed: int, client: int, epochs: int) -> float:
        """How long a client trains in a round, in times that a sample takes a device of the mean kind."""
        return self.samples(client) * epochs * self.slowness(seed, client)

    def slowness(self, seed: int, client: int) -> float:
        """How many times as long a client trains as a device of the mean kind."""
        return _slowness(self.fleet.speed_spread, seed, "speed", client)

    def radio_slowness(self, seed: int, client: int) -> float:
        """How many times as long a client receives and sends as a device of the mean kind."""
        return _slowness(self.fleet.radio_spread, seed, "radio", client)

    def shown(self, seed: int, round: int, client: int, epochs: int) -> np.ndarray:
        """The samples the client sees in a round, in order: a fresh draw, shuffled anew every epoch."""
        generator = stream(seed, "samples", round, client)
        drawn = generator.permutation(self.shards[client])[: self.samples(client)]
        later = [generator.permutation(drawn) for _ in range(epochs - 1)]
        return np.concatenate([drawn, *later])


def _slowness(spread: float, seed: int, purpose: str, client: int) -> float:
    """e^(spread z) of a normally distributed z that the client has once for all."""
    return math.exp(spread * stream(seed, purpose, client=client).standard_normal())
