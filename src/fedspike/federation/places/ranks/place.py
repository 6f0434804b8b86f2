"""The place of a simulation in several processes: each trains a part of the cohort.

Every process goes through the same rounds and has the same state after each. What the clients of the others
did, it is told, as bytes. So the result is, bit for bit, that of one process.
"""

import operator
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import NamedTuple

import msgspec
import torch
from jaxtyping import Int64
from torch import Tensor

from fedspike.errors import InputError
from fedspike.federation.cohort import Samples, Site, Work
from fedspike.federation.evaluation import Examined, in_batches, predict
from fedspike.federation.order import Answers, Order
from fedspike.federation.places.here import Here, Tasks, train
from fedspike.federation.places.ranks.process_group import OneProcess, ProcessGroup
from fedspike.federation.places.ranks.work_bytes import from_bytes, in_order, to_bytes
from fedspike.federation.tensor_bytes import pack, unpack
from fedspike.layers.activity import Activity

HASH_BYTES = 4


class _Dealt(NamedTuple):
    """A client, by whom it was asked, and what it costs to train it, about."""

    order: Order
    client: int
    cost: float


@dataclass(frozen=True)
class Ranks:
    """Clients are trained, and models tested, in the processes of a group, here those that are this one's.

    All of them must go through the same rounds of the same plan.
    """

    group: ProcessGroup = field(default_factory=OneProcess)

    @property
    def rank(self) -> int:
        """The number of this process among them, from 0."""
        return self.group.rank

    def work(self, order: Order) -> Answers:
        """As `Here`, with what the other processes trained."""
        return (Here(train=self._trained) if self.group.size > 1 else Here()).work(order)

    def predict(
        self, models: Sequence[Examined], samples: Samples, seed: int, round: int
    ) -> tuple[Int64[Tensor, " sample"], Activity]:
        """As `evaluation.predict`, batches being dealt out."""
        if self.group.size == 1:
            return predict(models, samples, seed, round)
        batches, size = in_batches(models, samples), self.group.size

        def say() -> bytes:
            own = batches[self.group.rank :: size]
            predicted, activity = predict(own, samples, seed, round)
            classes = [predicted[batch.positions.to(predicted.device)] for batch in own]
            there = torch.cat(classes).cpu() if classes else torch.zeros(0, dtype=torch.int64)
            return msgspec.json.encode(activity) + b"\n" + pack({"predicted": there})

        predicted, activities = torch.full_like(samples[1], -1), []
        for rank, content in enumerate(self.group.together(say)):
            line, _, packed = content.partition(b"\n")
            activities.append(msgspec.json.decode(line, type=Activity))
            positions = [batch.positions for batch in batches[rank::size]]
            if positions:
                there = unpack(packed, f"what rank {rank} predicted", "start all of them again")
                classes = there["predicted"].to(predicted.device)
                predicted[torch.cat(positions).to(predicted.device)] = classes
        return predicted, reduce(operator.add, activities)

    def _trained(self, tasks: Tasks) -> Work:
        """The work of all; this process trains what is dealt to it."""
        dealt = deal(tasks, self.group.size)[self.group.rank]
        own = [Work()]

        def say() -> bytes:
            own[0] = train(dealt)
            return _hash(tasks) + to_bytes(own[0])

        told = self.group.together(say)
        _demand_same([content[:HASH_BYTES] for content in told])
        works = [
            own[0] if rank == self.group.rank else from_bytes(content[HASH_BYTES:])
            for rank, content in enumerate(told)
        ]
        return in_order(works, [client for _, clients in tasks for client in clients])


def deal(tasks: Tasks, size: int) -> list[list[tuple[Order, list[int]]]]:
    """What each of so many processes trains: the most costly client goes to whoever has least to do."""
    clients = [
        _Dealt(order, client, _cost(order.site, client)) for order, own in tasks for client in own
    ]
    loads = [0.0] * size
    dealt: list[set[tuple[int, int]]] = [set() for _ in range(size)]
    for one in sorted(clients, key=lambda one: -one.cost):
        least = loads.index(min(loads))
        loads[least] += one.cost
        dealt[least].add((one.order.round, one.client))
    return [
        [(order, [k for k in own if (order.round, k) in mine]) for order, own in tasks]
        for mine in dealt
    ]


def _cost(site: Site, client: int) -> float:
    """Of training a client, in no unit: its samples, each at each time step through each parameter."""
    network = site.network_of(client)
    return (
        float(site.devices.samples(client))
        * (network.time_steps or 1)
        * network.architecture.parameters
    )


def _hash(tasks: Tasks) -> bytes:
    """Of what the first client received, which is made of all that came before."""
    for order, clients in reversed(tasks):
        for client in clients[:1]:
            hash = 0
            for tensors in order.received[client].values():
                for tensor in tensors.values():
                    hash = zlib.crc32(
                        tensor.contiguous().view(-1).view(torch.uint8).numpy().data, hash
                    )
            return hash.to_bytes(HASH_BYTES, "little")
    return bytes(HASH_BYTES)


def _demand_same(hashes: Sequence[bytes]) -> None:
    for rank, hash in enumerate(hashes):
        if hash != hashes[0]:
            raise InputError(
                f"rank {rank} has come to another model than rank 0",
                expected="processors that compute the same bits",
                fix="start all of them again on machines of one kind, or in one process",
            )
