"""What a server accepts from a client, and why not.

Nothing that comes back is trusted: a reply is held against what was asked (`Order`) and either becomes a row
of those that the algorithm's rules join, or a `Rejection` with its reason. What is rejected touches
nothing: the next model is, bit for bit, the one that would be had the sender been silent.

    order -> who was asked, in which round, for what      replies -> judge -> joined -> algorithm.next_state

Checks, in this order: sender, what its place found, round, deadline, weight, first of its sender, names,
shapes, types, numbers, enough others. A number is refused beyond the square root of its type's largest, about
1.8e19 in float32: servers square updates (FedAdam, pooled variances), and what overflows there is as bad as
an infinity that was sent. A guard knows nothing of lies in plausible numbers; that is for a robust rule.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal

import torch
from torch import Tensor

from fedspike import rules
from fedspike.algorithms import Tree
from fedspike.federation.order import Answers, Order, Reply
from fedspike.networks import Parameters

Reason = Literal[
    "not asked",
    "not readable",
    "wrong round",
    "too late",
    "not needed",
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
class Rejection:
    """A reply that was not accepted."""

    sender: int
    reason: Reason
    detail: str


@dataclass(frozen=True)
class Verdict:
    """The replies that may touch the model, in the order in which their senders were asked, and all others.

    `clients` are those who took part in the accepted replies; `missing` are those asked whose answer was
    neither accepted nor rejected, and is not to come. If `skipped`, the model stays as it is. `staleness`
    says how many rounds ago a client received its model, where that was not in this round.
    """

    accepted: tuple[Reply, ...]
    clients: tuple[int, ...]
    rejections: tuple[Rejection, ...]
    missing: tuple[int, ...]
    skipped: bool
    staleness: Mapping[int, int]


def judge(order: Order, answers: Answers) -> Verdict:
    """Hold replies, each a tree of its own, against the order; the first good one of a sender counts."""
    accepted: dict[tuple[int, int], Reply] = {}  # by round and sender
    rejections, came = [], 0
    for reply in answers.replies:
        fault = claim_fault(order, answers.hosts, reply, answers.deadline_s)
        if fault is None and (reply.round, reply.sender) in accepted:
            fault = "duplicate", f"another answer in round {order.round}"
        fault = fault or tree_fault(order, reply) or _surplus(order, came)
        if fault is None:
            accepted[reply.round, reply.sender] = reply
            came += len(reply.samples)
        else:
            rejections.append(Rejection(reply.sender, *fault))
    senders = [(asked.round, sender) for asked in order.all for sender in answers.hosts]
    kept = tuple(accepted[sender] for sender in senders if sender in accepted)
    clients = tuple(client for reply in kept for client in reply.samples)
    silenced = {rejection.sender for rejection in rejections} - {sender for _, sender in accepted}
    heard = {client for sender in silenced for client in answers.hosts.get(sender, ())}
    asked, took_part = order.clients, set(clients)
    told_of = took_part | heard | answers.at_work.keys()
    wanted = len(asked) if order.enough is None else order.enough
    return Verdict(
        accepted=kept,
        clients=clients,
        rejections=tuple(rejections),
        missing=tuple(client for client in asked if client not in told_of),
        # Both sides are rounded once, so that 7 of 10 clients are a quorum of 0.7.
        skipped=not clients or len(clients) / wanted < order.plan.fleet.quorum,
        staleness={
            client: order.round - reply.round
            for reply in kept
            for client in reply.samples
            if reply.round < order.round
        },
    )


def joined(order: Order, accepted: Sequence[Reply]) -> Tree:
    """Each group of the accepted replies, joined by its rule, in the types that were ordered.

    They come in the order of their clients' numbers, whoever hosts whom: for rules that look at one by one.
    """
    form = _asked(order, accepted[0]).forms[next(iter(accepted[0].samples))]
    tree = {}
    for group, rule in order.rules.items():
        rows = [row for reply in accepted for row in _rows(order, rule, group, reply)]
        if order.goes_on:
            rows = _aged(order, rule, group, rows)
        rows.sort(key=lambda row: row.clients)
        tree[group] = rules.joined(
            rule,
            [row.tensors for row in rows],
            torch.tensor([row.samples for row in rows]),
            torch.tensor([len(row.clients) for row in rows]),
            form[group],
            [row.clients[0] for row in rows],
            [row.is_sum for row in rows],
        )
    return tree


@dataclass(frozen=True)
class _Row:
    """What came of one group from some clients of a sender, all in one form: of one, or sums of several."""

    clients: list[int]
    samples: int
    tensors: Parameters
    is_sum: bool
    staleness: int


def _rows(order: Order, rule: rules.Rule, group: str, reply: Reply) -> list[_Row]:
    forms, samples = _asked(order, reply).forms, reply.samples
    return [
        _Row(
            sorted(heap),
            sum(samples[k] for k in heap),
            reply.tree[name],
            rule.partial and len(samples) > 1,
            order.round - reply.round,
        )
        for name, heap in rules.heaps(rule, group, {k: forms[k][group] for k in samples}).items()
    ]


def _aged(order: Order, rule: rules.Rule, group: str, rows: Sequence[_Row]) -> list[_Row]:
    """The rows as old as they are.

    What may be summed first is: then it is a sum of the same clients that is multiplied and rounded, whoever
    hosts whom.
    """
    aged = order.site.algorithm.aged
    if not rule.partial:
        return [replace(row, tensors=aged(group, row.tensors, row.staleness)) for row in rows]
    alike: dict[object, list[_Row]] = {}
    for row in rows:
        shapes = [(n, t.shape[row.is_sum :]) for n, t in sorted(row.tensors.items())]
        alike.setdefault((row.staleness, *shapes), []).append(row)
    whole = []
    for some in alike.values():
        samples = torch.tensor([row.samples for row in some])
        clients = torch.tensor([len(row.clients) for row in some])
        trees, sums = [row.tensors for row in some], [row.is_sum for row in some]
        parts = rule.summed(rules.Replies(trees, samples, clients, sums=sums))
        sum_of = {n: rules.exact_mean([*t], [1] * len(t), over=1) for n, t in parts.items()}
        tensors = aged(group, sum_of, some[0].staleness)
        of = sorted(client for row in some for client in row.clients)
        tensors = {name: tensor.unsqueeze(0) for name, tensor in tensors.items()}
        whole.append(_Row(of, int(samples.sum()), tensors, is_sum=True, staleness=0))
    return whole


def is_sound(order: Order, hosts: Mapping[int, Sequence[int]], reply: Reply) -> bool:
    """Whether nothing is wrong with a reply in itself, whatever else came."""
    return not (claim_fault(order, hosts, reply) or tree_fault(order, reply))


def claim_fault(
    order: Order,
    hosts: Mapping[int, Sequence[int]],
    reply: Reply,
    deadline_s: float = math.inf,
) -> Fault | None:
    """What is wrong with a reply before its tree is looked at."""
    hosted, samples = hosts.get(reply.sender), reply.samples
    if hosted is None:
        return "not asked", f"sender {reply.sender} has no part in round {order.round}"
    if reply.fault:
        return reply.fault
    if (asked := order.of_round(reply.round)) is None:
        return "wrong round", f"an answer to round {_shown(reply.round)}, not to {order.round}"
    if not reply.seconds <= deadline_s:
        late = f"after {reply.seconds:.6g} s, the deadline was {deadline_s:.6g} s"
        return "too late", late
    if not isinstance(samples, Mapping) or not samples:
        return "wrong weight", "no number of samples for any client"
    for client, count in samples.items():
        if type(client) is not int or client not in hosted or client not in asked.samples:
            return "not asked", f"client {_shown(client)} is none of sender {reply.sender}'s"
        if type(count) is not int or not 1 <= count <= asked.samples[client]:
            most = f"a whole number from 1 to {asked.samples[client]}"
            return "wrong weight", f"{_shown(count)} samples of client {client}, not {most}"
    return None


def tree_fault(order: Order, reply: Reply) -> Fault | None:
    """What is wrong with a reply's tree, whose claims are right."""
    asked = _asked(order, reply)
    form: Tree = {}
    limits: Tree = {}
    sums: dict[str, int] = {}
    for group, rule in order.rules.items():
        heaps = rules.heaps(rule, group, {k: asked.forms[k][group] for k in reply.samples})
        for name, heap in heaps.items():
            form[name] = limits[name] = asked.forms[heap[0]][group]
            if rule.partial and len(reply.samples) > 1:
                form[name] = _sums_like(limits[name], reply.tree, name)
                held = torch.tensor(sum(reply.samples[k] for k in heap))
                sums[name] = int(rule.weights(held, torch.tensor(len(heap))))
    return form_fault(form, reply.tree) or number_fault(limits, reply.tree, sums)


def _sums_like(like: Parameters, tree: Any, group: str) -> Parameters:
    """What sums of such tensors look like, of as many parts as came, where that is a number of parts."""
    sums = {}
    for name, tensor in like.items():
        came = tree.get(group) if isinstance(tree, Mapping) else None
        came = came.get(name) if isinstance(came, Mapping) else None
        parts = len(came) if isinstance(came, Tensor) and came.ndim else 1
        parts = parts if 1 <= parts <= rules.MOST_PARTS else 1
        sums[name] = tensor.double().expand(parts, *tensor.shape)
    return sums


def _asked(order: Order, reply: Reply) -> Order:
    """The order that a reply answers, whose claims are right."""
    asked = order.of_round(reply.round)
    assert asked is not None  # claim_fault saw to it
    return asked


def _surplus(order: Order, came: int) -> Fault | None:
    """Whether a good reply came when enough clients' had come, in a round that ends with these."""
    if order.goes_on or order.enough is None or came < order.enough:
        return None
    return "not needed", f"the answers of {came} clients had come, and {order.enough} are enough"


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
                actual = f"{tensor.dtype} ({tensor.layout}, {tensor.device})"
                return "wrong type", f"{place} is {actual}, not dense numbers of {wanted.dtype}"
    return None


def number_fault(
    form: Tree, tree: Tree, sums: Mapping[str, int] = MappingProxyType({})
) -> Fault | None:
    """What is wrong with the numbers of a tree; the limit is that of the type that was ordered.

    A group of `sums` in parts counts so many times, and may be as many times as large: each part, and all of
    them together.
    """
    for group, tensors in tree.items():
        for name, tensor in tensors.items():
            if not (tensor.is_floating_point() and tensor.numel()):
                continue
            most = torch.finfo(form[group][name].dtype).max
            for numbers in (tensor, tensor.sum(0)) if group in sums else (tensor,):
                every = numbers.detach().reshape(-1)
                if float(torch.dot(every, every)) <= most:
                    continue  # one pass: where a sum of squares is no larger, none of them is
                largest = float(every.abs().max())  # nan where one is
                if not math.isfinite(largest):
                    return "not finite", f"{group} {name} has a value {largest}"
                if largest > (limit := math.sqrt(most) * sums.get(group, 1)):
                    words = f"{group} {name} reaches {largest:.2g}, at most {limit:.2g} is allowed"
                    return "too large", words
    return None


def _names_fault(what: str, expected: Mapping[str, object], actual: Any) -> Fault | None:
    if not isinstance(actual, Mapping):
        return "wrong names", f"{what}: of type {type(actual).__name__}, not names with tensors"
    if actual.keys() == expected.keys():
        return None
    missing = [name for name in expected if name not in actual]
    extra = [_shown(name) for name in actual if name not in expected]
    words = [f"without {', '.join(missing)}"] if missing else []
    words += [f"{len(extra)} unknown, such as {extra[0]}"] if extra else []
    return "wrong names", f"{what}: {' and '.join(words)}"


def _shown(foreign: object) -> str:
    """A sender's own words, cut where they are long."""
    text = repr(foreign)
    return text if len(text) <= LONGEST_NAME else f"{text[:LONGEST_NAME]}..."
