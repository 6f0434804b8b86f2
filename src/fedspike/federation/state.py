"""What a server knows between two rounds, and its form in a checkpoint."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
from msgspec import Meta
from torch import Tensor

from fedspike.algorithms import LABELLED, Tree
from fedspike.errors import InputError
from fedspike.federation.clocks.clock import Seconds
from fedspike.federation.kept import Kept
from fedspike.federation.memories import Memories
from fedspike.networks import Parameters
from fedspike.part import demand_fit, within

# Names in `State.tensors`.
STORED = re.compile(r"(?:server|client/(\d{1,10})|past/(\d{1,10}))/([^/]+)/([^/]+)")
RoundNumber = Annotated[int, Meta(ge=0, lt=2**31)]
TREE = "groups of named tensors"
STATE_FIX = "pass on the state of a round, round.state"

__all__ = ["State"]  # what `import fedspike` gives


@dataclass(frozen=True)
class AtWork:
    """A client that was asked in a round, and still needs so much simulated time to answer.

    On real devices nobody knows how much; there it is 0.
    """

    round: int
    needs: float = 0.0


@dataclass(frozen=True)
class State:
    """All that the next round needs: the rounds done, the server's tensors, and what clients remember.

    `remembered` says of each client that remembers something after which round it does. What it is stands in
    `clients` where the place hands it over; what devices remember never leaves them.

    Where rounds do not wait for all, `at_work` are the clients whose answers are still to come, those that
    were asked first at the front, and `past[round]` is the server's part of the state with which that round
    began, for each in which one of them was asked. `members` is how many clients a fleet with open seats had;
    0 where there are none.

    `clock_s` is the simulated time that its rounds took, 0 where there is none.

    `losses` has the last loss of each client that trained, where the next round's clients are selected by it.
    """

    round: int
    server: Tree
    clients: Mapping[int, Tree] = field(default_factory=dict)
    remembered: Mapping[int, int] = field(default_factory=dict)
    at_work: Mapping[int, AtWork] = field(default_factory=dict)
    past: Mapping[int, Tree] = field(default_factory=dict)
    members: int = 0
    losses: Mapping[int, float] = field(default_factory=dict)
    clock_s: float = 0.0

    def __post_init__(self) -> None:
        within("State: round", self.round, RoundNumber)
        demand_fit("State: server", self.server, _tree(self.server), expected=TREE, fix=STATE_FIX)
        for name in ("clients", "past"):
            trees = getattr(self, name)
            # What rounds made is sound, and to look at all of it in each would take longer with each.
            sound = isinstance(trees, Mapping) and (
                isinstance(trees, Memories) or all(map(_tree, trees.values()))
            )
            demand_fit(f"State: {name}", trees, sound, expected=TREE, fix=STATE_FIX)
        if not isinstance(self.remembered, Kept):
            within("State: remembered", self.remembered, dict[int, int])
        within("State: at_work", self.at_work, dict[int, AtWork])
        within("State: members", self.members, RoundNumber)
        if not isinstance(self.losses, Kept):
            within("State: losses", self.losses, dict[int, float])
        within("State: clock_s", self.clock_s, Seconds)

    @property
    def model(self) -> Parameters:
        """The global model, no client axis; of competing neurons those that have been labelled."""
        return self.server.get(LABELLED, self.server["model"])

    @property
    def tested(self) -> Parameters:
        """The model and, of a normalised network, the running statistics that the server has pooled."""
        return self.model | self.server.get("statistics", {})

    def tensors(self) -> dict[str, Tensor]:
        """Everything under flat names: "server/model/hidden.weight", "client/3/control/hidden.weight".

        "remembered" has a row [client, round] for each client that remembers something, "at_work" one for
        each that is, "needs" the simulated time of each of these, and "past/7/model/hidden.weight" is of the
        state with which round 7 began. "members" is a number, and "losses" has a row [client, loss] for each
        client whose loss is known. "clock" is a number of seconds.
        """
        owners = {"server": self.server} | {f"client/{k}": tree for k, tree in self.clients.items()}
        owners |= {f"past/{round}": tree for round, tree in self.past.items()}
        flat = {
            f"{owner}/{group}/{name}": tensor
            for owner, tree in owners.items()
            for group, parameters in tree.items()
            for name, tensor in parameters.items()
        }
        if self.remembered:
            rows = [[client, round] for client, round in sorted(self.remembered.items())]
            flat["remembered"] = torch.tensor(rows)
        if self.at_work:
            # In this order: of two that need as long, who was asked first answers first.
            line = self.at_work.items()
            flat["at_work"] = torch.tensor([[client, work.round] for client, work in line])
            flat["needs"] = torch.tensor([work.needs for _, work in line], dtype=torch.float64)
        if self.members:
            flat["members"] = torch.tensor(self.members)
        if self.losses:
            flat["losses"] = torch.tensor(sorted(self.losses.items()), dtype=torch.float64)
        if self.clock_s:
            flat["clock"] = torch.tensor(self.clock_s, dtype=torch.float64)
        return flat

    @classmethod
    def from_tensors(cls, round: int, tensors: Mapping[str, Tensor]) -> "State":
        """The state whose `tensors()` these are. Raises InputError where they are no state's."""
        demand_fit(
            "tensors",
            tensors,
            isinstance(tensors, Mapping),
            expected="tensors by name",
            fix="pass what State.tensors() gave",
        )
        server: Tree = {}
        clients: dict[int, Tree] = {}
        past: dict[int, Tree] = {}
        rest = dict(tensors)
        remembered = dict(_rows(rest, "remembered"))
        line = _rows(rest, "at_work")
        needs = rest.pop("needs", torch.zeros(0, dtype=torch.float64))
        if needs.dtype != torch.float64 or needs.shape != (len(line),):
            raise _strange("needs", needs)
        members = rest.pop("members", torch.tensor(0))
        if members.dtype != torch.int64 or members.ndim:
            raise _strange("members", members)
        losses = rest.pop("losses", torch.zeros(0, 2, dtype=torch.float64))
        sound = losses.dtype == torch.float64 and losses.shape[1:] == (2,)
        if not (sound and losses.isfinite().all() and losses[:, 0].frac().eq(0).all()):
            raise _strange("losses", losses)
        clock = rest.pop("clock", torch.tensor(0.0, dtype=torch.float64))
        if clock.dtype != torch.float64 or clock.ndim:
            raise _strange("clock", clock)
        for path, tensor in rest.items():
            if (parts := STORED.fullmatch(path)) is None:
                raise _strange(path, tensor)
            client, before, group, name = parts.groups()
            tree = server
            if client is not None:
                tree = clients.setdefault(int(client), {})
            elif before is not None:
                tree = past.setdefault(int(before), {})
            tree.setdefault(group, {})[name] = tensor
        at_work = {
            client: AtWork(asked, need)
            for (client, asked), need in zip(line, needs.tolist(), strict=True)
        }
        last = {int(client): loss for client, loss in losses.tolist()}
        return cls(
            round, server, clients, remembered, at_work, past, int(members), last, float(clock)
        )

    def fault(self, clients: int) -> str:
        """What is wrong between its parts, in a fleet of so many clients; empty if nothing is."""
        numbers = {*self.clients, *self.remembered, *self.at_work, *self.losses}
        if not numbers <= set(range(clients)):
            return f"it has others than the {clients} clients"
        if not all(1 <= after <= self.round for after in self.remembered.values()):
            return f"a client remembers a round that is none of 1 to {self.round}"
        asked = {work.round for work in self.at_work.values()}
        if not all(1 <= before <= self.round for before in asked):
            return f"a client is at work since a round that is none of 1 to {self.round}"
        if asked != self.past.keys():
            return "the rounds in which clients were asked, and those that it knows of, differ"
        if not all(0 <= work.needs < math.inf for work in self.at_work.values()):
            return "a client needs a time to answer that is none"
        if not all(map(math.isfinite, self.losses.values())):
            return "a client's loss is no number"
        return ""


def _rows(tensors: dict[str, Tensor], name: str) -> list[tuple[int, int]]:
    """The pairs under a name, which is taken out."""
    tensor = tensors.pop(name, torch.zeros(0, 2, dtype=torch.int64))
    if tensor.dtype != torch.int64 or tensor.shape[1:] != (2,):
        raise _strange(name, tensor)
    return [(first, second) for first, second in tensor.tolist()]


def _strange(path: str, tensor: Tensor) -> InputError:
    return InputError(
        f"a tensor {path} of {[*tensor.shape]} numbers in a state",
        expected="the server's and the clients' tensors",
        fix="give the tensors of State.tensors()",
    )


def _tree(value: Any) -> bool:
    """Whether it is groups of named tensors."""
    return isinstance(value, Mapping) and all(
        isinstance(group, Mapping) and all(isinstance(one, Tensor) for one in group.values())
        for group in value.values()
    )
