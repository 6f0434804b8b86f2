"""The clients of one place trained side by side: all of them in a simulation, on a fleet those of a node."""

import itertools
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Int64, Real
from msgspec.structs import replace
from torch import Tensor

from fedspike.algorithms import (
    Algorithm,
    Client,
    Tree,
    demand_learner,
    engine_of,
    local_round,
    packing_draws,
)
from fedspike.algorithms.trees import copied, form, move, row, stack, together
from fedspike.engine.engines import Engine
from fedspike.federation.devices import Devices
from fedspike.layers.activity import Activity
from fedspike.layers.operations import NetworkOperations
from fedspike.learning import Learner, Shown, Trained
from fedspike.networks import SizedNetwork
from fedspike.parts.codes import Address

Samples = tuple[Real[Tensor, "sample pixel"], Int64[Tensor, " sample"]]


def samples(
    x: np.ndarray, y: np.ndarray, dtype: torch.dtype = torch.float32, device: str = "cpu"
) -> Samples:
    """Images and labels as training and test take them; recordings stay the bits that they are."""
    pixels = torch.from_numpy(x).flatten(1)
    own = dtype if pixels.is_floating_point() else pixels.dtype
    return pixels.to(device, own), torch.from_numpy(y).to(device)


@dataclass(frozen=True)
class Site:
    """Clients that are trained in one place, with all samples there, and what each does in a round.

    `read` gives the samples as the clients see them; they are read when the first one is wanted.
    """

    network: SizedNetwork
    algorithm: Algorithm
    learner: Learner
    devices: Devices
    read: Callable[[], Samples]
    seed: int

    @cached_property
    def samples(self) -> Samples:
        """All samples, as the clients see them."""
        return self.read()

    def network_of(self, client: int) -> SizedNetwork:
        """What a client trains, one for all clients of a size."""
        size = self.algorithm.size(client)
        if size not in self._networks:
            self._networks[size] = self.algorithm.sub_network(self.network, client)
        return self._networks[size]

    def learner_of(self, client: int) -> Learner:
        """What trains it."""
        return self.algorithm.learner(self.learner, client)

    @cached_property
    def operations(self) -> NetworkOperations:
        """What a device does to train the network, and those of other sizes that clients train."""
        return operations(self.algorithm, self.network, self.learner, len(self.devices.shards))

    def demand_sizes(self) -> None:
        """Raise InputError where a learner cannot train what some clients do."""
        for client in {size: client for client, size in self.operations.sizes.items()}.values():
            demand_learner(self.algorithm, self.learner_of(client))
            self.learner_of(client).demand_network(self.network_of(client))

    @cached_property
    def _networks(self) -> dict[str, SizedNetwork]:
        return {}


def operations(
    algorithm: Algorithm, network: SizedNetwork, learner: Learner, clients: int
) -> NetworkOperations:
    """What a device does to train the network, and those of other sizes that so many clients train."""
    some = range(clients) if algorithm.sized else range(0)
    sizes = {client: size for client in some if (size := algorithm.size(client))}
    first = {size: client for client, size in reversed(sizes.items())}
    smaller = {
        size: _trains(
            algorithm, algorithm.sub_network(network, client), algorithm.learner(learner, client)
        )
        for size, client in first.items()
    }
    return replace(_trains(algorithm, network, learner), smaller=smaller, sizes=sizes)


def _trains(algorithm: Algorithm, network: SizedNetwork, learner: Learner) -> NetworkOperations:
    """With the forward passes of models that the algorithm compares, up to the last layer."""
    *_, last = network.architecture.names
    return learner.trains(network).seen_again(algorithm.models_compared, without=[last])


@dataclass
class Work:
    """What the clients of a cohort did in a round, an entry for each; grows as its parts are trained.

    Replies are as they travel.
    """

    replies: dict[int, Tree] = field(default_factory=dict)
    memories: dict[int, Tree] = field(default_factory=dict)
    activity: dict[int, Activity] = field(default_factory=dict)
    losses: dict[int, float] = field(default_factory=dict)  # of a client's mean sample

    def add(self, other: "Work") -> None:
        """The work of other clients, too."""
        for own in fields(self):
            getattr(self, own.name).update(getattr(other, own.name))

    def keep(self, clients: Collection[int]) -> None:
        """That of these clients alone."""
        for own in fields(self):
            entries = getattr(self, own.name)
            setattr(self, own.name, {k: entry for k, entry in entries.items() if k in clients})


def train_cohort(
    site: Site,
    cohort: Sequence[int],
    received: Mapping[int, Tree],
    memories: Mapping[int, Tree],
    round: int,
) -> Work:
    """What the clients of a cohort do in a round, in parts side by side; most samples come first.

    A client without a memory has what the algorithm lets it remember before its first round.
    """
    device, here = site.samples[0].device, torch.device("cpu")
    before = {k: memories.get(k) or site.algorithm.remember(received[k]) for k in cohort}

    def trained_part(part: list[int]) -> tuple[Tree, Tree, Trained]:
        trees = together([received[k] for k in part]), stack([before[k] for k in part])
        client = Client(move(trees[0], device), move(trees[1], device))
        shown = _shown(site, part, round)
        learner = site.learner_of(part[0])
        return local_round(site.algorithm, learner, networks[part[0]], client, shown)

    work = Work()
    networks = {k: site.network_of(k) for k in cohort}
    forms = {k: (form(received[k]), form(before[k]), site.algorithm.size(k)) for k in cohort}
    engine = engine_of(site.algorithm, device, site.samples[0].dtype)
    parts = list(_parts(site, cohort, forms, engine))
    for part, (replies, after, trained) in zip(
        parts, engine.each(site.network, parts, trained_part), strict=True
    ):
        replies, after = move(replies, here), move(after, here)
        for i, client in enumerate(part):
            draws = packing_draws(site.seed, round, client)
            reply, memory = site.algorithm.packed(row(replies, i), row(after, i), draws)
            work.replies[client] = reply
            if memory:
                work.memories[client] = copied(memory)
            work.activity[client] = trained.activities[i]
            work.losses[client] = trained.losses[i]
    work.replies = {client: work.replies[client] for client in cohort}
    work.activity = {client: work.activity[client] for client in cohort}
    return work


def _shown(site: Site, part: list[int], round: int) -> Shown:
    """What these clients are shown in a round."""
    epochs = site.learner.epochs
    positions = [torch.from_numpy(site.devices.shown(site.seed, round, k, epochs)) for k in part]
    address = Address(site.seed, "encode", round, tuple(part), (0,) * len(part))
    return Shown(*site.samples, positions, address)


def _parts(
    site: Site, cohort: Sequence[int], forms: Mapping[int, object], engine: Engine
) -> Iterator[list[int]]:
    """The cohort in parts that are trained side by side: clients with batches of one size.

    Clients who got trees of different forms, or are of different sizes, are in different parts.
    """
    learner = site.learner
    rows = {k: learner.rows(site.devices.samples(k) * learner.epochs) for k in cohort}
    for height, alike in itertools.groupby(cohort, key=rows.__getitem__):
        by_form: dict[object, list[int]] = {}
        for client in alike:
            by_form.setdefault(forms[client], []).append(client)
        for clients in by_form.values():
            network = site.network_of(clients[0])
            parts = math.ceil(len(clients) / engine.clients_at_once(network, height))
            for i in range(parts):
                yield clients[len(clients) * i // parts : len(clients) * (i + 1) // parts]
