"""One training of a trial: settings and a seed -> the accuracy on what was held out."""

import math
from collections.abc import Iterator, Sequence
from statistics import fmean
from time import perf_counter
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from fedspike.data import Dataset
from fedspike.errors import InputError
from fedspike.experiment.document import Document
from fedspike.experiment.kinds import Kinds
from fedspike.experiment.plans import plan_of
from fedspike.federation.plan import Plan
from fedspike.federation.rounds import rounds

OBJECTIVE = "mean validation accuracy of the last tenth of the rounds, over the seeds"


class Job(Struct, frozen=True):
    """A training of one trial of a search: the dotted keys that it sets, its seed among them."""

    search: str
    trial: int
    seed: int
    chosen: dict[str, Any]


class Working(Struct, frozen=True, tag="working"):
    """A round of a training is over."""

    job: Job
    round: int
    rounds: int
    accuracy: float


class Outcome(Struct, frozen=True, tag="outcome"):
    """A training is over: its accuracy, or why it has none."""

    job: Job
    accuracy: float | None
    failed: str
    seconds: float


def last(accuracies: Sequence[float]) -> float:
    """The mean of the last tenth of the rounds, of one at least: of 100 rounds, of the last ten.

    >>> last([0.1, 0.2, 0.3, 0.4, 0.5])
    0.5
    """
    return fmean(accuracies[-_many(len(accuracies)) :])


def train(
    job: Job, source: Document, kinds: Kinds, dataset: Dataset, device: str
) -> Iterator[Working | Outcome]:
    """Train on a data set whose test samples were held out, round by round; the outcome comes last.

    One that cannot be trained, and one of which no answer could be used in the end, has failed.
    """
    began = perf_counter()
    accuracies: list[float] = []
    failed = ""
    try:
        plan: Plan = plan_of(source, source.with_values(job.chosen), kinds)
        plan = replace(plan, data=dataset)
        for round in rounds(plan, device=device):
            accuracies.append(round.accuracy)
            yield Working(job, round.number, plan.rounds, round.accuracy)
            # The loss is nan where no answer was accepted.
            in_the_end = round.number > plan.rounds - _many(plan.rounds)
            if in_the_end and round.rejections and not math.isfinite(round.training_loss):
                rejection = round.rejections[0]
                failed = f"round {round.number}: all answers rejected, {rejection.reason}"
    except InputError as error:
        failed = error.passed
    accuracy = None if failed else last(accuracies)
    yield Outcome(job, accuracy, failed, perf_counter() - began)


def _many(rounds: int) -> int:
    return max(1, rounds // 10)
