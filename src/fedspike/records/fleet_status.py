"""How a fleet is, as a record: what `fedspike fleet status` shows and prints as JSON, and Prometheus is told.

Nothing here needs torch. Times are of the server's machine, in UTC.
"""

from datetime import datetime
from typing import Literal

from fedspike.records.schema import Record

Training = Literal["not started", "waiting", "running", "paused", "stopped", "failed", "done"]


class RunStatus(Record, frozen=True, kw_only=True):
    """How far a run is; accuracy, and seconds by part, are those of its newest round."""

    run: str
    rounds: int
    rounds_done: int
    finished: bool
    accuracy: float | None
    seconds: dict[str, float]


class Failure(Record, frozen=True, kw_only=True):
    """What last went wrong with a node, and whether it has answered since then.

    It has not answered from round `since` of the run to `round`, whose reason it is.
    """

    reason: str
    run: str
    round: int
    since: int
    mended: bool


class NodeStatus(Record, frozen=True, kw_only=True):
    """A node that may come, or came, or is `revoked`: kept out for good.

    `online` and `last_seen` are None where the server is away, the latter also where it never heard of it.
    `clients` are those of its key, or else those that it trained; `samples` are what each of its clients
    holds, `rounds` those of all runs that it answered, `failed` those in which it
    was asked and did not; one that is refused is asked nothing. The speed is of training alone,
    over its newest answers. `joules` are what its own sensors counted of the whole machine while it trained,
    by sensor; what is modelled is not among them. `refused` says why one that is there takes no part.
    """

    node: str
    revoked: bool
    online: bool | None
    last_seen: datetime | None
    seconds_ago: float | None
    clients: list[int]
    samples: dict[int, int]
    rounds: int
    failed: int
    samples_per_second: float | None
    joules: dict[str, float]
    refused: str | None
    refused_since: datetime | None
    last_failure: Failure | None


class Knocking(Record, frozen=True, kw_only=True):
    """A node that asks to be let in, by the code of its key, and when it last did; `name` is what it says."""

    code: str
    name: str
    address: str
    at: datetime
    seconds_ago: float


class Status(Record, frozen=True, kw_only=True):
    """All of it, at a moment; `server_away` says why the server does not answer, if it does not.

    `server_fix` says what mends that.

    "waiting" is a training that waits for nodes, "paused" one that goes on when the server does.
    `knocking` has the last one that asked first, and nobody where the server is away.
    """

    at: datetime
    server_away: str | None
    server_fix: str | None
    training: Training
    run: str | None
    runs: list[RunStatus]
    waiting_for: list[int]
    waiting: str
    nodes: list[NodeStatus]
    knocking: list[Knocking]
