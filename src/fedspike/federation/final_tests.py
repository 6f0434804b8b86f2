"""The final model on the test samples: what it says of each, and its accuracy in noise and out of focus."""

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Int64

from fedspike.data.disturbances import blurred, noisy
from fedspike.data.partition.likeness import AccuracyOf
from fedspike.federation.cohort import Site
from fedspike.federation.evaluation import Tests, tested
from fedspike.federation.order import Place
from fedspike.federation.plan import Plan
from fedspike.federation.state import State


class Disturbed(NamedTuple):
    """The accuracy on test samples that were disturbed so much."""

    kind: Literal["noise", "blur"]
    amount: float
    accuracy: float


class FinalTests(NamedTuple):
    """The class that a model gives each test sample, -1 where its device gave none, and how well it does on
    disturbed ones.

    `accuracy_of` says of which models; samples with the same number in `like` were given to the same one.
    """

    predicted: Int64[np.ndarray, " sample"]
    like: Int64[np.ndarray, " sample"]
    accuracy_of: AccuracyOf
    disturbed: tuple[Disturbed, ...] = ()

    def of_classes(
        self, labels: Int64[np.ndarray, " sample"], classes: int
    ) -> Int64[np.ndarray, "model class"]:
        """The samples of each class that a model was given; of all together where chance dealt them.

        >>> like, labels = np.array([0, 1, 1]), np.array([2, 0, 0])
        >>> FinalTests(labels, like, "own models, own samples").of_classes(labels, 3).tolist()
        [[0, 0, 1], [2, 0, 0]]
        >>> FinalTests(labels, like, "own models, all samples").of_classes(labels, 3).tolist()
        [[2, 0, 1]]
        """
        like = self.like if self.accuracy_of == "own models, own samples" else 0 * self.like
        counts = np.zeros((like.max() + 1, classes), np.int64)
        np.add.at(counts, (like, labels), 1)
        return counts


def final_tests(
    plan: Plan, site: Site, state: State, device: str = "cpu", place: Place | None = None
) -> FinalTests:
    """The last round's test over again, sample by sample, and those that the plan asks for beside it."""
    plan = plan.fitted()  # as it was for the rounds, which devices remember by it
    tests = Tests.of(plan, site, plan.data.x_test, torch.float32, device)
    return FinalTests(
        tested(site, state, tests, place).predicted.cpu().numpy(),
        tests.like.numpy(),
        site.algorithm.accuracy_of,
        tuple(disturbed(plan, site, state, device, place)),
    )


def disturbed(
    plan: Plan, site: Site, state: State, device: str = "cpu", place: Place | None = None
) -> Iterator[Disturbed]:
    """The tests that the plan asks for beside the usual one, with the model of its last round.

    The noise is that of the plan's seed: the same for all networks.
    """
    data = plan.data
    darkest = -1.0 if data.signed else 0.0
    ways: dict[
        Literal["noise", "blur"], tuple[tuple[float, ...], Callable[[float], np.ndarray]]
    ] = {
        "noise": (
            plan.test_noise,
            lambda amount: noisy(data.x_test, amount, plan.seed, darkest),
        ),
        "blur": (plan.test_blur, lambda amount: blurred(data.x_test, amount)),
    }
    for kind, (amounts, way) in ways.items():
        for amount in amounts:
            tests = Tests.of(plan, site, way(amount), torch.float32, device)
            test = tested(site, state, tests, place)
            yield Disturbed(kind, amount, test.accuracy(tests.samples[1]))
