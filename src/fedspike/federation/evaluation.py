"""The test of what a round led to: of the model for all, or of each client's own on samples of its own."""

import math
import operator
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from fedspike.algorithms import MODELS, Algorithm
from fedspike.data.partition.likeness import evenly, like_whom
from fedspike.engine.choice import engine_for
from fedspike.errors import warn_once
from fedspike.federation.cohort import Samples, Site, samples
from fedspike.federation.order import Exam, Examiner, Told
from fedspike.federation.plan import Plan
from fedspike.federation.state import State
from fedspike.layers.activity import Activity
from fedspike.learning.activities import activities, counted
from fedspike.networks import Batch, Parameters, SizedNetwork
from fedspike.parts.codes import Address
from fedspike.parts.sums import total

NOTHING = Told({}, {})


class Examined(NamedTuple):
    """What gives a model, running statistics among its parameters, and the positions of its test samples.

    `first` is the number of the first of these among the samples that all models are tested on.
    """

    network: SizedNetwork
    model: Callable[[], Parameters]
    positions: Int64[Tensor, " _tested"]
    first: int = 0


class Tested(NamedTuple):
    """The class that a model gave each test sample, -1 where its device gave none, and what was done for it.

    `nodes` has an entry for each real device that gave none.
    """

    predicted: Int64[Tensor, " sample"]
    activity: Activity
    nodes: tuple[dict[str, Any], ...] = ()

    def accuracy(self, labels: Int64[Tensor, " sample"]) -> float:
        """The share of those that were tested whose class is right."""
        return int((self.predicted == labels).sum()) / int((self.predicted >= 0).sum())


@dataclass(frozen=True)
class Tests:
    """Test samples, on the device that computes, and the client that each is like, or is dealt to."""

    samples: Samples
    like: Int64[Tensor, " sample"]
    plan: Plan

    @classmethod
    def of(
        cls, plan: Plan, site: Site, x_test: np.ndarray, dtype: torch.dtype, device: str
    ) -> "Tests":
        """A plan's test samples with these pixels; where one model is for all, all are like client 0."""
        labels, devices = plan.data.y_test, site.devices
        like = whose(
            labels, site.algorithm, devices.members, lambda: devices.class_counts, plan.seed_of_data
        )
        test_set = samples(x_test, labels, dtype, device)
        return cls(test_set, torch.from_numpy(like), plan)

    @property
    def all(self) -> Int64[Tensor, " sample"]:
        """The positions of all samples."""
        return torch.arange(len(self.samples[1]))


def whose(
    labels: Int64[np.ndarray, " sample"],
    algorithm: Algorithm,
    members: Sequence[int] | Int64[np.ndarray, " member"],
    class_counts: Callable[[], Int64[np.ndarray, "client class"]],
    seed: int,
) -> Int64[np.ndarray, " sample"]:
    """The client whose model each test sample is given to; 0 where one model is for all.

    The seed is that of who holds what.
    """
    if algorithm.decentralised:
        return evenly(len(labels), members, seed)
    if algorithm.personal:
        return like_whom(labels, class_counts())
    return np.zeros(len(labels), np.int64)


@runtime_checkable
class Tester(Protocol):
    """A place that tests models that the server has, as `predict` does."""

    def predict(
        self, models: Sequence[Examined], samples: Samples, seed: int, round: int
    ) -> tuple[Int64[Tensor, " sample"], Activity]:
        """The class with the highest score of each sample, and what was done to find out."""


def tested(site: Site, state: State, tests: Tests, place: object) -> Tested:
    """The model for all, or each client's own, on its samples; where devices keep these, they are asked.

    Who does not answer is not tested. Where nobody does, models that nobody knows here are tested as before
    their first round, with a warning.
    """
    exam = _exam(site, state, tests)
    told = NOTHING if exam is None or not isinstance(place, Examiner) else place.examine(exam)
    away: Collection[int] = ()
    if exam is not None and told.predicted:
        away = exam.received.keys()
    elif exam is not None:
        warn_once("each device has a model of its own, and none could be tested: read no accuracy")
    here = [one for client, one in examined(site, state, tests).items() if client not in away]
    predict_there = place.predict if isinstance(place, Tester) else predict
    predicted, activity = predict_there(here, tests.samples, site.seed, state.round)
    for client, classes in told.predicted.items():
        predicted[tests.like == client] = classes.to(predicted.device)
    return Tested(predicted, reduce(operator.add, told.activity.values(), activity), told.nodes)


def examined(site: Site, state: State, tests: Tests) -> dict[int, Examined]:
    """The model for all, with all samples; where each client has its own, these, each with its samples.

    What a client remembers on its device is not known here: it is as before its first round.
    """
    algorithm = site.algorithm
    if not algorithm.personal:
        return {0: Examined(site.network, lambda: state.tested, tests.all)}
    each, first = {}, 0
    for client in np.unique(tests.like.numpy()).tolist():
        positions = torch.nonzero(tests.like == client)[:, 0]
        model = partial(own_model, algorithm, state, client)
        each[client] = Examined(site.network_of(client), model, positions, first)
        first += len(positions)
    return each


def own_model(algorithm: Algorithm, state: State, client: int) -> Parameters:
    """The model that a client uses; as before its first round where what it remembers is not known here."""
    ordered = algorithm.order(state.server, client)
    return algorithm.own(ordered, state.clients.get(client) or algorithm.remember(ordered))


def _exam(site: Site, state: State, tests: Tests) -> Exam | None:
    """For the clients whose models are on their devices alone; None where there are none."""
    algorithm = site.algorithm
    kept = state.remembered.keys() - state.clients.keys() if algorithm.personal else ()
    if not kept:
        return None
    own = {k: one for k, one in examined(site, state, tests).items() if k in kept}
    if not own:
        return None
    pixels, _ = tests.samples
    return Exam(
        tests.plan,
        site,
        state.round,
        {client: algorithm.order(state.server, client) for client in own},
        {client: state.remembered[client] for client in own},
        {k: pixels[one.positions.to(pixels.device)].cpu().float() for k, one in own.items()},
        {client: one.first for client, one in own.items()},
    )


def consensus_distance(state: State) -> float:
    """How far the clients' models are from their mean, of an algorithm without a server.

        sqrt(mean over i of |x_i - x|^2),   x = mean over i of x_i

    Source: Kong, Lin, Koloskova, Jaggi, Stich, "Consensus Control for Decentralized Deep Learning", ICML
    2021, there Xi_t.
    """
    squares = []
    for models in state.server[MODELS].values():
        wide, n = models.double(), len(models)
        apart = wide - total(wide, 0) / n
        squares.append(float(total(apart.square().flatten(), 0)) / n)
    return math.sqrt(math.fsum(squares))  # the same in any order, which bytes do not keep


def evaluate(model: Examined, tests: Tests, round: int, place: object = None) -> float:
    """Share of samples whose label has the highest score."""
    predict_there = place.predict if isinstance(place, Tester) else predict
    predicted, _ = predict_there([model], tests.samples, tests.plan.seed, round)
    return int((predicted == tests.samples[1]).sum()) / len(predicted)


def predict(
    models: Sequence[Examined], samples: Samples, seed: int, round: int
) -> tuple[Int64[Tensor, " sample"], Activity]:
    """The class with the highest score of each sample, and what was done to find out.

    Each sample is one model's, or nobody's: -1. Test spikes are drawn anew each round.
    """
    pixels, labels = samples
    predicted, batches, samples_seen = torch.full_like(labels, -1), [], 0
    engine = engine_for(pixels.device, pixels.dtype)
    for network, model, positions, first in in_batches(models, samples):
        parameters = {name: w.unsqueeze(0).to(pixels.device) for name, w in model().items()}
        own = positions.to(pixels.device)
        address = Address(seed, "encode-test", round, clients=(0,), first_samples=(first,))
        batch = Batch(pixels, own.unsqueeze(0), labels[own].unsqueeze(0), address)
        forward = engine.forward(network, parameters, batch)
        predicted[own] = forward.scores.argmax(2)[0]
        batches.append(counted(forward))
        samples_seen += len(own)
    if not batches:
        return predicted, Activity(samples=0, steps=0, events_in={})
    (activity,) = activities([samples_seen], [0], batches)
    return predicted, activity


def in_batches(models: Sequence[Examined], samples: Samples) -> list[Examined]:
    """The models, each with no more samples than are tested in one pass."""
    pixels, _ = samples
    engine = engine_for(pixels.device, pixels.dtype)
    batches = []
    for network, model, positions, first in models:
        for own in torch.split(positions, engine.samples_at_once(network)):
            batches.append(Examined(network, model, own, first))
            first += len(own)
    return batches
