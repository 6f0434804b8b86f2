"""The test of what a round led to: of the model for all, or of each client's own on samples of its own."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from fedspike.algorithms import MODELS
from fedspike.data.partition.likeness import evenly, like_whom
from fedspike.engine.choice import engine_for
from fedspike.errors import warn_once
from fedspike.federation.cohort import Samples, Site, samples
from fedspike.federation.plan import Plan
from fedspike.federation.state import State
from fedspike.layers.activity import Activity
from fedspike.learning.activities import activities, counted
from fedspike.networks import Batch, Parameters, SizedNetwork
from fedspike.parts.codes import Address
from fedspike.parts.sums import total


class Examined(NamedTuple):
    """A model, running statistics among its parameters, and the positions of the samples it is tested on."""

    network: SizedNetwork
    model: Parameters
    positions: Int64[Tensor, " _tested"]


@dataclass(frozen=True)
class Tests:
    """Test samples, on the device that computes, and the client that each is like, or is dealt to."""

    samples: Samples
    like: Int64[Tensor, " sample"]
    seed: int

    @classmethod
    def of(
        cls, plan: Plan, site: Site, x_test: np.ndarray, dtype: torch.dtype, device: str
    ) -> "Tests":
        """A plan's test samples with these pixels; where one model is for all, all are like client 0."""
        labels = plan.data.y_test
        like = np.zeros(len(labels), np.int64)
        if site.algorithm.decentralised:
            like = evenly(len(labels), site.devices.members, plan.seed_of_data)
        elif site.algorithm.personal:
            like = like_whom(labels, np.array(plan.class_counts()))
        test_set = samples(x_test, labels, dtype, device)
        return cls(test_set, torch.from_numpy(like), plan.seed)

    @property
    def all(self) -> Int64[Tensor, " sample"]:
        """The positions of all samples."""
        return torch.arange(len(self.samples[1]))


def examined(site: Site, state: State, tests: Tests) -> list[Examined]:
    """The model for all with all samples; where each client has its own, these, each with its samples.

    What a client remembers on its device is not known here: it is tested as before its first round.
    """
    algorithm = site.algorithm
    if not algorithm.personal:
        return [Examined(site.network, state.tested, tests.all)]
    each = []
    for client in np.unique(tests.like.numpy()).tolist():
        ordered = algorithm.order(state.server, client)
        if client in state.remembered and client not in state.clients:
            warn_once(
                "each device has a model of its own, which is not tested here: read no accuracy"
            )
        memory = state.clients.get(client) or algorithm.remember(ordered)
        own, network = algorithm.own(ordered, memory), site.network_of(client)
        each.append(Examined(network, own, torch.nonzero(tests.like == client)[:, 0]))
    return each


def consensus_distance(state: State) -> float:
    """How far the clients' models are from their mean, of an algorithm without a server.

        sqrt(mean over i of |x_i - x|^2),   x = mean over i of x_i

    Source: Kong, Lin, Koloskova, Jaggi, Stich, "Consensus Control for Decentralized Deep Learning", ICML
    2021, there Xi_t.
    """
    squares = 0.0
    for models in state.server[MODELS].values():
        wide, n = models.double(), len(models)
        apart = wide - total(wide, 0) / n
        squares += float(total(apart.square().flatten(), 0)) / n
    return math.sqrt(squares)


def evaluate(models: Sequence[Examined], tests: Tests, round: int) -> tuple[float, Activity]:
    """Share of samples whose label has the highest score, and what was done to find out; see `predict`."""
    predicted, activity = predict(models, tests, round)
    return int((predicted == tests.samples[1]).sum()) / len(predicted), activity


def predict(
    models: Sequence[Examined], tests: Tests, round: int
) -> tuple[Int64[Tensor, " sample"], Activity]:
    """The class with the highest score of each sample, and what was done to find out.

    Each sample is one model's. Test spikes are drawn anew each round.
    """
    pixels, labels = tests.samples
    predicted, batches, first = torch.empty_like(labels), [], 0
    engine = engine_for(pixels.device, pixels.dtype)
    for network, model, positions in models:
        parameters = {name: w.unsqueeze(0).to(pixels.device) for name, w in model.items()}
        for own in torch.split(positions.to(pixels.device), engine.samples_at_once(network)):
            address = Address(
                tests.seed, "encode-test", round, clients=(0,), first_samples=(first,)
            )
            batch = Batch(pixels, own.unsqueeze(0), labels[own].unsqueeze(0), address)
            forward = engine.forward(network, parameters, batch)
            predicted[own] = forward.scores.argmax(2)[0]
            batches.append(counted(forward))
            first += len(own)
    (activity,) = activities([len(labels)], [0], batches)
    return predicted, activity
