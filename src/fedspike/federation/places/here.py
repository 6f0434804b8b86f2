"""The place of a simulation: this process."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter

from fedspike.algorithms import Tree
from fedspike.algorithms.trees import count_bytes
from fedspike.energy.counts import DONE, count, entries
from fedspike.errors import InputError
from fedspike.federation.clocks.clock import Effort, Spent
from fedspike.federation.cohort import Work, train_cohort
from fedspike.federation.guard import is_sound
from fedspike.federation.order import Answers, Order, Reply
from fedspike.federation.packing import unpacked
from fedspike.randomness import stream

__all__ = ["Here"]  # what `import fedspike` gives


Tasks = Sequence[tuple[Order, Sequence[int]]]
"""Clients to be trained, with the order that each was asked by."""


def train(tasks: Tasks) -> Work:
    """What these clients do."""
    work = Work()
    for asked, own in tasks:
        work.add(train_cohort(asked.site, own, asked.received, asked.memories, asked.round))
    return work


@dataclass(frozen=True)
class Here:
    """Clients are trained in this process; who drops out is drawn, and who answers first is reckoned.

    `arrivals(order)` may say instead whose answers end the round, the first one first, as they did on real
    devices: the training is the same then. `train` may do the work elsewhere.
    """

    arrivals: Callable[[Order], Sequence[int]] | None = None
    train: Callable[[Tasks], Work] = train

    def work(self, order: Order) -> Answers:
        """Train the clients that do not drop out; where the server goes on without all, those that answer.

        A client is trained when its answer comes, from what it received when it was asked. An answer that the
        guard will refuse is none of those that are enough. With a clock all that were asked are trained now,
        to know how long they take, and who answers in a later round once more.
        """
        began = perf_counter()
        _demand_samples(order)
        work = Work()
        spent = self._tried(order, work)
        time = _time(order) | {client: own.total_s for client, own in spent.items()}
        line = list(self.arrivals(order)) if self.arrivals else sorted(time, key=time.__getitem__)
        replies, sound = list[Reply](), 0
        while line:
            wanted = order.enough if order.goes_on and not self.arrivals else None
            next_ones = line if wanted is None else line[: wanted - sound]
            line = line[len(next_ones) :]
            came = self._replies(order, next_ones, work, time)
            replies += came
            if wanted is not None:
                sound += sum(map(partial(_is_sound, order), came))
                if sound >= wanted:
                    break
        answered = [reply.sender for reply in replies]
        work.keep(answered)
        now = max((time.get(client, 0.0) for client in answered), default=0.0)
        received = {client: tree for asked in order.all for client, tree in asked.received.items()}
        fleet, algorithm = order.site.devices.fleet, order.site.algorithm

        def carried(sent: Mapping[int, Tree]) -> list[tuple[int, int]]:
            return [
                algorithm.carried(k, sent, count_bytes(received[k]), count_bytes(tree))
                for k, tree in sent.items()
            ]

        traffic = carried(work.replies)
        return Answers(
            hosts={client: (client,) for client in order.clients if client in work.replies},
            replies=replies,
            activity=work.activity,
            losses=work.losses,
            seconds={"training": perf_counter() - began},
            uplink_bytes=sum(up for _, up in traffic),
            unpacked_bytes=sum(up for _, up in carried({r.sender: r.tree for r in replies})),
            downlink_bytes=sum(down for down, _ in traffic),
            memories=work.memories,
            deadline_s=fleet.deadline_s or math.inf,
            at_work={k: max(0.0, time[k] - now) for k in time if k not in work.replies},
            spent=_spent(order, answered, work),
            duration_s=_duration(order, replies, now) if fleet.clock.runs else None,
        )

    def _tried(self, order: Order, work: Work) -> dict[int, Spent]:
        """What the clients that were asked now will take, where a clock runs: it hangs on what they do."""
        if not order.site.devices.fleet.clock.runs:
            return {}
        clients = [client for client in _time(order) if client not in order.needs]
        self._train(order, clients, work)
        return _spent(order, clients, work)

    def _train(self, order: Order, clients: Collection[int], work: Work) -> None:
        """Train those of the clients that have not been yet; what they did is added to the `work`."""
        tasks = [
            (asked, [k for k in asked.samples if k in clients and k not in work.replies])
            for asked in order.all
        ]
        work.add(self.train(tasks))

    def _replies(
        self, order: Order, clients: Sequence[int], work: Work, time: Mapping[int, float]
    ) -> list[Reply]:
        """What these clients answer; what they did for it is added to the `work`."""
        self._train(order, clients, work)
        replies = {}
        for asked in order.all:
            for client in (client for client in asked.samples if client in clients):
                samples = {client: asked.samples[client]}
                tree = unpacked(asked, samples, work.replies[client])
                seconds = 0.0 if order.goes_on else time.get(client, 0.0)
                replies[client] = Reply(client, asked.round, samples, tree, seconds)
        return [replies[client] for client in clients]


def _is_sound(order: Order, reply: Reply) -> bool:
    return is_sound(order, {reply.sender: [reply.sender]}, reply)


def _spent(order: Order, clients: Collection[int], work: Work) -> dict[int, Spent]:
    """The simulated seconds of clients that were trained; none without a clock."""
    site, devices = order.site, order.site.devices
    if not devices.fleet.clock.runs:
        return {}
    spent = {}
    for asked in order.all:
        for client in (client for client in asked.samples if client in clients):
            counts = count(site.operations.of(client), work.activity[client])
            received, sent = count_bytes(asked.received[client]), count_bytes(work.replies[client])
            effort = Effort(
                sum(number for _, _, kind, number in entries(counts) if kind in DONE),
                *site.algorithm.carried(client, clients, received, sent),
                devices.slowness(site.seed, client),
                devices.radio_slowness(site.seed, client),
            )
            chance = stream(site.seed, "straggling", asked.round, client)
            spent[client] = devices.fleet.clock.spent(effort, chance)
    return spent


def _duration(order: Order, replies: Sequence[Reply], now: float) -> float:
    """How long the server waited: for enough good answers, else until the deadline, else for all.

    Where nobody was there to be asked, it waited until it asks again.
    """
    if not any(asked.samples for asked in order.all):
        return order.site.devices.fleet.availability.wait_s
    if order.goes_on:
        return now
    deadline_s = order.site.devices.fleet.deadline_s or math.inf
    wanted = len(order.samples) if order.enough is None else order.enough
    good = [r.seconds for r in replies if r.seconds <= deadline_s and _is_sound(order, r)]
    if len(good) >= wanted > 0:
        return sorted(good)[wanted - 1]
    return min(deadline_s, now) if math.isinf(deadline_s) or not order.samples else deadline_s


def _time(order: Order) -> dict[int, float]:
    """The clients that will answer, and the simulated time that each takes if that decides who is first."""
    site, decides = order.site, order.enough is not None
    devices, epochs = site.devices, site.learner.epochs
    return dict(order.needs) | {
        client: devices.training_time(site.seed, client, epochs) if decides else 0.0
        for client in order.samples
        if not devices.drops_out(site.seed, order.round, client)
    }


def _demand_samples(order: Order) -> None:
    """Raise InputError where a client holds a sample that the data set does not have."""
    devices = order.site.devices
    last = devices.shards.highest
    if last >= len(order.site.samples[1]):
        raise InputError(
            f"a fleet that holds sample number {last} of a data set of {len(order.site.samples[1])} samples",
            expected="shards made from this data set's labels",
            fix="make the partition again from dataset.y_train",
        )
