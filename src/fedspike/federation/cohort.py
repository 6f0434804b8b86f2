"""The clients of one place trained side by side: all of them in a simulation, on a fleet those of a node."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from fedspike.algorithms import Algorithm, Tree, local_round
from fedspike.algorithms.trees import copied, form, move, row, stack, together
from fedspike.federation.devices import Devices
from fedspike.layers.activity import Activity
from fedspike.learning.backpropagation import Correction, LocalTraining, Trained, train
from fedspike.networks import ConvolutionalLayers, Parameters, SizedNetwork
from fedspike.parts.codes import Address

# Clients are trained side by side as long as a step of theirs together stays under this size: about 30
# clients of the founding study.
BLOCK_BYTES = 96 * 2**20

Samples = tuple[Float[Tensor, "sample pixel"], Int64[Tensor, " sample"]]


def samples(
    x: np.ndarray, y: np.ndarray, dtype: torch.dtype = torch.float32, device: str = "cpu"
) -> Samples:
    """Images and labels as training and test take them."""
    return torch.from_numpy(x).flatten(1).to(device, dtype), torch.from_numpy(y).to(device)


@dataclass(frozen=True)
class Site:
    """Clients that are trained in one place, with all samples there, and what each does in a round."""

    network: SizedNetwork
    algorithm: Algorithm
    learner: LocalTraining
    devices: Devices
    samples: Samples
    seed: int


@dataclass
class Work:
    """What the clients of a cohort did in a round, an entry for each; grows as its parts are trained."""

    replies: dict[int, Tree] = field(default_factory=dict)
    memories: dict[int, Tree] = field(default_factory=dict)
    activity: dict[int, Activity] = field(default_factory=dict)
    losses: dict[int, float] = field(default_factory=dict)  # of a client's mean sample


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
        return local_round(
            site.algorithm,
            move(together([received[k] for k in part]), device),
            move(stack([before[k] for k in part]), device),
            len(part),
            _learning(site, part, round),
            site.learner.optimiser.learning_rate,
        )

    work = Work()
    forms = {k: (form(received[k]), form(before[k])) for k in cohort}
    parts = list(_parts(site, cohort, forms, device))
    for part, (replies, after, trained) in zip(
        parts, _each(parts, trained_part, site.network, device), strict=True
    ):
        replies, after = move(replies, here), move(after, here)
        for i, client in enumerate(part):
            work.replies[client] = row(replies, i)
            if after:
                work.memories[client] = copied(row(after, i))
            work.activity[client] = trained.activities[i]
            work.losses[client] = trained.losses[i]
    work.replies = {client: work.replies[client] for client in cohort}
    work.activity = {client: work.activity[client] for client in cohort}
    return work


def _learning(
    site: Site, part: list[int], round: int
) -> Callable[[Parameters, Correction], Trained]:
    """The learner with what these clients are shown in a round."""
    shown = [
        torch.from_numpy(site.devices.shown(site.seed, round, k, site.learner.epochs)) for k in part
    ]
    address = Address(site.seed, "encode", round, tuple(part), (0,) * len(part))
    beside = site.network.statistics().keys()

    def learn(start: Parameters, correct: Correction) -> Trained:
        return train(
            site.network,
            site.learner,
            {name: tensor for name, tensor in start.items() if name not in beside},
            *site.samples,
            shown,
            address,
            correct,
            {name: start[name] for name in beside},
        )

    return learn


def _each(
    parts: list[list[int]],
    trained_part: Callable[[list[int]], tuple[Tree, Tree, Trained]],
    network: SizedNetwork,
    device: torch.device,
) -> Iterator[tuple[Tree, Tree, Trained]]:
    """Every part, in order. Of a convolutional network each thread takes a part of its own.

    Its many small operators gain little from threads within each; a part's bits do not depend on it.
    """
    threads = torch.get_num_threads()
    if not isinstance(network.architecture, ConvolutionalLayers) or device.type != "cpu":
        yield from map(trained_part, parts)
        return
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads) as pool:
            yield from pool.map(trained_part, parts)
    finally:
        torch.set_num_threads(threads)


def _parts(
    site: Site, cohort: Sequence[int], forms: Mapping[int, object], device: torch.device
) -> Iterator[list[int]]:
    """The cohort in parts that are trained side by side: clients with batches of one size, a cache full.

    Clients who got trees of different forms are in different parts.
    """
    learner, network = site.learner, site.network
    rows = {k: learner.rows(site.devices.samples(k) * learner.epochs) for k in cohort}
    room = torch.cuda.mem_get_info(device)[0] // 4 if device.type == "cuda" else BLOCK_BYTES
    for height, alike in itertools.groupby(cohort, key=rows.__getitem__):
        by_form: dict[object, list[int]] = {}
        for client in alike:
            by_form.setdefault(forms[client], []).append(client)
        # A client's parameters, gradients, two moments of Adam, and room to work.
        size = height * network.bytes_per_sample(device.type) + 24 * network.architecture.parameters
        for clients in by_form.values():
            parts = math.ceil(len(clients) / max(1, room // size))
            for i in range(parts):
                yield clients[len(clients) * i // parts : len(clients) * (i + 1) // parts]
