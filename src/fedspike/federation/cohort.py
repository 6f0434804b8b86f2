"""The clients of one place trained side by side: all of them in a simulation, on a fleet those of a node."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from fedspike.algorithms import Algorithm, Tree, local_round
from fedspike.algorithms.trees import move, stack, take
from fedspike.engine.choice import engine_for
from fedspike.engine.engines import Engine
from fedspike.federation.devices import Fleet
from fedspike.layers.activity import Activity
from fedspike.learning.backpropagation import Backpropagation, Trained
from fedspike.networks import SizedNetwork
from fedspike.parts.codes import Address

Samples = tuple[Float[Tensor, "sample pixel"], Int64[Tensor, " sample"]]


def samples(
    x: np.ndarray, y: np.ndarray, dtype: torch.dtype = torch.float32, device: str = "cpu"
) -> Samples:
    """Images and labels as training and test take them."""
    return torch.from_numpy(x).flatten(1).to(device, dtype), torch.from_numpy(y).to(device)


@dataclass(frozen=True)
class Site:
    """Clients that are trained in one place, with all samples there, and what each does in a round."""

    fleet: Fleet
    samples: Samples
    training: Backpropagation
    seed: int


@dataclass
class Work:
    """What a cohort did in a round; grows as its parts are trained."""

    replies: Tree
    memories: dict[int, Tree]
    activity: dict[int, Activity]
    losses: dict[int, float]  # of a client's mean sample

    def mean_loss(self, clients: Sequence[int]) -> float:
        """Over the samples of these clients; nan if there are none."""
        sums = [self.losses[client] * self.activity[client].samples for client in clients]
        samples = sum(self.activity[client].samples for client in clients)
        return math.fsum(sums) / samples if samples else math.nan


def train_cohort(
    cohort: list[int],
    algorithm: Algorithm,
    network: SizedNetwork,
    site: Site,
    received: Tree,
    memories: dict[int, Tree],
    number: int,
) -> Work:
    """What the clients of a cohort do in round `number`, in parts side by side; most samples come first."""
    work = Work(replies={}, memories={}, activity={}, losses={})
    replies: list[Tree] = []
    device = site.samples[0].device
    received = move(received, device)

    def trained_part(part: list[int]) -> tuple[Tree, Tree, Trained]:
        epochs = site.training.epochs
        shown = [torch.from_numpy(site.fleet.shown(site.seed, number, k, epochs)) for k in part]
        return local_round(
            algorithm,
            network,
            site.training,
            received,
            move(stack([memories[k] for k in part]), device),
            *site.samples,
            shown,
            Address(site.seed, "encode", number, tuple(part), (0,) * len(part)),
        )

    engine = engine_for(device, site.samples[0].dtype)
    parts = list(_parts(cohort, site, network, engine))
    for part, (reply, memory, trained) in zip(
        parts, engine.each(network, parts, trained_part), strict=True
    ):
        replies.append(move(reply, torch.device("cpu")))
        if memory:
            memory = move(memory, torch.device("cpu"))
            work.memories |= {client: take(memory, i) for i, client in enumerate(part)}
        work.activity |= dict(zip(part, trained.activities, strict=True))
        work.losses |= dict(zip(part, trained.losses, strict=True))
    work.replies = {
        group: {name: torch.cat([reply[group][name] for reply in replies]) for name in tensors}
        for group, tensors in (replies[0] if replies else {}).items()
    }
    return work


def _parts(
    cohort: list[int], site: Site, network: SizedNetwork, engine: Engine
) -> Iterator[list[int]]:
    """The cohort in parts that are trained side by side: clients with batches of one size."""
    learner, fleet = site.training, site.fleet
    rows = {client: learner.rows(fleet.samples(client) * learner.epochs) for client in cohort}
    for height, alike in itertools.groupby(cohort, key=rows.__getitem__):
        clients = list(alike)
        parts = math.ceil(len(clients) / engine.clients_at_once(network, height))
        for i in range(parts):
            yield clients[len(clients) * i // parts : len(clients) * (i + 1) // parts]
