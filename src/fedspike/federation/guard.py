"""What a server accepts from a client, and why not.

Nothing that comes back is trusted: a reply is held against what was asked (`Order`) and either becomes a row
of the stacked replies that an algorithm averages, or a `Rejection` with its reason. What is rejected touches
nothing: the next model is, bit for bit, the one that would be had the sender been silent.

    order -> who was asked, in which round, for what        replies -> judge -> verdict -> algorithm.aggregate

Checks, in this order: sender, round, deadline, weight, first of its sender, names, shapes, types, numbers. A
number is refused beyond the square root of its type's largest, about 1.8e19 in float32: servers square
updates (FedAdam, pooled variances), and what overflows there is as bad as an infinity that was sent. A guard
knows nothing of lies in plausible numbers; that is for robust aggregation.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Int64
from torch import Tensor

from fedspike.algorithms import Tree
from fedspike.algorithms.trees import stack
from fedspike.errors import InputError

Reason = Literal[
    "not asked",
    "wrong round",
    "too late",
    "wrong weight",
    "duplicate",
    "wrong names",
    "wrong shape",
    "wrong type",
    "not finite",
    "too large",
]
Fault = tuple[Reason, str]
"""Why a reply is rejected, and in words what was found and expected."""
LONGEST_NAME = 40  # characters of a foreign name that are repeated


@dataclass(frozen=True)
class Order:
    """What a server asked for in a round.

    `asked[sender][client]` is the most samples that the client declared to train on in a round. A device is
    the sender of its own client; a node that hosts many clients is one sender, whose reply is their
    weighted mean. `form` is what a reply looks like (`algorithms.reply_form`), no client axis. Below
    `quorum`, the share of the asked clients that must be accepted, the round is skipped; it is always
    skipped where nobody is. A reply more than `deadline_s` after the order is too late.
    """

    round: int
    asked: Mapping[int, Mapping[int, int]]
    form: Tree
    quorum: float = 0.0
    deadline_s: float = math.inf

    def __post_init__(self) -> None:
        check_quorum(self.quorum)
        if not self.deadline_s > 0:
            raise InputError(
                f"deadline_s = {self.deadline_s}",
                expected="a number of seconds > 0",
                fix="leave it out to wait for as long as it takes",
            )

    @property
    def clients(self) -> tuple[int, ...]:
        """All clients that were asked, in the order of their senders."""
        return tuple(client for hosted in self.asked.values() for client in hosted)


@dataclass(frozen=True)
class Reply:
    """What came back. All but the sender, whom the transport knows, and our clock is the sender's word.

    `samples[client]` are the samples that each of the sender's clients trained on: whole numbers, from 1 to
    what was declared; a node leaves out a client that did not train. `seconds` passed since the order.
    """

    sender: int
    round: Any
    samples: Any
    tree: Any
    seconds: float = 0.0


@dataclass(frozen=True)
class Rejection:
    """A reply that was not accepted."""

    sender: int
    reason: Reason
    detail: str


@dataclass(frozen=True)
class Verdict:
    """The replies that may touch the model, stacked in the order that was asked, and all others.

    `weights` are their numbers of samples and `clients` those who took part in them; `missing` are those
    asked whose answer was neither accepted nor rejected. If `skipped`, the model stays as it is.

        if not verdict.skipped:
            share = len(verdict.clients) / clients_in_the_fleet
            server = algorithm.aggregate(server, verdict.replies, verdict.weights, share)
    """

    replies: Tree
    weights: Int64[Tensor, " reply"]
    clients: tuple[int, ...]
    rejections: tuple[Rejection, ...]
    missing: tuple[int, ...]
    skipped: bool


def judge(order: Order, replies: Iterable[Reply]) -> Verdict:
    """Hold replies, each a tree of its own, against the order; the first good one of a sender counts.

    >>> order = Order(4, asked={7: {7: 200}}, form={"update": {"w": torch.zeros(2)}})
    >>> good = Reply(7, 4, {7: 200}, {"update": {"w": torch.ones(2)}})
    >>> bad = Reply(7, 4, {7: 200}, {"update": {"w": torch.tensor([1.0, torch.nan])}})
    >>> verdict = judge(order, [bad, good, good])
    >>> verdict.clients, [rejection.reason for rejection in verdict.rejections]
    ((7,), ['not finite', 'duplicate'])
    """
    accepted: dict[int, Reply] = {}
    rejections = []
    for reply in replies:
        fault = claim_fault(order, reply)
        if fault is None and reply.sender in accepted:
            fault = "duplicate", f"another answer in round {order.round}"
        fault = fault or form_fault(order.form, reply.tree)
        if fault is None:
            fault = number_faults(_alone(reply.tree)).get(0)
        if fault is None:
            accepted[reply.sender] = reply
        else:
            rejections.append(Rejection(reply.sender, *fault))
    kept = [accepted[sender] for sender in order.asked if sender in accepted]
    stacked = stack([reply.tree for reply in kept]) if kept else {}
    return _verdict(order, stacked, kept, rejections)


def judge_stacked(
    order: Order, clients: Sequence[int], samples: Sequence[int], replies: Tree
) -> Verdict:
    """The same for clients whose replies come as one tree with a client axis, each its own sender.

    They come in the order that was asked. Where all are accepted, the tree is passed on as it is.
    """
    claims = [
        Reply(client, order.round, {client: count}, None)
        for client, count in zip(clients, samples, strict=True)
    ]
    fault = form_fault(order.form, _row(replies)) if claims else None
    faults = number_faults(replies) if fault is None else {}
    for row, claim in enumerate(claims):
        if (wrong := claim_fault(order, claim) or fault) is not None:
            faults[row] = wrong
    rejections = [Rejection(clients[row], *faults[row]) for row in sorted(faults)]
    kept = [row for row in range(len(claims)) if row not in faults]
    if faults:
        replies = {
            group: {name: tensor[kept] for name, tensor in tensors.items()}
            for group, tensors in replies.items()
        }
    return _verdict(order, replies, [claims[row] for row in kept], rejections)


def claim_fault(order: Order, reply: Reply) -> Fault | None:
    """What is wrong with a reply before its tree is looked at."""
    hosted, samples = order.asked.get(reply.sender), reply.samples
    if hosted is None:
        return "not asked", f"sender {reply.sender} has no part in round {order.round}"
    if type(reply.round) is not int or reply.round != order.round:
        return "wrong round", f"an answer to round {_shown(reply.round)}, not to {order.round}"
    if not reply.seconds <= order.deadline_s:
        return "too late", f"after {reply.seconds:.6g} s, the deadline was {order.deadline_s:.6g} s"
    if not isinstance(samples, Mapping) or not samples:
        return "wrong weight", "no number of samples for any client"
    for client, count in samples.items():
        if type(client) is not int or client not in hosted:
            return "not asked", f"client {_shown(client)} is none of sender {reply.sender}'s"
        if type(count) is not int or not 1 <= count <= hosted[client]:
            most = f"a whole number from 1 to {hosted[client]}"
            return "wrong weight", f"{_shown(count)} samples of client {client}, not {most}"
    return None


def form_fault(form: Tree, tree: Any) -> Fault | None:
    """What is wrong with the names, shapes or types of a tree without client axis."""
    if fault := _names_fault("groups", form, tree):
        return fault
    for group, expected in form.items():
        if fault := _names_fault(group, expected, tree[group]):
            return fault
        for name, wanted in expected.items():
            tensor, place = tree[group][name], f"{group} {name}"
            if not isinstance(tensor, Tensor):
                return "wrong type", f"{place} is of type {type(tensor).__name__}, not a tensor"
            if tensor.shape != wanted.shape:
                return "wrong shape", f"{place} is {[*tensor.shape]}, not {[*wanted.shape]}"
            if tensor.dtype != wanted.dtype or tensor.layout != torch.strided or tensor.is_meta:
                found = f"{tensor.dtype} ({tensor.layout}, {tensor.device.type})"
                return "wrong type", f"{place} is {found}, not dense numbers of {wanted.dtype}"
    return None


def number_faults(stacked: Tree) -> dict[int, Fault]:
    """row -> what is wrong with the numbers of that client, for the rows with which something is."""
    faults: dict[int, Fault] = {}
    for group, tensors in stacked.items():
        for name, tensor in tensors.items():
            if not (tensor.is_floating_point() and tensor.numel()):
                continue
            every = tensor.detach().reshape(-1)
            if math.isfinite(torch.dot(every, every)):
                continue  # one pass: where a sum of squares is finite, so is each of them
            limit = math.sqrt(torch.finfo(tensor.dtype).max)
            largest = every.reshape(len(tensor), -1).abs().amax(1)  # nan where one is
            for row in torch.nonzero(~(largest <= limit)).flatten().tolist():
                value = float(largest[row])
                found: Fault = ("not finite", f"{group} {name} has a value {value}")
                if math.isfinite(value):
                    words = f"{group} {name} reaches {value:.2g}, at most {limit:.2g} is allowed"
                    found = ("too large", words)
                faults.setdefault(row, found)
    return faults


def check_quorum(quorum: float) -> None:
    """Raise InputError where it is no share."""
    if not 0 <= quorum <= 1:
        raise InputError(
            f"quorum = {quorum}",
            expected="the share of a round's clients that must be accepted, from 0 to 1",
            fix="set quorum = 0.5, or leave it out to go on with whoever answers",
        )


def _verdict(
    order: Order, replies: Tree, kept: Sequence[Reply], rejections: list[Rejection]
) -> Verdict:
    accepted = tuple(client for reply in kept for client in reply.samples)
    silenced = {r.sender for r in rejections} - {reply.sender for reply in kept}
    heard = {client for sender in silenced for client in order.asked.get(sender, ())}
    asked, took_part = order.clients, set(accepted)
    return Verdict(
        replies=replies,
        weights=torch.tensor([sum(reply.samples.values()) for reply in kept], dtype=torch.int64),
        clients=accepted,
        rejections=tuple(rejections),
        missing=tuple(client for client in asked if client not in took_part | heard),
        # Both sides are rounded once, so that 7 of 10 clients are a quorum of 0.7.
        skipped=not accepted or len(accepted) / len(asked) < order.quorum,
    )


def _names_fault(what: str, expected: Mapping[str, object], found: Any) -> Fault | None:
    if not isinstance(found, Mapping):
        return "wrong names", f"{what}: of type {type(found).__name__}, not names with tensors"
    if found.keys() == expected.keys():
        return None
    missing = [name for name in expected if name not in found]
    extra = [_shown(name) for name in found if name not in expected]
    words = [f"without {', '.join(missing)}"] if missing else []
    words += [f"{len(extra)} unknown, such as {extra[0]}"] if extra else []
    return "wrong names", f"{what}: {' and '.join(words)}"


def _row(stacked: Tree) -> Tree:
    """What the first client's tree looks like."""
    return {
        group: {name: tensor[0] for name, tensor in tensors.items()}
        for group, tensors in stacked.items()
    }


def _alone(tree: Tree) -> Tree:
    """The tree of one client with a client axis, the same memory."""
    return {
        group: {name: tensor.unsqueeze(0) for name, tensor in tensors.items()}
        for group, tensors in tree.items()
    }


def _shown(foreign: object) -> str:
    """A sender's own words, cut where they are long."""
    text = repr(foreign)
    return text if len(text) <= LONGEST_NAME else f"{text[:LONGEST_NAME]}..."
