"""Which test samples a final model has right: by class, by client, and what it takes for what.

The samples are dealt to the clients as the training samples are (data/partition/likeness.py), so the
clients' counts add up to the run's.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int

from fedspike.data.partition.likeness import like_whom
from fedspike.records.reader import predictions_of
from fedspike.records.schema import RunSummary

WORST = 10  # the worst 1 in so many clients


@dataclass(frozen=True)
class Outcome:
    """The label of each test sample, what the final model said, and whose samples are like it."""

    labels: Int[np.ndarray, " sample"]
    predicted: Int[np.ndarray, " sample"]
    class_counts: Int[np.ndarray, "client class"]

    @property
    def right(self) -> Bool[np.ndarray, " sample"]:
        """Which samples the model has right."""
        return np.asarray(self.labels == self.predicted)

    @cached_property
    def confusion(self) -> Int[np.ndarray, "label predicted"]:
        """How many samples of a class the model takes for each class."""
        classes = max(self.class_counts.shape[1], *self.labels + 1, *self.predicted + 1)
        counts = np.zeros((classes, classes), np.int64)
        np.add.at(counts, (self.labels, self.predicted), 1)
        return counts

    @cached_property
    def client(self) -> Int[np.ndarray, " sample"]:
        """The client that each sample is dealt to."""
        return like_whom(self.labels, self.class_counts)

    @cached_property
    def by_client(self) -> dict[int, tuple[int, int]]:
        """client -> how many of its samples are right, of how many; clients without samples are left out."""
        clients = len(self.class_counts)
        tested = np.bincount(self.client, minlength=clients)
        right = np.bincount(self.client[self.right], minlength=clients)
        return {k: (int(right[k]), int(tested[k])) for k in np.flatnonzero(tested).tolist()}

    @property
    def client_accuracies(self) -> list[float]:
        """In percent, the lowest first."""
        return sorted(100 * right / tested for right, tested in self.by_client.values())

    @property
    def worst_tenth(self) -> float:
        """The mean over the worst tenth of the clients, of one at least, in percent."""
        accuracies = self.client_accuracies
        return float(np.mean(accuracies[: -(-len(accuracies) // WORST)]))


def outcome(run: RunSummary) -> Outcome | None:
    """What a run's own summary says of the test samples; None where it does not.

    Nor where each client was tested on its own, and not all clients' samples are counted.
    """
    if run.accuracy_of != "global model" and run.clients > len(run.class_counts):
        return None
    both = predictions_of(run)
    return None if both is None else Outcome(*both, np.array(run.class_counts))
