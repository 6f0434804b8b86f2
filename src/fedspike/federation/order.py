"""What a server asks of a place in a round, and what comes back."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, runtime_checkable

from jaxtyping import Float, Int64
from torch import Tensor

from fedspike.algorithms import Tree
from fedspike.federation.clocks.clock import Spent
from fedspike.federation.cohort import Site
from fedspike.federation.plan import Plan
from fedspike.layers.activity import Activity
from fedspike.part import demand_fit
from fedspike.rules import Rule


@dataclass(frozen=True)
class Order:
    """Train these clients.

    `samples[client]` is the most that the client declared to train on in a round, for all of the cohort.
    `received[client]` is what it is sent and `forms[client]` what its reply must look like, no client axis;
    `rules` say how each group of the replies is joined. A client starts with what it remembered after round
    `remembered[client]`, which is in `memories` if it was handed over; not in `remembered`: it has none.

    The round ends with the answers of `enough` clients; of all where it is None. Where the server `goes_on`
    with the others still at work, `earlier[round]` is the order of a round before, for those of its clients
    whose answers are still to come, and `needs[client]` is the simulated time that these still take.
    """

    plan: Plan
    site: Site
    round: int
    samples: Mapping[int, int]
    received: Mapping[int, Tree]
    forms: Mapping[int, Tree]
    rules: Mapping[str, Rule]
    remembered: Mapping[int, int] = field(default_factory=dict)
    memories: Mapping[int, Tree] = field(default_factory=dict)
    enough: int | None = None
    goes_on: bool = False
    earlier: Mapping[int, "Order"] = field(default_factory=dict)
    needs: Mapping[int, float] = field(default_factory=dict)

    @property
    def all(self) -> tuple["Order", ...]:
        """The orders whose answers may come, the oldest first, this one last."""
        return (*(self.earlier[round] for round in sorted(self.earlier)), self)

    @property
    def clients(self) -> list[int]:
        """The clients whose answers may come, those that were asked first at the front."""
        return [client for order in self.all for client in order.samples]

    def sorted(self, answers: "Answers") -> "Answers":
        """The same, with what each client did in the order in which they were asked, whoever came first."""
        did = answers.activity
        return replace(answers, activity={k: did[k] for k in self.clients if k in did})

    def of_round(self, round: Any) -> "Order | None":
        """The order to which an answer belongs that says it is one to this round; None if there is none."""
        if type(round) is not int:
            return None
        return self if round == self.round else self.earlier.get(round)


Found = Literal["not readable", "not finite"]


@dataclass(frozen=True)
class Reply:
    """What came back. All but the sender and the `seconds` since the order are claims of the sender.

    `samples[client]` are the samples that each of the sender's clients trained on: whole numbers, from 1 to
    what was declared; a node leaves out a client that did not train. The `tree` of one client is its reply.
    That of many has one group of exact sums for all (`rules/exact_sum.py`), in float64 and in their
    parts, [part, ...]; or where the rule joins only what was kept apart, a group for each client:
    "3/update". A `fault` is what the place found wrong with it.
    """

    sender: int
    round: Any
    samples: Any
    tree: Any
    seconds: float = 0.0
    fault: tuple[Found, str] | None = None


@dataclass(frozen=True)
class Answers:
    """What a place has to say to an order.

    `hosts[sender]` are the clients whose work a sender answers for. `activity` is what each client that
    answered did, `losses` are of its mean sample. `memories` are what clients remember, as far as it left
    them. `nodes` is the ledger of real devices, an entry for each that was asked. Replies that came more than
    `deadline_s` after the order are too late. `at_work` are the clients that nobody waited for, with the
    simulated time that each still needs. `unpacked_bytes` are those of the replies as the server joins them,
    where these are not as they travelled.

    Where there is simulated time, the round took `duration_s`, and `spent` has that of each client.

    Work and bytes of a client are those of the round in which its answer came.
    """

    hosts: Mapping[int, Sequence[int]]
    replies: Sequence[Reply]
    activity: Mapping[int, Activity]
    losses: Mapping[int, float]
    seconds: Mapping[str, float]
    uplink_bytes: int
    downlink_bytes: int
    memories: Mapping[int, Tree] = field(default_factory=dict)
    nodes: tuple[dict[str, Any], ...] = ()
    deadline_s: float = math.inf
    at_work: Mapping[int, float] = field(default_factory=dict)
    unpacked_bytes: int | None = None
    spent: Mapping[int, Spent] = field(default_factory=dict)
    duration_s: float | None = None

    def mean_loss(self, clients: Sequence[int]) -> float:
        """Over the samples of these clients; nan if there are none."""
        sums = [self.losses[client] * self.activity[client].samples for client in clients]
        samples = sum(self.activity[client].samples for client in clients)
        return math.fsum(sums) / samples if samples else math.nan


@dataclass(frozen=True)
class Exam:
    """Say of test samples which class they are, each client by the model of its own, which is on its device.

    `received[client]` is the whole of what the client would receive now; with what it remembered after round
    `remembered[client]` that makes its model. `pixels[client]` are its samples, and `first[client]` is the
    number of the first of them among those of all clients.
    """

    plan: Plan
    site: Site
    round: int
    received: Mapping[int, Tree]
    remembered: Mapping[int, int]
    pixels: Mapping[int, Float[Tensor, "_sample pixel"]]
    first: Mapping[int, int]


@dataclass(frozen=True)
class Told:
    """What came back from an exam: of each client that answered the classes of its samples, and what it did.

    `nodes` is a ledger of the real devices that gave none, or none that can be.
    """

    predicted: Mapping[int, Int64[Tensor, " _sample"]]
    activity: Mapping[int, Activity]
    nodes: tuple[dict[str, Any], ...] = ()


@runtime_checkable
class Examiner(Protocol):
    """A place where models are tested that the server does not have."""

    def examine(self, exam: Exam) -> Told:
        """Have the clients that are there say what they see."""


@runtime_checkable
class Place(Protocol):
    """Where clients are trained."""

    def work(self, order: Order) -> Answers:
        """Train the clients that are there, each from what it received and remembers."""


def demand_place(place: Any) -> None:
    """Raise InputError for what is no place."""
    demand_fit(
        "place",
        place,
        callable(getattr(place, "work", None)),
        expected="where clients are trained, a place with work(order)",
        fix="leave it out to train in this process",
    )
