"""Which test samples a final model has right: by class, by client, and what it takes for what.

The test set belongs to nobody. To see what a client has of the global model, its samples are dealt to the
clients as the training samples are: of n test samples of a class client k gets the share that it has of the
class in training, by largest remainders, in the order of the test set. A class that nobody has is dealt
evenly. So every sample has one client, and the clients' counts add up to the run's.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int

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
        clients = np.zeros(len(self.labels), np.int64)
        for label in range(self.labels.max() + 1):
            of_class = np.flatnonzero(self.labels == label)
            held = self.class_counts[:, label] if label < self.class_counts.shape[1] else 0
            shares = dealt(len(of_class), held * np.ones(len(self.class_counts), np.int64))
            clients[of_class] = np.repeat(np.arange(len(shares)), shares)
        return clients

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
    """What a run's own summary says of the test samples; None where it does not."""
    both = predictions_of(run)
    return None if both is None else Outcome(*both, np.array(run.class_counts))


def dealt(samples: int, held: Int[np.ndarray, " client"]) -> Int[np.ndarray, " client"]:
    """So many samples to clients, as they hold them, by largest remainders; evenly where nobody does.

    >>> dealt(10, np.array([6, 3, 3])), dealt(5, np.array([0, 0]))
    (array([5, 3, 2]), array([3, 2]))
    """
    held = held if held.sum() else np.ones_like(held)
    shares, remainders = np.divmod(samples * held, held.sum())
    left = samples - shares.sum()
    shares[np.argsort(-remainders, kind="stable")[:left]] += 1
    return shares
